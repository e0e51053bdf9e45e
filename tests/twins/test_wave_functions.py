"""Every function pair of layers/wave beside PyTorch's autograd: in float64 to 1e-10 of their norms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays.ragged import CACHE_BLOCK_ENTRIES
from layers import wave
from layers.wave import OPERATIONS, Wave
from tests.support import torch_twins as twins
from tests.support.torch_twins import torch
from tests.support.twin_pairs import (
    LENGTHS,
    SEEDS,
    compare,
    numbers,
    quickly,
    ragged,
    random_wave,
    to_tensor,
    with_zeros,
)

every_scope = pytest.mark.parametrize("scope", wave.SCOPES)


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
    """Also where one token carries all of a dimension, and at the tip of the cone, of subgradient 0 in both."""
    rng, offsets = ragged(lengths, seed)
    pair = (lambda w: wave.token2wave_forward(w, offsets, scope)), wave.token2wave_backward
    compare(*pair, lambda w: twins.token2wave_others(w, offsets, scope), [draw(rng, offsets[-1], 3)], seed)


@every_scope
@given(st.lists(st.integers(3, 6), min_size=1, max_size=4), SEEDS)
@quickly
def test_token2wave_is_the_polar_path_where_that_is_regular(scope, lengths, seed):
    """Three tokens of like size: none carries all of a dimension, so autograd of E1, E2, E3 is finite."""
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
def test_autograd_of_the_polar_path_is_nan_where_ours_is_exact(w, scope):
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


@every_scope
@pytest.mark.parametrize("kind", wave.WAVES)
@given(LENGTHS, SEEDS, st.sampled_from([numbers, with_zeros]))
@quickly
def test_controls(kind, scope, lengths, seed, draw):
    rng, offsets = ragged(lengths, seed)
    pair = (lambda w: wave.wave_forward(w, offsets, scope, kind)), wave.wave_backward
    compare(*pair, lambda w: twins.WAVES[kind](w, offsets, scope), [draw(rng, offsets[-1], 3)], seed)


@pytest.mark.parametrize("operation", OPERATIONS)
@given(st.integers(1, 5), SEEDS)
@quickly
def test_operations(operation, rows, seed):
    rng = np.random.default_rng(seed)
    record, inputs = OPERATIONS[operation], [random_wave(rng, rows, 3), random_wave(rng, rows, 3)]
    compare(record.forward, record.backward, twins.OPERATIONS[operation], inputs, seed)


@pytest.mark.parametrize("kind", wave.READOUTS)
@given(st.integers(1, 5), SEEDS)
@quickly
def test_readouts(kind, rows, seed):
    z = random_wave(np.random.default_rng(seed), rows, 3)
    compare(lambda z: wave.readout_forward(z, kind), wave.readout_backward, lambda z: twins.readout(z, kind), [z], seed)


def test_the_magnitude_of_0_has_the_subgradient_0_in_both():
    z = Wave(np.array([[0.0, 3.0]]), np.array([[0.0, -4.0]]))
    compare(
        lambda z: wave.readout_forward(z, "magnitude"),
        wave.readout_backward,
        lambda z: twins.readout(z, "magnitude"),
        [z],
        0,
    )


@given(LENGTHS, SEEDS)
@quickly
def test_modulated_magnitude(lengths, seed):
    """Of every operation that shares its magnitude: that of the first token of each text stands for all of it."""
    rng, offsets = ragged(lengths, seed)
    filled = [t for t, n in enumerate(lengths) if n]
    for operation in (name for name, record in OPERATIONS.items() if record.shares_magnitude):

        def twin(a, b, operation=operation):
            waves = (twins.token2wave_others(x, offsets, "dimension") for x in (a, b))
            return twins.OPERATIONS[operation](*waves).abs()[offsets[:-1][filled]]

        def forward(a, b):
            y, cache = wave.modulated_magnitude_forward(a, b, offsets)
            return y[filled], (cache, y.shape)

        def backward(dy, cache):
            whole = np.zeros(cache[1])
            whole[filled] = dy
            return wave.modulated_magnitude_backward(whole, cache[0])

        compare(forward, backward, twin, [numbers(rng, offsets[-1], 3), numbers(rng, offsets[-1], 3)], seed)


@given(st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), min_size=1, max_size=3), SEEDS)
@quickly
def test_modulated_magnitude_of_sentences(sentences, seed):
    """That of the first token of each sentence stands for all of it."""
    rng, offsets = ragged([n for text in sentences for n in text], seed)
    _, texts = ragged(list(map(sum, sentences)), seed)

    def twin(a, b):
        A, B = (twins.token2wave_others(x, cut, "dimension") for x, cut in ((a, offsets), (b, texts)))
        return (A * B).abs()[offsets[:-1]]

    pair = (lambda a, b: wave.modulated_magnitude_forward(a, b, offsets, texts)), wave.modulated_magnitude_backward
    compare(*pair, twin, [numbers(rng, offsets[-1], 3), numbers(rng, offsets[-1], 3)], seed)
