"""E9: embedding lookup and its row-sparse gradient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.standard.embedding import embedding_backward, embedding_forward
from tests.support.layer_laws import (
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    caught,
    examples,
    random_rows,
)

IDS = st.lists(st.integers(0, 6), max_size=20).map(lambda ids: np.array(ids, np.int64))
TABLE = random_rows(np.random.default_rng(0), 7, 3)


@given(IDS, SEEDS)
@examples()
def test_gradient(ids, seed):
    table = random_rows(np.random.default_rng(seed), 7, 3)
    ids = np.append(ids, 0)
    assert_exact_gradients(
        lambda table: embedding_forward(ids, table), lambda dy, cache: embedding_backward(dy, cache).dense(7), table
    )


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16])
@given(IDS, SEEDS)
@examples()
def test_sparse_gradient_equals_the_dense_one_of_a_scatter_add(dtype, ids, seed):
    y, cache = embedding_forward(ids.astype(dtype), TABLE)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    gradient = embedding_backward(dy, cache)
    dense = np.zeros_like(TABLE)
    np.add.at(dense, ids, dy)
    assert_equal(y, np.array([TABLE[i] for i in ids]).reshape(-1, 3))
    assert_equal(gradient.dense(7), dense, 1e-15)
    assert gradient.rows.tolist() == sorted(set(ids.tolist())) and gradient.rows.dtype == np.int64


@given(IDS, SEEDS)
@examples()
def test_float32_rows_are_summed_in_double(ids, seed):
    _, cache = embedding_forward(ids, TABLE.astype(np.float32))
    dy = np.random.default_rng(seed).standard_normal((len(ids), 3)).astype(np.float32)
    expected = np.zeros((7, 3))
    np.add.at(expected, ids, dy.astype(float))
    gradient = embedding_backward(dy, cache)
    assert gradient.values.dtype == np.float32
    assert_equal(gradient.dense(7), expected.astype(np.float32), 1e-7)


def test_one_id_of_very_many_tokens_is_summed_without_drift():
    y, cache = embedding_forward(np.zeros(300_000, int), TABLE[:, :1].astype(np.float32))
    gradient = embedding_backward(np.full_like(y, 0.1), cache)
    np.testing.assert_allclose(gradient.values, [[float(np.float32(0.1)) * 300_000]], rtol=1e-7)


def test_no_ids_give_no_rows():
    y, cache = embedding_forward(np.zeros(0, int), TABLE)
    gradient = embedding_backward(y, cache)
    assert y.shape == gradient.values.shape == (0, 3) and len(gradient.rows) == 0


@pytest.mark.parametrize("wrong", [[1, 2], None, np.array([1.0]), np.array([[1]]), np.array([-1]), np.array([0, 7])])
def test_wrong_ids_are_named(wrong):
    with pytest.raises(ValueError, match="^ids: "):
        embedding_forward(wrong, TABLE)


def test_a_backward_that_forgets_repeated_ids_is_caught():
    ids = np.array([1, 4, 1])

    def corrupted(dy, cache):
        dense = np.zeros_like(TABLE)
        dense[ids] = dy
        return dense

    assert caught(lambda table: embedding_forward(ids, table), corrupted, TABLE)
