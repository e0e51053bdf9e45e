"""E22: positions added to tokens, from a learned table or as sinusoids."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays.ragged import positions
from engine.layer import RowSparse
from layers.standard.position_encoding import position_encoding_backward, position_encoding_forward, sinusoids
from tests.support.device_stand_in import assert_computes_on_the_device
from tests.support.layer_laws import (
    LENGTHS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    caught,
    examples,
    offsets_of,
    random_rows,
)

PLACES = st.integers(0, 500)
EVEN = st.integers(1, 8).map(lambda half: 2 * half)
ROWS = 7  # of the table


def case(lengths, seed):
    """(w, places, table)."""
    rng, offsets = np.random.default_rng(seed), offsets_of(lengths)
    return random_rows(rng, offsets[-1]), positions(offsets, offsets[-1]), random_rows(rng, ROWS)


def dense_backward(dx, cache):
    dw, dp = position_encoding_backward(dx, cache)
    return dw, dp.dense(ROWS)


# --- sinusoids ---------------------------------------------------------------------------------------------------


def test_known_sinusoids():
    expected = [[0, 1, 0, 1], [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)]]
    np.testing.assert_allclose(sinusoids(2, 4), expected, rtol=1e-15)
    p = sinusoids(101, 4, 0.5)
    np.testing.assert_allclose(p[100], [0.5 * f(x) for x in (100, 1) for f in (math.sin, math.cos)], rtol=1e-14)
    assert p.dtype == np.float64 and sinusoids(0, 4).shape == (0, 4)


@pytest.mark.parametrize("d", [1, 3, 5])
def test_an_odd_dimension_ends_with_a_sine(d):
    expected = [[math.sin(m * 10_000 ** (-(d - 1) / d))] for m in range(9)]
    np.testing.assert_allclose(sinusoids(9, d)[:, -1:], expected, rtol=1e-14)
    assert sinusoids(9, d).shape == (9, d)


@given(PLACES, st.integers(0, 500), EVEN)
@examples()
def test_a_shift_is_a_rotation(m, k, d):
    """Of each pair of columns, by an angle that knows the distance alone."""
    p = sinusoids(1001, d)
    angle = k / 10_000 ** (np.arange(0, d, 2) / d)
    sine, cosine = p[m, ::2], p[m, 1::2]
    np.testing.assert_allclose(p[m + k, ::2], np.cos(angle) * sine + np.sin(angle) * cosine, atol=1e-12)
    np.testing.assert_allclose(p[m + k, 1::2], np.cos(angle) * cosine - np.sin(angle) * sine, atol=1e-12)


@given(PLACES, PLACES, EVEN, st.sampled_from([1.0, 0.02]))
@examples()
def test_products_of_sinusoids_know_the_distance_alone(m, n, d, scale):
    """All rows are of one length."""
    p = sinusoids(501, d, scale)
    expected = scale**2 * np.cos((m - n) / 10_000 ** (np.arange(0, d, 2) / d)).sum()
    assert abs(p[m] @ p[n] - expected) <= 1e-12 * scale**2 * d
    np.testing.assert_allclose(np.linalg.norm(p, axis=1), scale * math.sqrt(d / 2), rtol=1e-14)


# --- the pair ----------------------------------------------------------------------------------------------------


@given(LENGTHS, SEEDS)
@examples()
def test_gradient(lengths, seed):
    """Of tokens and table; for texts of 0 to 5 tokens the table has rows that no text reaches."""
    w, places, table = case(lengths, seed)
    assert_exact_gradients(lambda w, p: position_encoding_forward(w, places, p), dense_backward, w, table)


@given(LENGTHS, SEEDS)
@examples()
def test_equals_a_loop_over_texts(lengths, seed):
    w, places, table = case(lengths, seed)
    x, cache = position_encoding_forward(w, places, table)
    dx = np.random.default_rng(seed).standard_normal(x.shape)
    dw, dp = position_encoding_backward(dx, cache)
    expected, of_table, rows = np.zeros_like(w), np.zeros_like(table), iter(range(len(w)))
    for place, j in ((place, next(rows)) for n in lengths for place in range(n)):
        expected[j] = w[j] + table[place]
        of_table[place] += dx[j]
    assert_equal(x, expected)
    assert dw is dx
    assert isinstance(dp, RowSparse) and dp.rows.tolist() == list(range(max(lengths)))
    assert_equal(dp.dense(ROWS), of_table, 1e-14)


def test_equal_tokens_at_different_places_are_different_rows():
    w, places = np.ones((5, 4)), np.array([0, 1, 0, 1, 2])
    x, _ = position_encoding_forward(w, places, sinusoids(3, 4))
    assert np.array_equal(x[:2], x[2:4]) and len(np.unique(x, axis=0)) == 3


@given(LENGTHS, SEEDS)
@examples()
def test_a_linear_map_needs_each_token_and_place_once(lengths, seed):
    """(w + p)·A = w·A + p·A, per token from maps of the distinct rows."""
    rng = np.random.default_rng(seed)
    _, places, table = case(lengths, seed)
    ids, tokens, A = rng.integers(0, 4, len(places)), random_rows(rng, 4), random_rows(rng, 3, 2)
    x, _ = position_encoding_forward(tokens[ids], places, table)
    mapped, _ = position_encoding_forward((tokens @ A)[ids], places, table @ A)
    assert_equal(mapped, x @ A, 1e-14)


def test_a_text_longer_than_the_table_is_refused():
    w, table = np.ones((4, 2)), np.ones((3, 2))
    position_encoding_forward(w[:3], positions(np.array([0, 3]), 3), table)
    with pytest.raises(ValueError, match=r"^places: must lie in \[0, 3\), got 3$"):
        position_encoding_forward(w, positions(np.array([0, 4]), 4), table)


@pytest.mark.parametrize("count", [0, 2, 4])
def test_places_of_another_number_of_tokens_are_refused(count):
    with pytest.raises(ValueError, match=f"^places: expected one for each of 3 rows of w, got {count}$"):
        position_encoding_forward(np.ones((3, 2)), np.zeros(count, int), np.ones((3, 2)))


def test_no_tokens_give_no_rows():
    x, cache = position_encoding_forward(np.zeros((0, 3)), np.zeros(0, int), np.ones((4, 3)))
    dw, dp = position_encoding_backward(x, cache)
    assert x.shape == dw.shape == dp.values.shape == (0, 3) and len(dp.rows) == 0


def test_a_place_of_very_many_texts_is_summed_without_drift():
    w = np.zeros((300_000, 1), np.float32)
    x, cache = position_encoding_forward(w, np.zeros(len(w), int), np.ones((2, 1), np.float32))
    _, dp = position_encoding_backward(np.full_like(x, 0.1), cache)
    assert dp.values.dtype == np.float32
    np.testing.assert_allclose(dp.values, [[float(np.float32(0.1)) * 300_000]], rtol=1e-7)


def test_a_word_below_the_rounding_of_its_position_is_lost():
    table = np.ones((1, 1), np.float32)
    for word, expected in ((2.0**-24, 1.0), (2.0**-23, 1 + 2.0**-23)):
        x, cache = position_encoding_forward(np.full((1, 1), word, np.float32), np.array([0]), table)
        dw, dp = position_encoding_backward(np.ones_like(x), cache)
        assert (x.item(), dw.item(), dp.values.item()) == (expected, 1, 1)


def test_the_gradient_is_taken_on_the_device_of_its_cotangent(device):
    x, cache = position_encoding_forward(*case([3, 0, 1], 0))
    assert_computes_on_the_device(device, position_encoding_backward, x, cache)


def forgets_repeats(dx, cache):
    dense = np.zeros((ROWS, 3))
    dense[cache.places] = dx
    return dx, dense


@pytest.mark.parametrize(
    "corrupted",
    [forgets_repeats, lambda dx, cache: (dx[::-1].copy(), dense_backward(dx, cache)[1])],
    ids=["repeats", "order"],
)
def test_a_corrupted_backward_is_caught(corrupted):
    w, places, table = case([3, 0, 5], 0)
    assert caught(lambda w, p: position_encoding_forward(w, places, p), corrupted, w, table)
