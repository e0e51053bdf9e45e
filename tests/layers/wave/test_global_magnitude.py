"""E1: the norm over a text, per dimension or over all of it."""

import math

import numpy as np
import pytest
from hypothesis import given

from layers.wave import SCOPES, global_magnitude_backward, global_magnitude_forward
from tests.support.layer_laws import (
    LENGTHS,
    OFFSETS,
    ROWS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    groups,
    ragged,
)

both_scopes = pytest.mark.parametrize("scope", SCOPES)


def by_loops(w, dG, offsets, scope):
    """G and dw, entry by entry."""
    G, dw = np.zeros_like(dG), np.zeros_like(w)
    for at, entries in groups(offsets, w.shape[1], scope):
        G[at] = math.sqrt(math.fsum(w[e] ** 2 for e in entries))
        for e in entries:
            dw[e] = dG[at] * w[e] / G[at]
    return G, dw


@both_scopes
@given(LENGTHS, SEEDS)
@examples()
def test_gradient(scope, lengths, seed):
    _, w, offsets = ragged(lengths, seed)
    assert_exact_gradients(global_magnitude_forward, global_magnitude_backward, w, offsets, scope)
    assert_five_point_gradients(global_magnitude_forward, global_magnitude_backward, w, offsets, scope)


@both_scopes
@given(LENGTHS, SEEDS)
@examples()
def test_agrees_with_loops_over_entries(scope, lengths, seed):
    rng, w, offsets = ragged(lengths, seed)
    G, cache = global_magnitude_forward(w, offsets, scope)
    dG = rng.standard_normal(G.shape)
    assert G.shape == (len(lengths), 3 if scope == "dimension" else 1)
    assert_equal((G, global_magnitude_backward(dG, cache)), by_loops(w, dG, offsets, scope), 1e-14)


@both_scopes
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_dimension_of_zeros_has_magnitude_and_gradient_zero(scope, dtype):
    G, cache = global_magnitude_forward(np.zeros((3, 2), dtype), OFFSETS, scope)
    dw = global_magnitude_backward(np.ones_like(G), cache)
    assert not G.any() and not dw.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(SEEDS)
@examples()
def test_one_token_is_its_own_magnitude_exactly(dtype, seed):
    _, w, offsets = ragged([1, 1], seed, decades=12)
    w = w.astype(dtype)
    G, cache = global_magnitude_forward(w, offsets)
    assert_equal((G, global_magnitude_backward(G, cache)), (abs(w), w))


@both_scopes
def test_an_empty_text_has_magnitude_zero(scope):
    G, _ = global_magnitude_forward(ROWS, OFFSETS, scope)
    assert not G[1].any() and G[0].all() and G[2].all()


@pytest.mark.parametrize(
    "dtype, scale", [(np.float32, 1e-30), (np.float32, 1e30), (np.float64, 1e-200), (np.float64, 1e200)]
)
def test_squares_neither_overflow_nor_underflow(dtype, scale):
    w = np.array([[3.0], [4.0]], dtype) * dtype(scale)
    G, cache = global_magnitude_forward(w, np.array([0, 2]))
    np.testing.assert_allclose(G, [[5 * scale]], rtol=1e-6)
    np.testing.assert_allclose(global_magnitude_backward(np.ones_like(G), cache), [[0.6], [0.8]], rtol=1e-6)


def test_a_subnormal_magnitude_keeps_the_digits_it_can():
    G, cache = global_magnitude_forward(np.array([[1e-44], [2e-44]], np.float32), np.array([0, 2]))
    np.testing.assert_allclose(G, [[5**0.5 * 1e-44]], rtol=0.05)
    np.testing.assert_allclose(global_magnitude_backward(np.ones_like(G), cache), [[5**-0.5], [2 * 5**-0.5]], rtol=0.05)


def test_a_magnitude_beyond_the_range_has_gradient_zero():
    w = np.full((4, 1), 3e38, np.float32)  # G = 6e38
    with np.errstate(over="ignore"):
        G, cache = global_magnitude_forward(w, np.array([0, 4]))
    assert G == np.inf and not global_magnitude_backward(np.ones_like(G), cache).any()


def test_a_backward_that_forgets_to_divide_is_caught():
    def corrupted(dG, cache):
        return global_magnitude_backward(dG * cache.G, cache)

    assert caught(global_magnitude_forward, corrupted, ROWS, OFFSETS)


def test_a_backward_that_takes_the_wrong_text_is_caught():
    def corrupted(dG, cache):
        return global_magnitude_backward(dG[::-1].copy(), cache)

    assert caught(global_magnitude_forward, corrupted, ROWS, OFFSETS)
