"""E11: GELU, against the error function of the standard library."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.standard import gelu
from layers.standard.gelu import gelu_backward, gelu_forward
from tests.support.layer_laws import (
    ROWS,
    SEEDS,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    random_rows,
)

GRID = np.concatenate([np.linspace(-12, 12, 4801), [-40.0, 40.0, 1e-8, -1e-8, 1e-300, 0.0]])[:, None]


def normal_distribution(x):
    """Φ(x), with full relative precision in the lower tail."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def expected(x):
    """(y, slope) entry by entry."""
    y = [v * normal_distribution(v) for v in x[:, 0].tolist()]
    slope = [normal_distribution(v) + v * math.exp(-v * v / 2) / math.sqrt(2 * math.pi) for v in x[:, 0].tolist()]
    return np.array(y)[:, None], np.array(slope)[:, None]


@given(st.integers(1, 5), SEEDS)
@examples()
def test_gradient(rows, seed):
    x = random_rows(np.random.default_rng(seed), rows, decades=0.6)
    assert_exact_gradients(gelu_forward, gelu_backward, x)
    assert_five_point_gradients(gelu_forward, gelu_backward, x)


@pytest.mark.parametrize("dtype, of_y, of_slope", [(np.float64, 1e-15, 2e-15), (np.float32, 1e-7, 4e-7)])
def test_agrees_with_the_error_function(dtype, of_y, of_slope):
    """To the error stated in the docstring (of y relative to max(1, |y|), since y itself is rounded)."""
    x = GRID.astype(dtype)
    y, cache = gelu_forward(x)
    slope = gelu_backward(np.ones_like(x), cache)
    exact_y, exact_slope = expected(x.astype(float))
    assert np.max(abs(y - exact_y) / np.maximum(1, abs(exact_y))) <= of_y
    assert np.max(abs(slope - exact_slope)) <= of_slope


def test_the_lower_tail_keeps_its_relative_precision():
    x = np.linspace(-30, -0.5, 500)[:, None]
    np.testing.assert_allclose(gelu_forward(x)[0], expected(x)[0], rtol=1e-12)


@pytest.mark.parametrize("dtype, other", [(np.float32, "DOUBLE"), (np.float64, "SINGLE")])
def test_each_dtype_has_a_polynomial_of_its_own(monkeypatch, dtype, other):
    """That of float32 is less than half as long; with the other's, float32 would cost twice its time."""
    monkeypatch.setattr(gelu, other, None)
    y, cache = gelu_forward(ROWS.astype(dtype))
    assert np.isfinite(y).all() and np.isfinite(cache.slope).all()


def test_the_lower_tail_keeps_its_relative_precision_in_float32():
    x = np.linspace(-10, -1, 500).astype(np.float32)[:, None]
    np.testing.assert_allclose(gelu_forward(x)[0], expected(x.astype(float))[0], rtol=3e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_at_zero_and_far_away(dtype):
    x = np.array([[0.0, 100.0, -100.0, 1e4, -1e4]], dtype)
    y, cache = gelu_forward(x)
    assert y.tolist() == [[0.0, 100.0, 0.0, 1e4, 0.0]]
    np.testing.assert_allclose(
        gelu_backward(np.ones_like(x), cache), [[0.5, 1, 0, 1, 0]], atol=1e-6 if dtype is np.float32 else 1e-15
    )


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("dtype, large", [(np.float32, 1e20), (np.float32, 3e38), (np.float64, 1e300)])
def test_squares_beyond_the_range_do_no_harm(dtype, large):
    x = np.array([[large, -large]], dtype)
    y, cache = gelu_forward(x)
    assert y.tolist() == [[x[0, 0], 0]] and gelu_backward(np.ones_like(x), cache).tolist() == [[1, 0]]


def test_float32_on_large_arrays_is_what_it_is_on_single_rows():
    x = np.random.default_rng(0).standard_normal((2000, 40)).astype(np.float32)
    whole = gelu_forward(x)[0]
    assert all(np.array_equal(whole[t : t + 1], gelu_forward(x[t : t + 1])[0]) for t in range(0, 2000, 97))


def test_a_missing_term_is_caught():
    def corrupted(dy, cache):
        return dy * np.vectorize(normal_distribution)(ROWS)  # without x·φ(x)

    assert caught(gelu_forward, corrupted, ROWS)
