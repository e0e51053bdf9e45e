"""Every equation and layer beside random examples of its inputs, for suite.py.

A Case draws ragged batches (texts of one token and empty ones among them) away from kinks; the kinks have exact tests
of their own. Dropout is checked with a generator that starts anew at every call, so that the function stays the same.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from engine.arrays.backend import array_module, random_generator
from engine.arrays.bag import Bag, merge_repeats
from engine.arrays.ragged import positions
from engine.implementation import Functions
from engine.layer import sum_rows
from engine.types import Floats1d, Floats2d, Offsets
from layers import wave
from layers.experiments.gradcheck import Case, Problem
from layers.experiments.gradcheck.network_cases import NETWORK_CASES
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
)

FAST = FUNCTIONS["fast"]  # where no implementation supports the arguments, equations composed


def random_offsets(rng: Generator, texts: int = 4, longest: int = 6) -> Offsets:
    """Draw offsets of texts with 0 … longest tokens, at least one of them of one token and one of several."""
    lengths = rng.permutation(
        np.concatenate([[1, 2 + rng.integers(longest - 1)], rng.integers(0, longest + 1, texts - 2)])
    )
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def random_rows(rng: Generator, rows: int, columns: int = 3) -> Floats2d:
    """Draw (rows, columns) numbers of size 0.1 … 3 and either sign: never near the kinks at 0, and never two alike."""
    return rng.choice([-1.0, 1.0], (rows, columns)) * rng.uniform(0.1, 3.0, (rows, columns))


def random_wave(rng: Generator, rows: int, columns: int = 3) -> wave.Wave:
    """Draw a Wave whose parts are random_rows."""
    return wave.Wave(random_rows(rng, rows, columns), random_rows(rng, rows, columns))


def random_bag(rng: Generator, rows: int = 4) -> Bag:
    """Draw a bag of random texts over `rows` rows, some of which no text may have.

    Repeats are merged into counts, or each token stands by itself.
    """
    offsets = random_offsets(rng)
    row_index = rng.integers(0, rows, offsets[-1])
    longest = offsets[np.argmax(offsets[1:] - offsets[:-1])]
    two = rng.choice(rows, 2, replace=False)  # else a·|b| + |a|·b may be 0 in all texts: nothing to check
    row_index[longest : longest + 2] = two
    bag = Bag(row_index, None, offsets)
    return merge_repeats(bag, rows) if rng.random() < 0.7 else bag


def draw_global_magnitude(scope: str, rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    forward = partial(wave.global_magnitude_forward, scope=scope)
    return Problem(forward, wave.global_magnitude_backward, (random_rows(rng, offsets[-1]), offsets))


def draw_phase(scope: str, rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    w = random_rows(rng, offsets[-1])
    # w and G are independent inputs; |w| < G keeps s off 0
    G = 1.5 * wave.global_magnitude_forward(w, offsets, scope)[0]
    return Problem(wave.phase_forward, wave.phase_backward, (w, G, offsets))


def draw_polar_to_wave(scope: str, rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    G = random_rows(rng, len(offsets) - 1, 3 if scope == "dimension" else 1)
    return Problem(
        wave.polar_to_wave_forward, wave.polar_to_wave_backward, (G, rng.uniform(0, np.pi, (offsets[-1], 3)), offsets)
    )


def draw_token2wave(scope: str, rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    forward = partial(wave.token2wave_forward, scope=scope)
    return Problem(forward, wave.token2wave_backward, (random_rows(rng, offsets[-1]), offsets))


def draw_wave(kind: str, scope: str, rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    forward = partial(wave.wave_forward, scope=scope, kind=kind)
    return Problem(forward, wave.wave_backward, (random_rows(rng, offsets[-1]), offsets))


def draw_operation(operation: str, rng: Generator) -> Problem:
    record = wave.OPERATIONS[operation]
    return Problem(record.forward, record.backward, (random_wave(rng, 5), random_wave(rng, 5)))


def draw_readout(kind: str, rng: Generator) -> Problem:
    return Problem(wave.readout_forward, wave.readout_backward, (random_wave(rng, 5), kind))


def draw_wave_pair(operation: str, readout: str, scope: str, rng: Generator) -> Problem:
    a, b = random_rows(rng, 4), random_rows(rng, 4)
    # Larger than a: the interference of a text of one token keeps off 0, the kink of its magnitude.
    b += 3.2 * np.sign(b)
    return Problem(FAST.wave_pair_forward, FAST.wave_pair_backward, (a, b, random_bag(rng), operation, readout, scope))


def draw_modulated_magnitude(rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    inputs = (random_rows(rng, offsets[-1]), random_rows(rng, offsets[-1]), offsets)
    return Problem(wave.modulated_magnitude_forward, wave.modulated_magnitude_backward, inputs)


def draw_modulated_magnitude_of_sentences(rng: Generator) -> Problem:
    """Magnitudes of a by sentences, those of b by texts of 0 to 3 sentences."""
    offsets = random_offsets(rng)
    cuts = np.sort(rng.integers(0, len(offsets), 2))
    texts = np.concatenate([offsets[:1], offsets[cuts], offsets[-1:]])
    inputs = (random_rows(rng, offsets[-1]), random_rows(rng, offsets[-1]), offsets, texts)
    return Problem(wave.modulated_magnitude_forward, wave.modulated_magnitude_backward, inputs)


def draw_bag_magnitude(functions: Functions, rng: Generator) -> Problem:
    inputs = (random_rows(rng, 4), random_rows(rng, 4), random_bag(rng))
    return Problem(functions.bag_magnitude_forward, functions.bag_magnitude_backward, inputs)


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


def draw_naive_bayes(rng: Generator) -> Problem:
    """The gradient of the gains, for ratios of random counts, of which each text is left out."""
    offsets = random_offsets(rng)
    counts = rng.integers(0, 5, (offsets[-1], 4))
    counts[:, -1] = counts.sum(axis=1)
    ratios = naive_bayes.log_count_ratios(counts, np.array([0.2, 0.5, 0.3]), rng.random((len(counts), 3)) < 0.4)

    def forward(gain: Floats1d) -> tuple[Floats2d, naive_bayes.Cache]:
        xp = array_module(gain)
        return naive_bayes.naive_bayes_forward(gain, xp.asarray(ratios, gain.real.dtype), xp.asarray(offsets))

    return Problem(forward, naive_bayes.naive_bayes_backward, (random_rows(rng, 1)[0],))


def draw_attention(heads: int, rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    inputs = (*(random_rows(rng, offsets[-1], 6) for _ in range(3)), offsets, heads)
    return Problem(attention.attention_forward, attention.attention_backward, inputs)


WAVE_PAIRS = [
    *((operation, readout, "dimension") for operation in wave.OPERATIONS for readout in wave.READOUTS),
    ("interference", "magnitude", "text"),
    ("modulation", "both", "text"),
]
WAVE_PAIRS.remove(("modulation", "phase", "dimension"))  # its phase jumps from π to −π (E7)

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
    *(Case(f"feed-forward, {name}", partial(draw_feed_forward, name), products=True) for name in ("gelu", "relu")),
    *NETWORK_CASES,
]
