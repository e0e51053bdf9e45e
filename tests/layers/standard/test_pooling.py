"""E14: one vector per text."""

import math

import numpy as np
import pytest
from hypothesis import given

from layers.standard.pooling import POOLINGS, pooling_backward, pooling_forward
from tests.support.device_stand_in import assert_computes_on_the_device
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
    ragged,
)

every_kind = pytest.mark.parametrize("kind", POOLINGS)


@every_kind
@given(LENGTHS, SEEDS)
@examples()
def test_gradient(kind, lengths, seed):
    _, x, offsets = ragged(lengths, seed)
    assert_exact_gradients(pooling_forward, pooling_backward, x, offsets, kind)
    assert_five_point_gradients(pooling_forward, pooling_backward, x, offsets, kind)


def by_loops(x, offsets, dy, kind):
    """(y, dx), text by text and column by column."""
    y, dx = np.zeros_like(dy), np.zeros_like(x)
    for t in range(len(dy)):
        rows = range(offsets[t], offsets[t + 1])
        for k in range(x.shape[1] if rows else 0):
            values = [x[j, k] for j in rows]
            if kind == "mean":
                y[t, k] = math.fsum(values) / len(rows)
                for j in rows:
                    dx[j, k] = dy[t, k] / len(rows)
            else:
                chosen = values.index(max(values)) if kind == "max" else 0
                y[t, k] = values[chosen]
                dx[rows[chosen], k] = dy[t, k]
    return y, dx


@every_kind
@given(LENGTHS, SEEDS)
@examples()
def test_agrees_with_loops(kind, lengths, seed):
    rng, x, offsets = ragged(lengths, seed)
    y, cache = pooling_forward(x, offsets, kind)
    dy = rng.standard_normal(y.shape)
    assert_equal((y, pooling_backward(dy, cache)), by_loops(x, offsets, dy, kind), 1e-14)


@every_kind
def test_the_gradient_is_taken_on_the_device_of_its_cotangent(device, kind):
    _, x, offsets = ragged([0, 3, 0, 1, 4], 0)
    y, cache = pooling_forward(x, offsets, kind)
    assert_computes_on_the_device(device, pooling_backward, y, cache)


@given(LENGTHS, SEEDS)
@examples()
def test_of_equal_maxima_the_first_takes_the_gradient(lengths, seed):
    """Entries from {−1, 0, 1}: nearly every text has ties."""
    rng, x, offsets = ragged(lengths, seed)
    x = rng.integers(-1, 2, x.shape).astype(float)
    y, cache = pooling_forward(x, offsets, "max")
    assert_equal((y, pooling_backward(y + 5, cache)), by_loops(x, offsets, y + 5, "max"))


@every_kind
@pytest.mark.parametrize("lengths", [[0, 2, 0], [0, 0], [], [3, 0, 0], [0, 0, 1]])
def test_an_empty_text_gives_zero_and_receives_nothing(kind, lengths):
    _, x, offsets = ragged(lengths or [0], 0)
    offsets = offsets if lengths else offsets[:1]
    y, cache = pooling_forward(x, offsets, kind)
    dx = pooling_backward(np.ones_like(y), cache)
    empty = np.array(lengths) == 0
    assert y.shape == (len(lengths), 3) and not y[empty].any() and y[~empty].all()
    assert dx.shape == x.shape and dx.sum() == pytest.approx(3 * np.sum(~empty))


@every_kind
@given(SEEDS)
@examples(5)
def test_a_single_token_is_its_text(kind, seed):
    _, x, offsets = ragged([1, 1, 1], seed)
    y, cache = pooling_forward(x, offsets, kind)
    assert_equal((y, pooling_backward(x, cache)), (x, x))


def test_negative_maxima_survive():
    y, _ = pooling_forward(np.array([[-3.0], [-2.0]]), np.array([0, 2]), "max")
    assert y.tolist() == [[-2.0]]


@pytest.mark.parametrize("kind", ["mean", "max"])
def test_nan_is_seen_in_its_own_text_and_in_no_other(kind):
    x = np.array([[1.0, 2], [3, np.nan], [5, 6], [7, 8], [9, 10]])
    y, cache = pooling_forward(x, np.array([0, 2, 3, 3, 5]), kind)
    expected = {"max": [[3, np.nan], [5, 6], [0, 0], [9, 10]], "mean": [[2, np.nan], [5, 6], [0, 0], [8, 9]]}[kind]
    np.testing.assert_array_equal(y, expected)
    dx = pooling_backward(np.arange(8.0).reshape(4, 2) + 1, cache)
    if kind == "max":
        np.testing.assert_array_equal(dx, [[0, 0], [1, 2], [3, 4], [0, 0], [7, 8]])


def test_float32_mean_of_a_long_text_does_not_drift():
    x = np.full((300_000, 1), 0.1, np.float32)
    assert pooling_forward(x, np.array([0, len(x)]))[0] == np.float32(0.1)


@every_kind
def test_wrong_segments_are_caught(kind):
    def corrupted(dy, cache):
        return pooling_backward(dy[::-1].copy(), cache)

    assert caught(pooling_forward, corrupted, ROWS, OFFSETS, kind)
