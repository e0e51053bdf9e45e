"""The global norm and the factor that clips it."""

import math

import numpy as np
import pytest

from engine.layer import Parameter, sum_rows
from engine.training.step import clip_scale, global_norm


def holding(grad, shape):
    parameter = Parameter(np.zeros(shape, np.float32))
    parameter.grad = grad
    return parameter


def test_the_norm_runs_over_all_gradients():
    parameters = {
        "a": holding(np.array([3.0]), 1),
        "b": holding(np.array([[0.0], [4.0]]), (2, 1)),
        "none": holding(None, 5),
    }
    assert global_norm(parameters) == 5.0
    assert global_norm({"none": holding(None, 5)}) == global_norm({}) == 0.0


def test_a_row_sparse_gradient_has_the_norm_of_the_dense_one_however_often_a_row_repeats():
    rng = np.random.default_rng(0)
    rows, values = rng.integers(0, 5, 40), rng.standard_normal((40, 3)).astype(np.float32)
    sparse = sum_rows(rows, values)
    pair = [global_norm({"table": holding(grad, (9, 3))}) for grad in (sparse, sparse.dense(9))]
    assert pair[0] == pytest.approx(pair[1], rel=1e-14)
    assert pair[0] != pytest.approx(np.linalg.norm(values), rel=0.1)  # what rows that are not summed would give


def test_float32_gradients_neither_overflow_nor_vanish():
    parameters = {"a": holding(np.full(4, 1e30, np.float32), 4)}
    assert global_norm(parameters) == pytest.approx(2e30, rel=1e-6)
    assert global_norm({"a": holding(np.full(4, 1e-30, np.float32), 4)}) == pytest.approx(2e-30, rel=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_shows_in_the_norm(bad):
    assert not math.isfinite(global_norm({"a": holding(np.array([1.0, bad]), 2), "b": holding(np.ones(2), 2)}))


@pytest.mark.parametrize(
    "norm, limit, scale", [(4.0, 1.0, 0.25), (1.0, 1.0, 1.0), (0.5, 1.0, 1.0), (0.0, 1.0, 1.0), (1e30, 0.0, 1.0)]
)
def test_only_a_norm_above_the_limit_is_scaled_to_it(norm, limit, scale):
    assert clip_scale(norm, limit) == scale
