"""Correlations of dimensions and effective rank: exact values, invariances, NumPy's corrcoef and singular values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from layers.experiments.study.measures import correlation_matrix, effective_rank, mean_absolute_correlation
from tests.support.examples import examples

HADAMARD = np.array(
    [[1, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]], np.float64
)  # centred, orthogonal columns of equal norm
SEEDS = st.integers(0, 2**32 - 1)


def normal(seed, n=40, d=6):
    """(n, d) rows with correlated columns."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d))


def with_singular_values(values, n=30, seed=0):
    """(n, len(values)) rows that have these singular values once centred."""
    rng = np.random.default_rng(seed)
    left = rng.standard_normal((n, len(values)))
    left, _ = np.linalg.qr(left - left.mean(axis=0))
    right, _ = np.linalg.qr(rng.standard_normal((len(values), len(values))))
    return (left * values) @ right.T + 5.0


def reference_effective_rank(rows):
    """By the definition, from the singular value decomposition."""
    sigma = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    p = sigma[sigma > 0] / sigma.sum()
    return np.exp(-(p * np.log(p)).sum())


def test_orthogonal_equal_and_negated_columns():
    a, b, c = HADAMARD.T
    rows = np.stack([a, b + 7, 3 * a, -2 * a + 1, c * 1e-3], axis=1)
    same = [[1, 0, 1, -1, 0], [0, 1, 0, 0, 0], [1, 0, 1, -1, 0], [-1, 0, -1, 1, 0], [0, 0, 0, 0, 1]]
    np.testing.assert_allclose(correlation_matrix(rows), same, atol=1e-15)
    assert mean_absolute_correlation(np.array(same, float)) == 6 / 20


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_correlations_are_those_of_numpy_and_exact_in_form(dtype):
    rows = normal(1, 200, 9).astype(dtype)
    matrix = correlation_matrix(rows)
    np.testing.assert_allclose(matrix, np.corrcoef(rows.astype(float), rowvar=False), atol=1e-14)
    assert (
        matrix.dtype == np.float64
        and (matrix == matrix.T).all()
        and (matrix.diagonal() == 1).all()
        and abs(matrix).max() == 1
    )


@pytest.mark.parametrize("number", [0.0, 0.1, -1e300, 5e-324])
def test_a_constant_column_correlates_with_nothing(number):
    rows = np.column_stack([np.full(7, number), np.arange(7.0), np.full(7, number)])
    np.testing.assert_array_equal(correlation_matrix(rows), np.eye(3))
    assert effective_rank(np.full((7, 3), number)) == 0


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_rows(n):
    rows = np.ones((n, 3), np.float32)
    np.testing.assert_array_equal(correlation_matrix(rows), np.eye(3))
    assert effective_rank(rows) == 0


def test_a_large_mean_and_huge_and_tiny_columns_do_no_harm():
    rows = np.round(normal(2) * 2**20) / 2**20
    scales = 2.0 ** np.array([0, 500, -500, 1000, -1000, 3])
    expected = np.corrcoef(rows, rowvar=False)
    np.testing.assert_array_equal(correlation_matrix(rows * scales), correlation_matrix(rows))
    np.testing.assert_allclose(correlation_matrix(rows + 2.0**30), expected, atol=1e-13)  # every sum is exact
    assert effective_rank(rows * 1e200) == pytest.approx(effective_rank(rows), rel=1e-12)
    assert effective_rank(rows * 1e-200) == pytest.approx(effective_rank(rows), rel=1e-12)


@examples(100)
@given(SEEDS, arrays(float, 6, elements=st.floats(0.01, 100)), st.permutations(range(40)))
def test_correlation_is_invariant(seed, scales, order):
    """It keeps its value when columns are scaled and rows are permuted."""
    rows = normal(seed)
    np.testing.assert_allclose(
        correlation_matrix((rows * scales + scales)[list(order)]), correlation_matrix(rows), atol=1e-12
    )


@examples(100)
@given(SEEDS, st.floats(1e-3, 1e3), st.permutations(range(40)))
def test_effective_rank_is_invariant(seed, scale, order):
    """It keeps its value when rows are turned, scaled and permuted."""
    rows = normal(seed)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((6, 6)))
    assert effective_rank((rows @ turn * scale + 1)[list(order)]) == pytest.approx(effective_rank(rows), rel=1e-9)


@examples(100)
@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.floats(-9, 9, width=32)))
def test_bounds(rows):
    matrix, rank = correlation_matrix(rows), effective_rank(rows)
    assert np.isfinite(matrix).all() and abs(matrix).max() == 1 and 0 <= mean_absolute_correlation(matrix) <= 1
    moves = (rows != rows[:1]).any()
    assert (1 <= rank <= min(len(rows) - 1, rows.shape[1])) if moves else rank == 0


@pytest.mark.parametrize("shape", [(40, 6), (5, 12), (12, 12), (2, 3)])
def test_effective_rank_is_that_of_the_singular_values(shape):
    rows = normal(3, *shape)
    assert effective_rank(rows) == pytest.approx(reference_effective_rank(rows), rel=1e-7)


@pytest.mark.parametrize("r", [1, 2, 5, 20])
def test_r_equal_singular_values_have_effective_rank_r(r):
    assert effective_rank(with_singular_values([3.0] * r + [0.0] * (20 - r))) == pytest.approx(r, rel=1e-12)


def test_unequal_singular_values_count_by_their_entropy():
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert effective_rank(with_singular_values([3.0, 1.0])) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("smallest, error", [(1e-6, 1e-9), (1e-16, 1e-5)])
def test_small_singular_values_are_not_lost(smallest, error):
    values = np.geomspace(1, smallest, 60)
    p = values / values.sum()
    assert effective_rank(with_singular_values(values, 200)) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=error)


def test_inputs_stay_as_they_were_and_may_be_strided():
    rows = normal(4, 80, 12)[::2, ::2]
    before = rows.copy()
    np.testing.assert_array_equal(correlation_matrix(rows), correlation_matrix(before))
    assert effective_rank(rows) == pytest.approx(effective_rank(before), rel=1e-14)
    np.testing.assert_array_equal(rows, before)


def test_a_single_dimension():
    assert correlation_matrix(np.array([[1.0], [2.0]])).tolist() == [[1.0]]
    assert mean_absolute_correlation(np.eye(1)) == 0 and effective_rank(np.array([[1.0], [2.0]])) == 1


@pytest.mark.parametrize("function", [correlation_matrix, effective_rank])
@pytest.mark.parametrize(
    "rows, message",
    [
        ([[1.0]], "^rows: expected a float array"),
        (np.ones((3, 2), int), "^rows: expected dtype"),
        (np.ones(3), "^rows: expected shape"),
        (np.ones((3, 0)), "^rows: expected at least one column"),
        (np.array([[1.0], [np.nan]]), "^rows: expected finite"),
        (np.array([[1.0], [-np.inf]], np.float32), "^rows: expected finite"),
        (np.ones((3, 2), complex), "^rows: expected finite"),
    ],
)
def test_bad_rows_are_named(function, rows, message):
    with pytest.raises(ValueError, match=message):
        function(rows)


@pytest.mark.parametrize("matrix", [np.ones((2, 3)), np.ones((0, 0)), np.ones(4), np.ones((2, 2), int), 1.0])
def test_bad_matrices_are_named(matrix):
    with pytest.raises(ValueError, match="^matrix: "):
        mean_absolute_correlation(matrix)


@pytest.mark.gpu
def test_a_device_gives_the_same_numbers():
    import cupy

    rows = normal(5, 300, 20)
    on_device = cupy.asarray(rows)
    matrix = correlation_matrix(on_device)
    np.testing.assert_allclose(matrix.get(), correlation_matrix(rows), atol=1e-13)
    assert mean_absolute_correlation(matrix) == pytest.approx(mean_absolute_correlation(matrix.get()), rel=1e-13)
    assert effective_rank(on_device) == pytest.approx(effective_rank(rows), rel=1e-9)
