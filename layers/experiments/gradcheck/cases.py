"""Every equation and layer beside random examples of its inputs, for suite.py.

A Case draws ragged batches (texts of one token and empty ones among them) away from kinks; the kinks have exact tests
of their own. Dropout is checked with a generator that starts anew at every call, so that the function stays the same.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from engine.arrays.backend import array_module, random_generator
from engine.arrays.ragged import positions
from engine.implementation import Functions
from engine.layer import sum_rows
from engine.types import Floats1d, Floats2d
from layers import wave
from layers.experiments.gradcheck import Case, Problem
from layers.experiments.gradcheck.inputs import random_bag, random_offsets, random_rows
from layers.experiments.gradcheck.network_cases import NETWORK_CASES
from layers.experiments.gradcheck.wave_draws import (
    FAST,
    WAVE_PAIRS,
    draw_bag_magnitude,
    draw_global_magnitude,
    draw_modulated_magnitude,
    draw_modulated_magnitude_of_sentences,
    draw_operation,
    draw_phase,
    draw_polar_to_wave,
    draw_readout,
    draw_token2wave,
    draw_wave,
    draw_wave_pair,
)
from layers.fast import FUNCTIONS
from layers.networks.parts import Embedding
from layers.standard import (
    attention,
    dropout,
    layer_norm,
    linear,
    naive_bayes,
    pooling,
    position_encoding,
    residual,
    weighted_ratios,
)


def draw_linear(rng: Generator) -> Problem:
    return Problem(
        linear.linear_forward,
        linear.linear_backward,
        (random_rows(rng, 5), random_rows(rng, 3, 4), random_rows(rng, 1, 4)[0]),
    )


def draw_embedding(rng: Generator) -> Problem:
    layer = Embedding(6, 3, rng, np.float64)
    return Problem(layer.forward, layer.backward, (rng.integers(0, 6, 9),), layer.parameters())


def draw_position_encoding(rng: Generator) -> Problem:
    """The gradient of the table as a dense array; no text reaches its last row."""
    offsets = random_offsets(rng)
    places = positions(offsets, offsets[-1])
    rows = int(places.max(initial=0)) + 2

    def backward(dx: Floats2d, cache: position_encoding.Cache) -> tuple[Floats2d, Floats2d]:
        dw, dp = position_encoding.position_encoding_backward(dx, cache)
        return dw, dp.dense(rows)

    inputs = (random_rows(rng, len(places)), places, random_rows(rng, rows))
    return Problem(position_encoding.position_encoding_forward, backward, inputs)


def draw_layer_norm(rng: Generator) -> Problem:
    inputs = (random_rows(rng, 5, 6), random_rows(rng, 1, 6)[0], random_rows(rng, 1, 6)[0])
    return Problem(layer_norm.layer_norm_forward, layer_norm.layer_norm_backward, inputs)


def draw_layer_norm_of_a_sum(rng: Generator) -> Problem:
    """Rows of two arrays, added: either hands on the sum over the rows it was gathered to."""
    x, added, gain, bias = (random_rows(rng, rows, 6) for rows in (3, 4, 1, 1))

    def forward(x, gain, bias, added, x_rows, added_rows):
        y, cache = FAST.layer_norm_sum_forward(x, gain, bias, layer_norm.EPSILON, added, x_rows, added_rows)
        return y, (cache, x_rows, added_rows)

    def backward(dy, cache):
        cache, x_rows, added_rows = cache
        dsum, dgain, dbias = FAST.layer_norm_sum_backward(dy, cache)
        return sum_rows(x_rows, dsum).dense(3), dgain, dbias, sum_rows(added_rows, dsum).dense(4)

    return Problem(forward, backward, (x, gain[0], bias[0], added, rng.integers(0, 3, 5), rng.integers(0, 4, 5)))


def draw_feed_forward(activation: str, rng: Generator) -> Problem:
    """With a mask of dropout."""
    weights = random_rows(rng, 3, 4), random_rows(rng, 1, 4)[0], random_rows(rng, 4, 3), random_rows(rng, 1, 3)[0]
    mask = 2.0 * rng.integers(0, 2, (5, 4))

    def forward(x, *weights):
        of_device = array_module(x).asarray(mask, x.real.dtype)
        return FAST.feed_forward_forward(x, *weights, activation, of_device)

    return Problem(forward, FAST.feed_forward_backward, (random_rows(rng, 5), *weights))


def draw_activation(name: str, rng: Generator) -> Problem:
    return Problem(*FAST.pairs[name], (random_rows(rng, 5),))


def draw_residual(rng: Generator) -> Problem:
    inputs = (random_rows(rng, 5), random_rows(rng, 5))
    return Problem(residual.residual_forward, residual.residual_backward, inputs)


def draw_dropout(rng: Generator) -> Problem:
    seed = int(rng.integers(1 << 30))
    return Problem(
        lambda x: dropout.dropout_forward(x, 0.4, random_generator(seed)),
        dropout.dropout_backward,
        (random_rows(rng, 5),),
    )


def draw_pooling(kind: str, rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    return Problem(pooling.pooling_forward, pooling.pooling_backward, (random_rows(rng, offsets[-1]), offsets, kind))


def draw_bag_pooling(functions: Functions, kind: str, rng: Generator) -> Problem:
    inputs = (random_rows(rng, 4), random_bag(rng), kind)
    return Problem(functions.bag_pooling_forward, functions.bag_pooling_backward, inputs)


def draw_cross_entropy(kind: str, smoothing: float, weighted: bool, rng: Generator) -> Problem:
    forward, backward = FAST.pairs[f"{kind}_cross_entropy"]
    z = random_rows(rng, 5)
    inputs = (z, rng.integers(0, 3, 5) if kind == "softmax" else rng.random((5, 3)) < 0.4, smoothing)
    if not weighted:
        return Problem(forward, backward, inputs)
    weights = rng.uniform(0.2, 5.0, 3 if kind == "softmax" else (2, 3))

    def of_weights(z: Any, *rest: Any) -> Any:  # constants, in the dtype of z
        return forward(z, *rest, array_module(z).asarray(weights, z.real.dtype))

    return Problem(of_weights, backward, inputs)


def random_ratios(rng: Generator, entries: int) -> Floats2d:
    """Log-count ratios of random counts, of which each text is left out."""
    counts = rng.integers(0, 5, (entries, 4))
    counts[:, -1] = counts.sum(axis=1)
    return naive_bayes.log_count_ratios(counts, np.array([0.2, 0.5, 0.3]), rng.random((len(counts), 3)) < 0.4)


def draw_weighted_ratios(rng: Generator) -> Problem:
    """The gradients of bias and weights, of sizes that make z of order 1."""
    offsets = random_offsets(rng)
    ratios = random_ratios(rng, offsets[-1])

    def forward(bias: Floats1d, weights: Floats2d) -> tuple[Floats2d, weighted_ratios.Cache]:
        xp = array_module(bias)
        given = xp.asarray(ratios, bias.real.dtype), xp.asarray(offsets)
        return weighted_ratios.weighted_ratios_forward(bias, weights, *given)

    inputs = random_rows(rng, 1)[0] / weighted_ratios.SCALE, random_rows(rng, offsets[-1]) / weighted_ratios.SCALE
    return Problem(forward, weighted_ratios.weighted_ratios_backward, inputs)


def draw_naive_bayes(rng: Generator) -> Problem:
    """The gradient of the gains."""
    offsets = random_offsets(rng)
    ratios = random_ratios(rng, offsets[-1])

    def forward(gain: Floats1d) -> tuple[Floats2d, naive_bayes.Cache]:
        xp = array_module(gain)
        return naive_bayes.naive_bayes_forward(gain, xp.asarray(ratios, gain.real.dtype), xp.asarray(offsets))

    return Problem(forward, naive_bayes.naive_bayes_backward, (random_rows(rng, 1)[0],))


def draw_attention(heads: int, rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    inputs = (*(random_rows(rng, offsets[-1], 6) for _ in range(3)), offsets, heads)
    return Problem(attention.attention_forward, attention.attention_backward, inputs)


CASES = [
    *(Case(f"E1 global magnitude, {scope}", partial(draw_global_magnitude, scope)) for scope in wave.SCOPES),
    *(Case(f"E2 phase, {scope}", partial(draw_phase, scope), analytic=False) for scope in wave.SCOPES),
    *(Case(f"E3 polar to wave, {scope}", partial(draw_polar_to_wave, scope)) for scope in wave.SCOPES),
    *(Case(f"E4 token2wave, {scope}", partial(draw_token2wave, scope)) for scope in wave.SCOPES),
    *(Case(f"{record.number} {name}", partial(draw_operation, name)) for name, record in wave.OPERATIONS.items()),
    *(
        Case(f"E7 readout, {kind}", partial(draw_readout, kind), analytic=record.analytic)
        for kind, record in wave.READOUTS.items()
    ),
    *(
        Case(
            f"wave pair, {operation}, {readout}, {scope}",
            partial(draw_wave_pair, operation, readout, scope),
            analytic=wave.READOUTS[readout].analytic,
        )
        for operation, readout, scope in WAVE_PAIRS
    ),
    Case("E8 linear", draw_linear, products=True),
    Case("E9 embedding", draw_embedding),
    Case("E10 layer norm", draw_layer_norm),
    Case("E10 layer norm of a sum", draw_layer_norm_of_a_sum),
    Case("E11 GELU", partial(draw_activation, "gelu")),
    Case("E12 ReLU", partial(draw_activation, "relu")),
    Case("E13 dropout", draw_dropout),
    *(Case(f"E14 pooling, {kind}", partial(draw_pooling, kind)) for kind in pooling.POOLINGS),
    *(Case(f"E14 pooling, {kind}, counts", partial(draw_bag_pooling, FAST, kind)) for kind in pooling.POOLINGS),
    Case("E14 pooling over a bag, by equations", partial(draw_bag_pooling, FUNCTIONS["equations"], "mean")),
    Case("E15 cross-entropy", partial(draw_cross_entropy, "softmax", 0.0, False)),
    Case("E15 cross-entropy, smoothed", partial(draw_cross_entropy, "softmax", 0.1, False)),
    Case("E15 cross-entropy, smoothed, weighted", partial(draw_cross_entropy, "softmax", 0.1, True)),
    Case("E17 magnitude of a modulation", draw_modulated_magnitude),
    Case("E17 magnitude of a modulation, sentences", draw_modulated_magnitude_of_sentences),
    Case("E17 magnitude of a modulation, counts", partial(draw_bag_magnitude, FAST)),
    Case("E17 over a bag, by equations", partial(draw_bag_magnitude, FUNCTIONS["equations"])),
    Case("E18 attention, 1 head", partial(draw_attention, 1)),
    Case("E18 attention, 3 heads", partial(draw_attention, 3)),
    Case("E19 tanh", partial(draw_activation, "tanh")),
    Case("E21 residual", draw_residual),
    Case("E22 position encoding", draw_position_encoding),
    *(Case(f"E23 {kind}, {scope}", partial(draw_wave, kind, scope)) for kind in wave.WAVES for scope in wave.SCOPES),
    Case("E24 sigmoid cross-entropy", partial(draw_cross_entropy, "sigmoid", 0.0, False)),
    Case("E24 sigmoid cross-entropy, smoothed", partial(draw_cross_entropy, "sigmoid", 0.1, False)),
    Case("E24 sigmoid cross-entropy, smoothed, weighted", partial(draw_cross_entropy, "sigmoid", 0.1, True)),
    Case("E25 naive-Bayes shortcut", draw_naive_bayes),
    Case("E26 weighted log-count ratios", draw_weighted_ratios),
    *(Case(f"feed-forward, {name}", partial(draw_feed_forward, name), products=True) for name in ("gelu", "relu")),
    *NETWORK_CASES,
]
