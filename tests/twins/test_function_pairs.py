"""Every function pair of layers/ beside PyTorch's autograd, in float64 to 1e-10."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[bench]'")

import torch.nn.functional as F  # noqa: E402
import torch_twins as twins  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from engine.backend import random_generator  # noqa: E402
from layers import wave  # noqa: E402
from layers.networks.wave_block import COMBINE  # noqa: E402
from layers.standard import dropout, embedding, gelu, layer_norm, linear, pooling, relu, softmax_cross_entropy  # noqa: E402
from layers.wave import Wave  # noqa: E402

SEEDS = st.integers(0, 2**32 - 1)
LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=5)
every_scope = pytest.mark.parametrize("scope", wave.SCOPES)
quickly = settings(max_examples=30, deadline=None)


def numbers(rng, *shape):
    """Numbers of size 0.1 … 3 and either sign."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.1, 3.0, shape)


def random_wave(rng, *shape):
    return Wave(numbers(rng, *shape), numbers(rng, *shape))


def to_tensor(x):
    """A leaf with a gradient; a Wave becomes complex."""
    return torch.tensor(x.as_complex() if isinstance(x, Wave) else x, requires_grad=True)


def to_numpy(x):
    return x.as_complex() if isinstance(x, Wave) else np.asarray(x)


def compare(forward, backward, twin, inputs, seed):
    """Ours and the twin's: the result, and the gradient of every input for one random cotangent. Returns the largest error."""
    y, cache = forward(*inputs)
    tensors = [to_tensor(x) for x in inputs]
    expected = twin(*tensors)
    rng = np.random.default_rng([seed, 1])
    dy = Wave(*(rng.standard_normal(y.re.shape) for _ in y)) if isinstance(y, Wave) else np.asarray(rng.standard_normal(y.shape))[()]
    found = backward(dy, cache)
    found = found if isinstance(found, tuple) and not isinstance(found, Wave) else (found,)
    gradients = torch.autograd.grad(expected, tensors, torch.as_tensor(to_numpy(dy)), allow_unused=True)
    twins.assert_close(to_numpy(y), expected)
    for ours, theirs in zip(found, gradients, strict=True):
        scale = np.linalg.norm(np.ravel(to_numpy(dy)))
        twins.assert_close(to_numpy(ours), np.zeros_like(to_numpy(ours)) if theirs is None else theirs, floor=scale)


def ragged(lengths, seed):
    rng = np.random.default_rng(seed)
    return rng, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@every_scope
@given(LENGTHS, SEEDS)
@quickly
def test_global_magnitude(scope, lengths, seed):
    rng, offsets = ragged(lengths, seed)
    pair = (lambda w: wave.global_magnitude_forward(w, offsets, scope)), wave.global_magnitude_backward
    compare(*pair, lambda w: twins.global_magnitude(w, offsets, scope), [numbers(rng, offsets[-1], 3)], seed)


@every_scope
@given(LENGTHS, SEEDS)
@quickly
def test_phase(scope, lengths, seed):
    """w and G are independent inputs here; G a little too large keeps autograd off its 1/0."""
    rng, offsets = ragged(lengths, seed)
    w = numbers(rng, offsets[-1], 3)
    G = 1.2 * wave.global_magnitude_forward(w, offsets, scope)[0]
    compare(lambda w, G: wave.phase_forward(w, G, offsets), wave.phase_backward, lambda w, G: twins.phase(w, G, offsets), [w, G], seed)


@every_scope
@given(LENGTHS, SEEDS)
@quickly
def test_polar_to_wave(scope, lengths, seed):
    rng, offsets = ragged(lengths, seed)
    G, alpha = numbers(rng, len(lengths), 3 if scope == "dimension" else 1), rng.uniform(-4, 4, (offsets[-1], 3))
    pair = (lambda G, alpha: wave.polar_to_wave_forward(G, alpha, offsets)), wave.polar_to_wave_backward
    compare(*pair, lambda G, alpha: twins.polar_to_wave(G, alpha, offsets), [G, alpha], seed)


@every_scope
@given(LENGTHS, SEEDS)
@quickly
def test_token2wave_is_the_norm_of_the_others(scope, lengths, seed):
    rng, offsets = ragged(lengths, seed)
    pair = (lambda w: wave.token2wave_forward(w, offsets, scope)), wave.token2wave_backward
    compare(*pair, lambda w: twins.token2wave_others(w, offsets, scope), [numbers(rng, offsets[-1], 3)], seed)


@every_scope
@given(st.lists(st.integers(3, 6), min_size=1, max_size=4), SEEDS)
@quickly
def test_token2wave_is_the_polar_path_where_that_is_regular(scope, lengths, seed):
    """Three tokens of like size: none carries all of a dimension, so autograd of E1, E2, E3 is finite and must agree."""
    rng, offsets = ragged(lengths, seed)
    w = rng.choice([-1.0, 1.0], (offsets[-1], 3)) * rng.uniform(0.5, 1.0, (offsets[-1], 3))
    pair = (lambda w: wave.token2wave_forward(w, offsets, scope)), wave.token2wave_backward
    compare(*pair, lambda w: twins.token2wave_polar(w, offsets, scope), [w], seed)


def test_autograd_of_the_polar_path_is_nan_on_a_one_token_text_where_ours_is_exact():
    w, offsets = np.array([[0.3, -2.0, 1.0]]), np.array([0, 1])
    tensor = to_tensor(w)
    twins.token2wave_polar(tensor, offsets, "dimension").backward(torch.ones(1, 3, dtype=torch.complex128))
    assert torch.isnan(tensor.grad).all()
    z, cache = wave.token2wave_forward(w, offsets)
    assert not z.im.any()
    assert np.array_equal(wave.token2wave_backward(Wave(np.full((1, 3), 5.0), np.full((1, 3), 7.0)), cache), np.full((1, 3), 5.0))


@pytest.mark.parametrize("operation", COMBINE)
@given(st.integers(1, 5), SEEDS)
@quickly
def test_operations(operation, rows, seed):
    rng = np.random.default_rng(seed)
    compare(*COMBINE[operation], twins.OPERATIONS[operation], [random_wave(rng, rows, 3), random_wave(rng, rows, 3)], seed)


@pytest.mark.parametrize("kind", wave.READOUTS)
@given(st.integers(1, 5), SEEDS)
@quickly
def test_readouts(kind, rows, seed):
    z = random_wave(np.random.default_rng(seed), rows, 3)
    compare(lambda z: wave.readout_forward(z, kind), wave.readout_backward, lambda z: twins.readout(z, kind), [z], seed)


@given(st.integers(1, 5), SEEDS)
@quickly
def test_linear(rows, seed):
    rng = np.random.default_rng(seed)
    inputs = [numbers(rng, rows, 3), numbers(rng, 3, 4), numbers(rng, 4)]
    compare(linear.linear_forward, linear.linear_backward, lambda x, weight, bias: F.linear(x, weight.T, bias), inputs, seed)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), SEEDS)
@quickly
def test_embedding(ids, seed):
    ids, table = np.array(ids), numbers(np.random.default_rng(seed), 6, 3)
    pair = (lambda table: embedding.embedding_forward(ids, table)), (lambda dy, cache: embedding.embedding_backward(dy, cache).dense(6))
    compare(*pair, lambda table: F.embedding(torch.as_tensor(ids), table), [table], seed)


@given(st.integers(1, 5), SEEDS)
@quickly
def test_layer_norm(rows, seed):
    rng = np.random.default_rng(seed)
    inputs = [numbers(rng, rows, 6), numbers(rng, 6), numbers(rng, 6)]
    compare(layer_norm.layer_norm_forward, layer_norm.layer_norm_backward, lambda x, g, b: F.layer_norm(x, (6,), g, b), inputs, seed)


@pytest.mark.parametrize("module, name", [(gelu, "gelu"), (relu, "relu")])
@given(st.integers(1, 5), SEEDS)
@quickly
def test_activations(module, name, rows, seed):
    pair = getattr(module, f"{name}_forward"), getattr(module, f"{name}_backward")
    compare(*pair, getattr(F, name), [3.0 * numbers(np.random.default_rng(seed), rows, 3)], seed)


@given(st.integers(1, 5), st.sampled_from([0.0, 0.3, 0.9]), SEEDS)
@quickly
def test_dropout(rows, rate, seed):
    """Of the same mask; that entries are dropped at the right rate is not autograd's business."""
    x = numbers(np.random.default_rng(seed), rows, 3)
    mask = random_generator(seed).random((rows, 3), dtype=np.float32) >= rate
    pair = (lambda x: dropout.dropout_forward(x, rate, random_generator(seed))), dropout.dropout_backward
    compare(*pair, lambda x: x * torch.as_tensor(mask) / (1 - rate), [x], seed)


@pytest.mark.parametrize("kind", pooling.POOLINGS)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=5).filter(any), SEEDS)
@quickly
def test_pooling(kind, lengths, seed):
    rng, offsets = ragged(lengths, seed)
    pair = (lambda x: pooling.pooling_forward(x, offsets, kind)), pooling.pooling_backward
    compare(*pair, lambda x: twins.pooling(x, offsets, kind), [numbers(rng, offsets[-1], 3)], seed)


@given(st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.9]), SEEDS)
@quickly
def test_softmax_cross_entropy(rows, smoothing, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, rows)
    pair = (lambda z: softmax_cross_entropy.softmax_cross_entropy_forward(z, labels, smoothing)), softmax_cross_entropy.softmax_cross_entropy_backward
    compare(*pair, lambda z: F.cross_entropy(z, torch.as_tensor(labels), label_smoothing=smoothing), [numbers(rng, rows, 4)], seed)
