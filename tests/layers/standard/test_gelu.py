"""E11: GELU, against the normal distribution with 60 digits."""

import decimal
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

# The largest errors found, of y and of the slope, in float32 and then in float64.
LARGEST_ERRORS = [0.98255002, 0.080235176, 0.8174717277675048, 2.9850336733527645e-05]
GRID = np.concatenate([np.linspace(-12, 12, 601), np.logspace(-8, 0, 101), -np.logspace(-8, 0, 101), LARGEST_ERRORS])
ROOT_OF_TWO_PI = decimal.Decimal("2.50662827463100050241576528481104525300698674060993831662992357")


def normal_distribution(x):
    """Φ(x), with full relative precision in the lower tail."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def exact(x):
    """(y, slope) of |x| ≤ 12, rounded once: Φ(x) = ½ + φ(x)·(x + x³/3 + x⁵/(3·5) + …), with 60 digits."""
    y, slope = np.empty(x.shape), np.empty(x.shape)
    with decimal.localcontext() as context:
        context.prec = 60
        for index, entry in enumerate(map(decimal.Decimal, x[:, 0].tolist())):
            term = total = entry
            odd = 1
            while abs(term) > abs(total).scaleb(-60):
                odd += 2
                term *= entry * entry / odd
                total += term
            density = (-entry * entry / 2).exp() / ROOT_OF_TWO_PI
            distribution = decimal.Decimal("0.5") + density * total
            y[index], slope[index] = entry * distribution, distribution + entry * density
    return y, slope


@given(st.integers(1, 5), SEEDS)
@examples()
def test_gradient(rows, seed):
    x = random_rows(np.random.default_rng(seed), rows, decades=0.6)
    assert_exact_gradients(gelu_forward, gelu_backward, x)
    assert_five_point_gradients(gelu_forward, gelu_backward, x)


@pytest.mark.parametrize("dtype, of_y, of_slope", [(np.float64, 4e-16, 8e-16), (np.float32, 1.4e-7, 3e-7)])
def test_errors_are_within_those_of_the_docstring(dtype, of_y, of_slope):
    x = GRID.astype(dtype)[:, None]
    y, cache = gelu_forward(x)
    exact_y, exact_slope = exact(x)
    assert np.max(abs(y - exact_y) / np.maximum(1, abs(x))) <= of_y
    assert np.max(abs(gelu_backward(np.ones_like(x), cache) - exact_slope)) <= of_slope


def test_the_lower_tail_keeps_its_relative_precision():
    x = np.linspace(-10, -1, 300)[:, None]
    np.testing.assert_allclose(gelu_forward(x)[0], exact(x)[0], rtol=7e-15)
    x *= 3
    np.testing.assert_allclose(gelu_forward(x)[0], x * np.vectorize(normal_distribution)(x), rtol=1e-12)


@pytest.mark.parametrize("dtype, other", [(np.float32, "DOUBLE"), (np.float64, "SINGLE")])
def test_each_dtype_has_a_polynomial_of_its_own(monkeypatch, dtype, other):
    """That of float32 is less than half as long; with the other's, float32 would cost twice its time."""
    monkeypatch.setattr(gelu, other, None)
    y, cache = gelu_forward(ROWS.astype(dtype))
    assert np.isfinite(y).all() and np.isfinite(cache.slope).all()


def test_the_lower_tail_keeps_its_relative_precision_in_float32():
    x = np.append(np.linspace(-10, -1, 300), -9.5067635).astype(np.float32)[:, None]  # the last has the largest error
    np.testing.assert_allclose(gelu_forward(x)[0], exact(x)[0], rtol=3e-6)


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
