"""E12: ReLU."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.standard.relu import relu_backward, relu_forward
from tests.support.layer_laws import (
    ROWS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    random_rows,
)


@given(st.integers(1, 5), SEEDS)
@examples()
def test_gradient(rows, seed):
    rng = np.random.default_rng(seed)
    x = random_rows(rng, rows)
    x[0, 0] = abs(x[0, 0])  # something that is not cut off
    assert_exact_gradients(relu_forward, relu_backward, x)
    assert_five_point_gradients(relu_forward, relu_backward, x)


@given(st.integers(0, 5), SEEDS)
@examples()
def test_agrees_with_loops(rows, seed):
    rng = np.random.default_rng(seed)
    x, dy = random_rows(rng, rows), random_rows(rng, rows)
    y, cache = relu_forward(x)
    expected = [[max(v, 0.0) for v in row] for row in x.tolist()]
    slope = [[dv if v > 0 else 0.0 for v, dv in zip(row, drow)] for row, drow in zip(x.tolist(), dy.tolist())]
    assert_equal((y, relu_backward(dy, cache)), (np.reshape(expected, x.shape), np.reshape(slope, x.shape)))


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_value_and_slope_at_the_kink_are_zero(zero):
    y, cache = relu_forward(np.array([[zero]]))
    assert y == 0.0 and relu_backward(np.ones((1, 1)), cache) == 0.0


def test_the_cache_takes_one_byte_an_entry():
    _, cache = relu_forward(ROWS)
    assert cache.positive.itemsize == 1


def test_a_backward_without_the_mask_is_caught():
    assert caught(relu_forward, lambda dy, cache: dy, ROWS)
