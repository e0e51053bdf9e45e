"""Every function pair of layers/ beside PyTorch's autograd, in float64 to 1e-10 of the norm of each result and gradient."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays.backend import random_generator
from engine.arrays.ragged import CACHE_BLOCK_ENTRIES
from layers import wave
from layers.standard import (
    attention,
    dropout,
    embedding,
    gelu,
    layer_norm,
    linear,
    pooling,
    relu,
    softmax_cross_entropy,
    token_dropout,
)
from layers.wave import OPERATIONS, Wave
from tests.support import torch_twins as twins
from tests.support.torch_twins import F, torch

SEEDS = st.integers(0, 2**32 - 1)
LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=5).filter(any)  # of texts; empty ones and single tokens too
every_scope = pytest.mark.parametrize("scope", wave.SCOPES)
quickly = settings(max_examples=30, deadline=None)


def numbers(rng, *shape):
    """Numbers of size 0.1 … 3 and either sign."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.1, 3.0, shape)


def with_zeros(rng, *shape):
    """The same, but every third is 0: columns of zeros, and tokens that carry all of a dimension, are among them."""
    return numbers(rng, *shape) * (rng.random(shape) > 1 / 3)


def random_wave(rng, *shape):
    return Wave(numbers(rng, *shape), numbers(rng, *shape))


def to_tensor(x):
    """A leaf with a gradient; a Wave becomes complex."""
    return torch.tensor(x.as_complex() if isinstance(x, Wave) else x, requires_grad=True)


def to_numpy(x):
    return x.as_complex() if isinstance(x, Wave) else np.asarray(x)


def random_like(rng, y):
    return (
        Wave(*(rng.standard_normal(part.shape) for part in y))
        if isinstance(y, Wave)
        else np.asarray(rng.standard_normal(y.shape))[()]
    )


def compare(forward, backward, twin, inputs, seed):
    """Ours and the twin's: the result, and the gradient of every input for one random cotangent."""
    y, cache = forward(*inputs)
    tensors = [to_tensor(x) for x in inputs]
    expected = twin(*tensors)
    dy = random_like(np.random.default_rng([seed, 1]), y)
    found = backward(dy, cache)
    found = found if isinstance(found, tuple) and not isinstance(found, Wave) else (found,)
    gradients = torch.autograd.grad(expected, tensors, torch.as_tensor(to_numpy(dy)))
    twins.assert_close(to_numpy(y), expected, what="the result")
    for number, (ours, theirs) in enumerate(zip(found, gradients, strict=True)):
        twins.assert_close(to_numpy(ours), theirs, what=f"the gradient of input {number}")


def ragged(lengths, seed):
    return np.random.default_rng(seed), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


# --- the wave path -----------------------------------------------------------------------------------------------


@every_scope
@given(LENGTHS, SEEDS, st.sampled_from([numbers, with_zeros]))
@quickly
def test_global_magnitude(scope, lengths, seed, draw):
    rng, offsets = ragged(lengths, seed)
    pair = (lambda w: wave.global_magnitude_forward(w, offsets, scope)), wave.global_magnitude_backward
    compare(*pair, lambda w: twins.global_magnitude(w, offsets, scope), [draw(rng, offsets[-1], 3)], seed)


@every_scope
@given(LENGTHS, SEEDS)
@quickly
def test_phase(scope, lengths, seed):
    """w and G are independent inputs here; G a little too large keeps autograd off its 1/0."""
    rng, offsets = ragged(lengths, seed)
    w = numbers(rng, offsets[-1], 3)
    G = 1.2 * twins.global_magnitude(torch.tensor(w), offsets, scope).numpy()
    compare(
        lambda w, G: wave.phase_forward(w, G, offsets),
        wave.phase_backward,
        lambda w, G: twins.phase(w, G, offsets),
        [w, G],
        seed,
    )


@every_scope
@given(LENGTHS, SEEDS)
@quickly
def test_polar_to_wave(scope, lengths, seed):
    rng, offsets = ragged(lengths, seed)
    G, alpha = numbers(rng, len(lengths), 3 if scope == "dimension" else 1), rng.uniform(-4, 4, (offsets[-1], 3))
    pair = (lambda G, alpha: wave.polar_to_wave_forward(G, alpha, offsets)), wave.polar_to_wave_backward
    compare(*pair, lambda G, alpha: twins.polar_to_wave(G, alpha, offsets), [G, alpha], seed)


@pytest.mark.parametrize("shape", [(5, 3), (1, 3), (5, 1), (1, 1)])
@given(SEEDS)
@quickly
def test_polar_to_wave_of_magnitudes_that_are_spread_already(shape, seed):
    rng = np.random.default_rng(seed)
    inputs = [numbers(rng, *shape), rng.uniform(-4, 4, (5, 3))]
    compare(wave.polar_to_wave_forward, wave.polar_to_wave_backward, twins.polar_to_wave, inputs, seed)


@every_scope
@given(LENGTHS, SEEDS, st.sampled_from([numbers, with_zeros]))
@quickly
def test_token2wave_is_the_norm_of_the_others(scope, lengths, seed, draw):
    """Also where one token carries all of a dimension, and at the tip of the cone, where both take the subgradient 0."""
    rng, offsets = ragged(lengths, seed)
    pair = (lambda w: wave.token2wave_forward(w, offsets, scope)), wave.token2wave_backward
    compare(*pair, lambda w: twins.token2wave_others(w, offsets, scope), [draw(rng, offsets[-1], 3)], seed)


@every_scope
@given(st.lists(st.integers(3, 6), min_size=1, max_size=4), SEEDS)
@quickly
def test_token2wave_is_the_polar_path_where_that_is_regular(scope, lengths, seed):
    """Three tokens of like size: none carries all of a dimension, so autograd of E1, E2, E3 is finite and must agree."""
    rng, offsets = ragged(lengths, seed)
    w = rng.choice([-1.0, 1.0], (offsets[-1], 3)) * rng.uniform(0.5, 1.0, (offsets[-1], 3))
    pair = (lambda w: wave.token2wave_forward(w, offsets, scope)), wave.token2wave_backward
    compare(*pair, lambda w: twins.token2wave_polar(w, offsets, scope), [w], seed)


@pytest.mark.parametrize(
    "scope, lengths, columns",
    [("dimension", [2, 1, 0, 3] * 60, 100), ("dimension", [300, 1, 0, 200, 40], 100), ("text", [40] * 40, 21)],
    ids=["short texts", "texts longer than a block", "scope text"],
)
def test_token2wave_of_a_batch_that_is_cut_into_blocks(scope, lengths, columns):
    rng, offsets = ragged(lengths, 0)
    w = numbers(rng, offsets[-1], columns)
    assert w.size > CACHE_BLOCK_ENTRIES
    pair = (lambda w: wave.token2wave_forward(w, offsets, scope)), wave.token2wave_backward
    compare(*pair, lambda w: twins.token2wave_others(w, offsets, scope), [w], 0)


@pytest.mark.parametrize(
    "w, scope",
    [
        ([[0.3, -2.0, 1.0]], "dimension"),
        ([[0.3], [0.0]], "dimension"),
        ([[0.3]], "text"),
        ([[0.0, 0.0], [-2.0, 0.0]], "text"),
    ],
    ids=["one token", "one token carries the dimension", "one number", "one number carries the text"],
)
def test_autograd_of_the_polar_path_is_nan_where_ours_is_exact_and_bounded(w, scope):
    w, offsets = np.array(w), np.array([0, len(w)])
    dz = Wave(np.full(w.shape, 5.0), np.full(w.shape, 7.0))
    tensor = to_tensor(w)
    twins.token2wave_polar(tensor, offsets, scope).backward(torch.as_tensor(dz.as_complex()))
    assert torch.isnan(tensor.grad[tensor != 0]).all()
    z, cache = wave.token2wave_forward(w, offsets, scope)
    dw = wave.token2wave_backward(dz, cache)
    # im of each of the others is |w| of the one number that is not 0; its own im is 0.
    others = w.size - 1 if scope == "text" else len(w) - 1
    assert np.array_equal(dw, 5.0 + 7.0 * others * np.sign(w))
    assert not z.im[w != 0].any()


def test_a_gradient_of_a_wave_is_dL_dre_plus_i_dL_dim_in_both():
    """L = 2·re + 3·im. The other convention, the conjugate, would give 2 − 3i."""
    z, dy = Wave(np.array([[0.5]]), np.array([[-0.25]])), np.array([[2.0, 3.0]])
    tensor = to_tensor(z)
    (2 * tensor.real + 3 * tensor.imag).sum().backward()
    dz = wave.readout_backward(dy, wave.readout_forward(z, "both")[1])
    assert dz.as_complex().item() == tensor.grad.item() == 2 + 3j


@pytest.mark.parametrize("operation", OPERATIONS)
@given(st.integers(1, 5), SEEDS)
@quickly
def test_operations(operation, rows, seed):
    rng = np.random.default_rng(seed)
    compare(
        *OPERATIONS[operation],
        twins.OPERATIONS[operation],
        [random_wave(rng, rows, 3), random_wave(rng, rows, 3)],
        seed,
    )


@pytest.mark.parametrize("kind", wave.READOUTS)
@given(st.integers(1, 5), SEEDS)
@quickly
def test_readouts(kind, rows, seed):
    z = random_wave(np.random.default_rng(seed), rows, 3)
    compare(lambda z: wave.readout_forward(z, kind), wave.readout_backward, lambda z: twins.readout(z, kind), [z], seed)


def test_the_magnitude_of_the_wave_0_has_the_subgradient_0_in_both():
    z = Wave(np.array([[0.0, 3.0]]), np.array([[0.0, -4.0]]))
    compare(
        lambda z: wave.readout_forward(z, "magnitude"),
        wave.readout_backward,
        lambda z: twins.readout(z, "magnitude"),
        [z],
        0,
    )


# --- standard parts ----------------------------------------------------------------------------------------------


@given(st.integers(1, 5), SEEDS)
@quickly
def test_linear(rows, seed):
    rng = np.random.default_rng(seed)
    inputs = [numbers(rng, rows, 3), numbers(rng, 3, 4), numbers(rng, 4)]
    compare(
        linear.linear_forward, linear.linear_backward, lambda x, weight, bias: F.linear(x, weight.T, bias), inputs, seed
    )


@given(st.integers(1, 5), SEEDS)
@quickly
def test_linear_without_a_bias(rows, seed):
    rng = np.random.default_rng(seed)
    pair = (
        (lambda x, weight: linear.linear_forward(x, weight, None)),
        (lambda dy, cache: linear.linear_backward(dy, cache)[:2]),
    )
    compare(*pair, lambda x, weight: F.linear(x, weight.T), [numbers(rng, rows, 3), numbers(rng, 3, 4)], seed)


@given(st.lists(st.integers(0, 5), max_size=12), SEEDS)
@quickly
def test_embedding(ids, seed):
    ids, table = np.array(ids, np.int64), numbers(np.random.default_rng(seed), 6, 3)
    pair = (
        (lambda table: embedding.embedding_forward(ids, table)),
        (lambda dy, cache: embedding.embedding_backward(dy, cache).dense(6)),
    )
    compare(*pair, lambda table: F.embedding(torch.as_tensor(ids), table), [table], seed)


@given(st.integers(1, 5), SEEDS, st.sampled_from([1.0, 1e-3]))
@quickly
def test_layer_norm(rows, seed, size):
    """Of size 1e-3 the variance is as small as ε."""
    rng = np.random.default_rng(seed)
    inputs = [size * numbers(rng, rows, 6), numbers(rng, 6), numbers(rng, 6)]
    compare(
        layer_norm.layer_norm_forward,
        layer_norm.layer_norm_backward,
        lambda x, g, b: F.layer_norm(x, (6,), g, b),
        inputs,
        seed,
    )


@given(LENGTHS, st.sampled_from([1, 2, 3]), SEEDS)
@quickly
def test_attention(lengths, heads, seed):
    """Text by text, heads as PyTorch lays them out."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    def twin(*rows):
        texts = [
            [x[start:stop].reshape(-1, heads, 6 // heads).transpose(0, 1) for x in rows]
            for start, stop in zip(offsets, offsets[1:])
        ]
        return torch.cat([F.scaled_dot_product_attention(*text).transpose(0, 1).reshape(-1, 6) for text in texts])

    pair = (lambda q, k, v: attention.attention_forward(q, k, v, offsets, heads)), attention.attention_backward
    compare(*pair, twin, [numbers(rng, offsets[-1], 6) for _ in range(3)], seed)


@pytest.mark.parametrize("module, name", [(gelu, "gelu"), (relu, "relu")], ids=["gelu", "relu"])
@given(st.integers(1, 5), SEEDS, st.sampled_from([numbers, with_zeros]))
@quickly
def test_activations(module, name, rows, seed, draw):
    """At 0 too, where both give the ReLU the slope 0."""
    pair = getattr(module, f"{name}_forward"), getattr(module, f"{name}_backward")
    compare(*pair, twins.ACTIVATIONS[name], [3.0 * draw(np.random.default_rng(seed), rows, 3)], seed)


def test_gelu_of_a_batch_that_is_cut_into_blocks():
    x = 3.0 * numbers(np.random.default_rng(0), 700, 100)
    assert x.size > CACHE_BLOCK_ENTRIES
    compare(gelu.gelu_forward, gelu.gelu_backward, twins.gelu, [x], 0)


@given(st.integers(1, 5), st.sampled_from([0.0, 0.3, 0.9]), SEEDS)
@quickly
def test_dropout(rows, rate, seed):
    """Of the same mask; that entries are dropped at the right rate is not autograd's business."""
    x = numbers(np.random.default_rng(seed), rows, 3)
    mask = random_generator(seed).random((rows, 3), dtype=np.float32) >= rate
    pair = (lambda x: dropout.dropout_forward(x, rate, random_generator(seed))), dropout.dropout_backward
    compare(*pair, lambda x: twins.dropped(x, mask, rate), [x], seed)


@given(LENGTHS, st.sampled_from([0.1, 0.5, 0.9]), SEEDS, st.sampled_from([0, 2]))
@quickly
def test_token_dropout(lengths, rate, seed, spared):
    """No gradient: the rows are chosen alike."""
    rng, offsets = ragged(lengths, seed)
    ids = rng.integers(0, 9, offsets[-1])
    found = token_dropout.drop_tokens(ids, offsets, rate, random_generator(seed), spared)
    for ours, theirs in zip(found, twins.kept_tokens(ids, offsets, rate, random_generator(seed), spared), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("kind", pooling.POOLINGS)
@given(LENGTHS, SEEDS, st.booleans())
@quickly
def test_pooling(kind, lengths, seed, has_ties):
    """Of several largest entries both give all of the gradient to the first."""
    rng, offsets = ragged(lengths, seed)
    x = rng.integers(-1, 2, (offsets[-1], 3)) + 0.5 if has_ties else numbers(rng, offsets[-1], 3)
    pair = (lambda x: pooling.pooling_forward(x, offsets, kind)), pooling.pooling_backward
    compare(*pair, lambda x: twins.pooling(x, offsets, kind), [x], seed)


@given(st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.9]), SEEDS)
@quickly
def test_softmax_cross_entropy(rows, smoothing, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, rows)
    pair = (
        (lambda z: softmax_cross_entropy.softmax_cross_entropy_forward(z, labels, smoothing)),
        softmax_cross_entropy.softmax_cross_entropy_backward,
    )
    compare(
        *pair,
        lambda z: F.cross_entropy(z, torch.as_tensor(labels), label_smoothing=smoothing),
        [numbers(rng, rows, 4)],
        seed,
    )
