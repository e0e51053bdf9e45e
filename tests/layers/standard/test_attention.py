"""E18: scaled dot-product attention over ragged texts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.standard import attention
from layers.standard.attention import attention_backward, attention_forward
from tests.support.layer_laws import (
    LENGTHS,
    OFFSETS,
    ROWS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    offsets_of,
)

HEADS = st.sampled_from([1, 2, 3, 6])


def random_inputs(seed, lengths, columns=6):
    rng = np.random.default_rng(seed)
    offsets = offsets_of(lengths)
    return rng, *rng.standard_normal((3, offsets[-1], columns)), offsets


@given(LENGTHS, HEADS, SEEDS)
@examples()
def test_gradient(lengths, heads, seed):
    _, q, k, v, offsets = random_inputs(seed, lengths)
    for check in (assert_exact_gradients, assert_five_point_gradients):
        check(lambda q, k, v: attention_forward(q, k, v, offsets, heads), attention_backward, q, k, v)


def by_loops(q, k, v, dy, lengths, heads):
    """(y, dq, dk, dv) by the definition of the softmax and its full Jacobian, one number at a time."""
    y, dq, dk, dv = (np.zeros_like(x) for x in (q, q, q, q))
    e, start = q.shape[1] // heads, 0
    for n in lengths:
        for h in range(heads):
            columns = slice(h * e, (h + 1) * e)
            Q, K, V, G = (x[start : start + n, columns] for x in (q, k, v, dy))
            for j in range(n):
                exponentials = [math.exp(Q[j] @ K[i] / math.sqrt(e)) for i in range(n)]
                p = [x / math.fsum(exponentials) for x in exponentials]
                for i in range(n):
                    y[start + j, columns] += p[i] * V[i]
                    dv[start + i, columns] += p[i] * G[j]
                    for m in range(n):
                        slope = p[i] * ((i == m) - p[m]) * (G[j] @ V[i])  # of p_i by s_m
                        dq[start + j, columns] += slope * K[m] / math.sqrt(e)
                        dk[start + m, columns] += slope * Q[j] / math.sqrt(e)
        start += n
    return y, dq, dk, dv


@given(LENGTHS, HEADS, SEEDS)
@examples()
def test_agrees_with_the_softmax_and_its_jacobian_in_loops(lengths, heads, seed):
    rng, q, k, v, offsets = random_inputs(seed, lengths)
    y, cache = attention_forward(q, k, v, offsets, heads)
    dy = rng.standard_normal(y.shape)
    assert_equal((y, *attention_backward(dy, cache)), by_loops(q, k, v, dy, lengths, heads), 1e-12)


@given(LENGTHS, SEEDS, st.sampled_from([1, 2, 5, 7, 12, 30]), st.sampled_from([1, 2, 128]))
@examples()
def test_the_size_of_blocks_changes_nothing(lengths, seed, size, rows):
    """Whether heads, rows, or both are cut."""
    rng, q, k, v, offsets = random_inputs(seed, lengths)
    results = []
    before = attention.BLOCK_SCORES, attention.BLOCK_ROWS
    try:
        for attention.BLOCK_SCORES, attention.BLOCK_ROWS in (before, (size, rows)):
            y, cache = attention_forward(q, k, v, offsets, 2)
            results.append((y, *attention_backward(q, cache)))
    finally:
        attention.BLOCK_SCORES, attention.BLOCK_ROWS = before
    assert_equal(results[1], results[0], 1e-14)


@pytest.mark.parametrize(
    "n, shape", [(1, (12, 1)), (128, (12, 128)), (512, (8, 128)), (2048, (2, 128)), (4096, (1, 128)), (1 << 20, (1, 1))]
)
def test_a_block_has_all_heads_while_it_can_and_many_rows(n, shape):
    assert attention.block_shape(n, 12) == shape
    assert shape[0] * shape[1] * n <= attention.BLOCK_SCORES or shape == (1, 1)


@given(st.integers(2, 6), SEEDS)
@examples()
def test_laws_of_a_weighted_mean(n, seed):
    """Weights are positive and add up to 1, and do not change when all keys move by the same vector.

    Heads and texts do not see each other.
    """
    rng, q, k, v, offsets = random_inputs(seed, [n, 3])
    y, _ = attention_forward(q, k, v, offsets, 2)
    assert (y[:n] <= v[:n].max(axis=0) + 1e-12).all() and (y[:n] >= v[:n].min(axis=0) - 1e-12).all()
    assert_equal(attention_forward(q, k, np.ones_like(v), offsets, 2)[0], np.ones_like(v), 1e-14)
    assert_equal(attention_forward(q, k + rng.standard_normal(6), v, offsets, 2)[0], y, 1e-12)
    order = np.concatenate([rng.permutation(n), n + rng.permutation(3)])
    assert_equal(attention_forward(q[order], k[order], v[order], offsets, 2)[0], y[order], 1e-12)
    k[n:], v[n:, :3], q[:, 3:] = 9.0, 9.0, 9.0
    assert_equal(attention_forward(q, k, v, offsets, 2)[0][:n, :3], y[:n, :3], 0)


@pytest.mark.parametrize("heads, width, scale", [(3, 2, 1e100), (1, 64, 1.0), (12, 64, 1.0), (1, 7, 1.0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_text_of_one_token_sees_itself_alone(heads, width, scale, dtype):
    """Wide heads too, whose products sum in an order of their own."""
    offsets = np.array([0, 1, 1, 2])
    rng = np.random.default_rng(0)
    q, k, v = rng.standard_normal((3, 2, heads * width)).astype(dtype)
    scale = dtype(min(scale, 1e10)) if dtype is np.float32 else scale
    y, cache = attention_forward(scale**2 * q, scale * k, v, offsets, heads)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dq, dk, dv = attention_backward(dy, cache)
    assert np.array_equal(y, v) and np.array_equal(dv, dy)
    assert not dq.any() and not dk.any()


def test_scores_far_beyond_the_range_of_exp():
    for dtype in (np.float32, np.float64):
        q, k, v = (
            np.array([[1e4]], dtype) * np.ones((3, 1), dtype),
            np.array([[1.0], [-1.0], [0.0]], dtype),
            np.array([[1.0], [2.0], [4.0]], dtype),
        )
        y, cache = attention_forward(q, k, v, np.array([0, 3]), 1)
        assert y.dtype == dtype and y.ravel().tolist() == [1.0, 1.0, 1.0]
        assert all(np.isfinite(x).all() and x.dtype == dtype for x in attention_backward(np.ones_like(y), cache))


def test_nothing_gives_nothing():
    y, cache = attention_forward(*np.zeros((3, 0, 4)), np.array([0, 0]), 2)
    assert [x.shape for x in (y, *attention_backward(y, cache))] == [(0, 4)] * 4


def without_mean(dy, cache):
    """ds = p·dp alone."""
    dq, dk, dv = attention_backward(dy, cache)
    e = cache.q.shape[1] // cache.heads
    for a, b in zip(cache.offsets, cache.offsets[1:]):
        for head in range(cache.heads):
            of_head = slice(a, b), slice(head * e, head * e + e)
            q, k, v, d = (x[of_head] for x in (cache.q, cache.k, cache.v, dy))
            p = np.exp(q @ k.T / np.sqrt(e) - cache.m[head, a:b, None])
            ds = p * (d @ v.T) / np.sqrt(e)
            dq[of_head], dk[of_head] = ds @ k, ds.T @ q
    return dq, dk, dv


CORRUPTIONS = {
    "no mean subtracted": without_mean,
    "keys for queries": lambda dy, c: (
        attention_backward(dy, c)[1],
        attention_backward(dy, c)[0],
        attention_backward(dy, c)[2],
    ),
    "no scale": lambda dy, c: (1.4 * attention_backward(dy, c)[0], *attention_backward(dy, c)[1:]),
    "wrong text": lambda dy, c: attention_backward(dy, c._replace(offsets=np.array([0, 2, 5]))),
}


@pytest.mark.parametrize("backward", CORRUPTIONS.values(), ids=CORRUPTIONS)
def test_wrong_backwards_are_caught(backward):
    _, q, k, v, _ = random_inputs(0, [3, 2])
    assert caught(lambda q, k, v: attention_forward(q, k, v, np.array([0, 3, 5]), 2), backward, q, k, v)


@pytest.mark.parametrize("wrong", [0, -1, 3])
def test_a_wrong_number_of_heads_is_refused(wrong):
    with pytest.raises(ValueError, match=f"^heads: must be a divisor of the 2 columns, got {wrong}$"):
        attention_forward(ROWS, ROWS, ROWS, OFFSETS, wrong)
