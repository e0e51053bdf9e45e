"""E8: the linear map."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.standard.linear import linear_backward, linear_forward
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

WEIGHT, BIAS = np.array([[1.0, 2.0, -1.0], [0.5, -2.0, 3.0]]), np.array([1.0, -1.0, 0.5])
SIZES = st.integers(1, 5)


def random_inputs(seed, rows, inputs, outputs):
    rng = np.random.default_rng(seed)
    return random_rows(rng, rows, inputs), random_rows(rng, inputs, outputs), random_rows(rng, 1, outputs)[0]


@given(SIZES, SIZES, SIZES, SEEDS)
@examples()
def test_gradient(rows, inputs, outputs, seed):
    assert_exact_gradients(linear_forward, linear_backward, *random_inputs(seed, rows, inputs, outputs))
    assert_five_point_gradients(linear_forward, linear_backward, *random_inputs(seed, rows, inputs, outputs))


def by_loops(x, weight, bias, dy):
    """(y, dx, dW, db), one product at a time."""
    y, dx, dW, db = np.zeros_like(dy), np.zeros_like(x), np.zeros_like(weight), np.zeros_like(bias)
    for t in range(len(x)):
        for j in range(weight.shape[1]):
            y[t, j] += bias[j]
            db[j] += dy[t, j]
            for i in range(weight.shape[0]):
                y[t, j] += x[t, i] * weight[i, j]
                dx[t, i] += dy[t, j] * weight[i, j]
                dW[i, j] += dy[t, j] * x[t, i]
    return y, dx, dW, db


@given(st.integers(0, 5), SIZES, SIZES, SEEDS)
@examples()
def test_agrees_with_loops_over_products(rows, inputs, outputs, seed):
    x, weight, bias = random_inputs(seed, rows, inputs, outputs)
    y, cache = linear_forward(x, weight, bias)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    assert_equal((y, *linear_backward(dy, cache)), by_loops(x, weight, bias, dy), 1e-13)


def test_no_bias_is_a_bias_of_zero():
    assert_equal(linear_forward(ROWS, WEIGHT, None)[0], linear_forward(ROWS, WEIGHT, 0 * BIAS)[0])
    assert_exact_gradients(
        lambda x, w: linear_forward(x, w, None), lambda dy, cache: linear_backward(dy, cache)[:2], ROWS, WEIGHT
    )


def test_float32_bias_gradient_of_many_rows_does_not_drift():
    dy = np.full((300_000, 2), 0.1, np.float32)
    _, cache = linear_forward(np.zeros((len(dy), 1), np.float32), np.zeros((1, 2), np.float32), None)
    np.testing.assert_allclose(linear_backward(dy, cache)[2], float(np.float32(0.1)) * len(dy), rtol=1e-7)


def test_products_beyond_the_range_have_right_gradients():
    x, weight = np.array([[1e20, 1e20]], np.float32), np.array([[1e20], [-1e20]], np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        y, cache = linear_forward(x, weight, None)
    assert not np.isfinite(y).any()
    assert_equal(linear_backward(np.ones_like(y), cache), (weight.T, x.T, np.ones(1, np.float32)))


def test_a_sum_that_cancels_errs_by_the_rounding_of_its_terms():
    """(1e8, 1, −1e8)·(1, 1, 1) may come out as 0 or 1: both lie within n·u·Σ|x·W|."""
    assert abs(linear_forward(np.float32([[1e8, 1, -1e8]]), np.ones((3, 1), np.float32), None)[0] - 1) <= 1
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((50, 300)).astype(np.float32), rng.standard_normal((300, 20)).astype(np.float32)
    x[:, 150:], weight[150:] = x[:, :150], -weight[:150] * np.float32(1 + 2.0**-12)
    exact, terms = x.astype(float) @ weight.astype(float), abs(x.astype(float)) @ abs(weight.astype(float))
    error = abs(linear_forward(x, weight, None)[0] - exact)
    assert np.all(error <= 300 * 2.0**-24 * terms)


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda dx, dW, db: (-dx, dW, db),
        lambda dx, dW, db: (dx, dW[::-1], db),
        lambda dx, dW, db: (dx, dW, db / 3),  # the mean over rows instead of the sum
    ],
    ids=["sign", "axis", "mean"],
)
def test_a_corrupted_backward_is_caught(corrupt):
    assert caught(linear_forward, lambda dy, cache: corrupt(*linear_backward(dy, cache)), ROWS, WEIGHT, BIAS)
