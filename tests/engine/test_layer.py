"""Parameters, their gradients, and how layers find them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.layer import Layer, Parameter, RowSparse, squared_norm, sum_rows
from tests.support.examples import examples

ROWS = st.lists(st.integers(0, 5), max_size=12)


def numbers(rows, dtype=np.float64, seed=0):
    """(len(rows), 3) numbers of very different size."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((len(rows), 3)) * 10.0 ** rng.integers(-3, 4, (len(rows), 3))).astype(dtype)


def scattered(rows, values, row_count=6):
    """The dense gradient, entry by entry."""
    dense = np.zeros((row_count, 3), np.float64)
    np.add.at(dense, np.array(rows, int), values)
    return dense


@examples(100)
@given(ROWS, st.sampled_from([np.float32, np.float64]), st.sampled_from([np.int32, np.int64]))
def test_sum_rows_is_a_scatter_add_onto_sorted_unique_rows(rows, dtype, row_dtype):
    values = numbers(rows, dtype)
    found = sum_rows(np.array(rows, row_dtype), values)
    assert found.rows.tolist() == sorted(set(rows)) and found.rows.dtype == np.int64
    assert found.values.dtype == dtype and found.values.shape == (len(set(rows)), 3)
    # Equal rows are added in order of appearance in float64, as add.at does: the same numbers to the last bit.
    assert np.array_equal(found.dense(6), scattered(rows, values).astype(dtype))


def test_sum_rows_sums_float32_without_losing_small_entries():
    values = np.array([1e8, *[0.5] * 8, -1e8], np.float32)[:, None]
    assert sum_rows(np.zeros(10, int), values).values.tolist() == [[4.0]]


@examples(100)
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_row_sparse_gradients_add_up_like_dense_ones_and_change_no_one_elses_arrays(parts):
    parameter = Parameter(np.zeros((6, 3)))
    grads = [sum_rows(np.array(rows, np.int64), numbers(rows, seed=i)) for i, rows in enumerate(parts)]
    copies = [(g.rows.copy(), g.values.copy()) for g in grads]
    for grad in grads:
        parameter.accumulate(grad)
    expected = sum(scattered(rows, numbers(rows, seed=i)) for i, rows in enumerate(parts))
    np.testing.assert_allclose(parameter.dense_grad(), expected, rtol=1e-12, atol=1e-9)
    assert parameter.grad.rows.tolist() == sorted({row for rows in parts for row in rows})
    assert squared_norm(parameter.grad_array()) == pytest.approx((expected**2).sum(), rel=1e-9, abs=1e-12)
    assert all(
        np.array_equal(g.rows, rows) and np.array_equal(g.values, values) for g, (rows, values) in zip(grads, copies)
    )


def test_dense_gradients_add_up_and_change_no_one_elses_arrays():
    first, second = Parameter(np.zeros(2)), Parameter(np.zeros(2))
    shared = np.array([1.0, 2.0])
    for parameter in (first, second, first):
        parameter.accumulate(shared)
    assert shared.tolist() == second.grad.tolist() == [1.0, 2.0]
    assert first.grad.tolist() == first.dense_grad().tolist() == [2.0, 4.0]
    assert first.grad_array() is first.grad


@pytest.mark.parametrize("sparse_first", [False, True])
def test_a_dense_and_a_row_sparse_gradient_add_up_to_a_dense_one(sparse_first):
    """Of a table whose rows are looked up in one place and which is a matrix in another."""
    dense, sparse = np.arange(6.0).reshape(3, 2), RowSparse(np.array([0, 2]), np.array([[1.0, 2], [3, 4]]))
    parameter = Parameter(np.zeros((3, 2)))
    for grad in (sparse, dense) if sparse_first else (dense, sparse):
        parameter.accumulate(grad)
    np.testing.assert_array_equal(parameter.grad, [[1, 3], [2, 3], [7, 9]])
    np.testing.assert_array_equal(dense, np.arange(6.0).reshape(3, 2))


def test_without_a_gradient_the_dense_one_is_zero():
    parameter = Parameter(np.ones((2, 3), np.float32))
    assert parameter.grad_array() is None
    assert np.array_equal(parameter.dense_grad(), np.zeros((2, 3))) and parameter.dense_grad().dtype == np.float32


def test_a_row_sparse_gradient_is_zero_elsewhere():
    grad = RowSparse(np.array([0, 3]), np.array([[1.0, 2.0], [3.0, 4.0]], np.float32))
    parameter = Parameter(np.zeros((4, 2), np.float32))
    parameter.accumulate(grad)
    assert parameter.dense_grad().tolist() == [[1, 2], [0, 0], [0, 0], [3, 4]]
    assert parameter.dense_grad().dtype == np.float32 and parameter.grad_array() is grad.values


class Leaf(Layer):
    def __init__(self):
        self.weight = Parameter(np.ones((2, 3), np.float32))
        self.bias = Parameter(np.ones(3, np.float32), decay=False)
        self.size = 3


class Tree(Layer):
    def __init__(self):
        self.first = Leaf()
        self.nothing = None
        self.blocks = [Leaf(), "no layer", Leaf()]
        self.inner = Nest()
        self.own = Parameter(np.ones(1, np.float32))


class Nest(Layer):
    def __init__(self):
        self.pair = (Leaf(),)


def test_parameters_are_named_by_their_path_in_order_of_definition():
    tree = Tree()
    leaves = ["first", "blocks.0", "blocks.2", "inner.pair.0"]
    assert list(tree.parameters()) == [f"{leaf}.{name}" for leaf in leaves for name in ("weight", "bias")] + ["own"]
    assert tree.parameters()["blocks.2.bias"] is tree.blocks[2].bias
    assert tree.parameter_count() == 4 * 9 + 1


def test_zero_grad_and_moving_forget_every_gradient():
    tree = Tree()
    for forget in (tree.zero_grad, lambda: tree.to("cpu")):
        for parameter in tree.parameters().values():
            parameter.accumulate(np.ones_like(parameter.value))
        forget()
        assert all(p.grad is None for p in tree.parameters().values())
    assert tree.to("cpu") is tree


def test_a_squared_norm_is_summed_in_float64():
    x = np.array([[3e19, 4e19], [1e-20, 0]], np.float32)
    assert squared_norm(x).dtype == np.float64
    assert squared_norm(x) == pytest.approx(25e38, rel=1e-6)
    assert squared_norm(np.full((2, 2), 2.0)) == 16
    assert squared_norm(np.zeros((0, 3), np.float32)) == 0
