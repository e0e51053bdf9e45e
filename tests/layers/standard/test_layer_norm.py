"""E10: layer norm."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.standard.layer_norm import EPSILON, layer_norm_backward, layer_norm_forward
from tests.support.device_stand_in import assert_computes_on_the_device
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

GAIN, BIAS = np.array([1.5, -0.5]), np.array([0.25, 1.0])


def random_inputs(seed, rows, columns=4):
    rng = np.random.default_rng(seed)
    return rng, random_rows(rng, rows, columns), random_rows(rng, 1, columns)[0], random_rows(rng, 1, columns)[0]


@given(st.integers(1, 5), st.integers(3, 6), SEEDS)
@examples()
def test_gradient(rows, columns, seed):
    _, *inputs = random_inputs(seed, rows, columns)
    assert_exact_gradients(layer_norm_forward, layer_norm_backward, *inputs)
    assert_five_point_gradients(layer_norm_forward, layer_norm_backward, *inputs)


def by_loops(x, gain, bias, dy):
    """(y, dx, dγ, dβ) by the full Jacobian ∂x̂_k/∂x_m = r·(δ_km − 1/d − x̂_k·x̂_m/d) of every row."""
    y, dx, dgain, dbias = np.zeros_like(x), np.zeros_like(x), np.zeros_like(gain), np.zeros_like(bias)
    d = x.shape[1]
    for t in range(len(x)):
        mean = math.fsum(x[t]) / d
        r = 1 / math.sqrt(math.fsum((value - mean) ** 2 for value in x[t]) / d + EPSILON)
        normalized = [(value - mean) * r for value in x[t]]
        for k in range(d):
            y[t, k] = gain[k] * normalized[k] + bias[k]
            dgain[k] += dy[t, k] * normalized[k]
            dbias[k] += dy[t, k]
            for m in range(d):
                dx[t, m] += dy[t, k] * gain[k] * r * ((k == m) - 1 / d - normalized[k] * normalized[m] / d)
    return y, dx, dgain, dbias


@given(st.integers(0, 5), SEEDS)
@examples()
def test_agrees_with_the_jacobian_in_loops(rows, seed):
    rng, x, gain, bias = random_inputs(seed, rows)
    y, cache = layer_norm_forward(x, gain, bias)
    dy = rng.standard_normal(y.shape)
    assert_equal((y, *layer_norm_backward(dy, cache)), by_loops(x, gain, bias, dy), 1e-12)


@given(st.integers(1, 5), SEEDS)
@examples()
def test_rows_are_centred_and_of_unit_variance(rows, seed):
    _, x, _, _ = random_inputs(seed, rows, 6)
    y, _ = layer_norm_forward(x, np.ones(6), np.zeros(6))
    variance = x.var(axis=1)
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(y.var(axis=1), variance / (variance + EPSILON), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_is_taken_on_the_device_of_its_cotangent(device, dtype):
    y, cache = layer_norm_forward(*(part.astype(dtype) for part in random_inputs(0, 3)[1:]))
    assert_computes_on_the_device(device, layer_norm_backward, y, cache)


@given(SEEDS)
@examples()
def test_the_gradient_is_orthogonal_to_shifts_of_a_row(seed):
    rng, x, gain, bias = random_inputs(seed, 3)
    _, cache = layer_norm_forward(x, gain, bias)
    dx, _, _ = layer_norm_backward(rng.standard_normal(x.shape), cache)
    assert np.all(abs(dx.sum(axis=1)) <= 1e-13 * abs(dx).max())


@pytest.mark.parametrize("value", [0.0, 1.0, -8.0])
def test_a_constant_row_becomes_the_bias_and_stays_smooth(value):
    x, dy = np.full((1, 4), value), np.array([[1.0, 2.0, 3.0, 6.0]])
    gain, bias = np.array([1.0, 2.0, 1.0, 1.0]), np.arange(4.0)
    y, cache = layer_norm_forward(x, gain, bias)
    dx, dgain, dbias = layer_norm_backward(dy, cache)
    g = dy * gain
    assert y.tolist() == [bias.tolist()] and not dgain.any() and dbias.tolist() == dy[0].tolist()
    np.testing.assert_allclose(dx, (g - g.mean()) / math.sqrt(EPSILON), rtol=1e-14)


def test_one_column_is_constant():
    y, cache = layer_norm_forward(np.array([[3.0], [-1.0]]), np.array([2.0]), np.array([5.0]))
    assert y.tolist() == [[5.0], [5.0]] and not layer_norm_backward(y, cache)[0].any()


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e18])
def test_float32_over_the_promised_range(scale):
    x = (ROWS * scale).astype(np.float32)
    gain, bias = GAIN.astype(np.float32), BIAS.astype(np.float32)
    single, single_cache = layer_norm_forward(x, gain, bias)
    double, double_cache = layer_norm_forward(x.astype(float), gain.astype(float), bias.astype(float))
    assert_equal(single, double, 1e-6)
    dy = np.array([[1.0, 2.0]] * 3)
    assert_equal(
        layer_norm_backward(dy.astype(np.float32), single_cache)[1:], layer_norm_backward(dy, double_cache)[1:], 1e-5
    )


def test_float32_sums_over_many_rows_do_not_drift():
    x = np.tile(np.array([[1.0, -1.0]], np.float32), (300_000, 1))
    _, cache = layer_norm_forward(x, np.ones(2, np.float32), np.zeros(2, np.float32))
    dy = np.full_like(x, 0.1)
    _, dgain, dbias = layer_norm_backward(dy, cache)
    total = float(np.float32(0.1)) * len(x)
    np.testing.assert_allclose(dbias, total, rtol=1e-7)
    np.testing.assert_allclose(dgain, [total, -total], rtol=1e-5)


@pytest.mark.parametrize("mean", [1e2, 1e4, 1e6])
def test_a_mean_far_beyond_the_spread_costs_digits_in_proportion(mean):
    """In float32 the mean is rounded, and with it every x − μ; ⟨x²⟩ − μ² would lose far more."""
    x = (np.random.default_rng(0).standard_normal((64, 768)) + mean).astype(np.float32)
    wide = x.astype(float)
    exact = (wide - wide.mean(axis=1, keepdims=True)) / np.sqrt(wide.var(axis=1, keepdims=True) + EPSILON)
    y, _ = layer_norm_forward(x, np.ones(768, np.float32), np.zeros(768, np.float32))
    assert abs(y - exact).max() <= 2 * np.finfo(np.float32).eps * mean


def test_a_constant_row_is_off_by_the_rounding_of_its_mean():
    """x − μ is a rounding of μ, not 0, and 1/√ε = 316 enlarges it."""
    x = np.full((1, 768), 0.1, np.float32)
    y, _ = layer_norm_forward(x, np.ones(768, np.float32), np.zeros(768, np.float32))
    assert abs(y).max() <= 2 * np.finfo(np.float32).eps * 0.1 / math.sqrt(EPSILON)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_squares_beyond_the_range_leave_the_bias():
    gain, bias, dy = (
        np.ones(4, np.float32),
        np.arange(4, dtype=np.float32),
        np.array([[1.0, 2.0, 3.0, 6.0]], np.float32),
    )
    y, cache = layer_norm_forward(np.array([[1e20, -1e20, 2e20, 0]], np.float32), gain, bias)
    assert y.tolist() == [bias.tolist()] and not layer_norm_backward(dy, cache)[0].any()
    y, cache = layer_norm_forward(np.array([[3e38, 3e38, 2e38, 3e38]], np.float32), gain, bias)
    assert np.isnan(y).all() and np.isnan(layer_norm_backward(dy, cache)[0]).all()


@pytest.mark.parametrize("missing", ["mean", "projection"])
def test_a_missing_term_is_caught(missing):
    _, *inputs = random_inputs(0, 3)

    def corrupted(dy, cache):
        _, dgain, dbias = layer_norm_backward(dy, cache)
        g = dy * cache.gain
        mean = 0 if missing == "mean" else g.mean(axis=1, keepdims=True)
        projection = (
            0 if missing == "projection" else cache.normalized * (g * cache.normalized).mean(axis=1, keepdims=True)
        )
        return cache.rstd * (g - mean - projection), dgain, dbias

    assert caught(layer_norm_forward, corrupted, *inputs)
