"""E19: the hyperbolic tangent."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.standard.tanh import tanh_backward, tanh_forward
from tests.support.layer_laws import (
    ROWS,
    SEEDS,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    random_rows,
)


@given(st.integers(1, 5), SEEDS)
@examples()
def test_gradient(rows, seed):
    x = random_rows(np.random.default_rng(seed), rows)
    assert_exact_gradients(tanh_forward, tanh_backward, x)
    assert_five_point_gradients(tanh_forward, tanh_backward, x)


@given(st.lists(st.floats(-300, 300), min_size=1, max_size=8))
@examples()
def test_agrees_with_the_standard_library(numbers):
    y, cache = tanh_forward(np.array([numbers]))
    np.testing.assert_allclose(y, [[math.tanh(v) for v in numbers]], rtol=1e-15)
    np.testing.assert_allclose(
        tanh_backward(np.ones_like(y), cache), [[1 / math.cosh(v) ** 2 for v in numbers]], rtol=1e-13
    )


@pytest.mark.parametrize("dtype, far, rtol", [(np.float32, 40.0, 1e-5), (np.float64, 300.0, 1e-13)])
def test_the_slope_keeps_its_digits_where_y_is_one(dtype, far, rtol):
    """1 − y² would be 0."""
    x = np.array([[far, -far]], dtype)
    y, cache = tanh_forward(x)
    assert (abs(y) == 1).all()
    np.testing.assert_allclose(
        tanh_backward(np.ones_like(y), cache), np.full((1, 2), 4 * math.exp(-2 * far)), rtol=rtol
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_value_at_zero_and_at_any_size(dtype):
    largest = np.finfo(dtype).max
    with np.errstate(over="raise", invalid="raise"):
        y, cache = tanh_forward(np.array([[0.0, largest, -largest]], dtype))
    assert (y == [[0, 1, -1]]).all() and (tanh_backward(np.ones_like(y), cache) == [[1, 0, 0]]).all()


def test_a_backward_without_the_slope_is_caught():
    assert caught(tanh_forward, lambda dy, cache: dy, ROWS)
