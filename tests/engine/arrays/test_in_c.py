"""Bags and sums of rows in C: the bits of NumPy, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays import bag_c, ragged_c
from engine.arrays.bag import distinct_merged_tokens, distinct_tokens, merge_repeats
from engine.arrays.ragged import column_sums, segment_sum
from engine.layer import sum_rows
from tests.support.layer_laws import LENGTHS, SEEDS, examples, offsets_of

pytestmark = pytest.mark.skipif(not bag_c.FUNCTIONS.is_usable(), reason="no C compiler")


@given(LENGTHS, SEEDS, st.sampled_from([1, 2, 63, 64, 65, 1000]), st.sampled_from([np.int32, np.int64]))
@examples(100)
def test_the_bag_is_that_of_numpy(lengths, seed, vocabulary, dtype):
    offsets = offsets_of(lengths)
    ids = np.random.default_rng(seed).integers(0, vocabulary, offsets[-1]).astype(dtype)
    rows, bag = distinct_merged_tokens(ids, offsets, vocabulary)
    expected_rows, each = distinct_tokens(ids, offsets, vocabulary)
    for found, expected in zip((rows, *bag[:3]), (expected_rows, *merge_repeats(each, len(expected_rows))[:3])):
        assert found.dtype == np.int64 and np.array_equal(found, expected)


def test_the_last_id_of_a_word_and_a_token_that_repeats():
    rows, bag = distinct_merged_tokens(np.array([127, 0, 127, 64, 127]), np.array([0, 0, 3, 5]), 128)
    assert [part.tolist() for part in (rows, *bag[:3])] == [[0, 64, 127], [0, 2, 1, 2], [1, 2, 1, 1], [0, 0, 2, 4]]


@pytest.mark.parametrize(
    "ids, offsets, message",
    [
        ([0, 9], [0, 2], r"ids: must lie in \[0, 5\), got 9"),
        ([0, -1], [0, 2], "ids: must lie in"),
        ([0, 1], [0, 3], "offsets: must run from 0"),
        ([0, 1], [0, 2, 1, 2], "offsets: must not fall"),
    ],
)
def test_indices_outside_of_an_array(ids, offsets, message):
    with pytest.raises(ValueError, match=message):
        bag_c.distinct_tokens(np.array(ids), np.array(offsets), 5)


@given(SEEDS, st.sampled_from([0, 1, 7, 100]), st.sampled_from([0, 1, 31, 32, 33, 70]))
@examples(60)
def test_column_sums(seed, rows, columns):
    """One rounding of sums in float64; the bits do not depend on the other columns."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((rows, columns)) * rng.choice([1e-30, 1, 1e30], (rows, columns))).astype(np.float32)
    found = column_sums(x)
    assert found.dtype == np.float32 and found.shape == (columns,)
    for k in range(columns):
        exact, size = (math.fsum(values.tolist()) for values in (x[:, k], abs(x[:, k])))
        assert abs(float(found[k]) - exact) <= abs(exact) * 2**-24 + size * (rows + 1) * 2**-53
        assert found[k] == column_sums(np.ascontiguousarray(x[:, k : k + 1]))[0]


@given(LENGTHS, SEEDS, st.sampled_from([0, 1, 3, 70]))
@examples(60)
def test_sums_of_equal_rows_have_the_bits_of_numpy(lengths, seed, columns):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 5, sum(lengths))
    shape = len(rows), columns
    values = (rng.standard_normal(shape) * rng.choice([1e-30, 1, 1e30], shape)).astype(np.float32)
    found, offsets = [], offsets_of(lengths)
    for mode in ("on", "off"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WAVE_C", mode)
            found.append([*sum_rows(rows, values)])
    for one, other in zip(*found):
        assert one.dtype == other.dtype and np.array_equal(one, other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAVE_C", "off")
        assert np.array_equal(ragged_c.segment_sums(values, offsets), segment_sum(values, offsets))


@pytest.mark.parametrize("order, offsets", [([0, 3], [0, 2]), ([0, -1], [0, 2]), ([0, 1], [0, 3]), (None, [0, 4])])
def test_rows_outside_of_an_array(order, offsets):
    order = None if order is None else np.array(order)
    with pytest.raises(ValueError, match="order: must lie|offsets: must run"):
        ragged_c.segment_sums(np.ones((3, 2), np.float32), np.array(offsets), order)


def test_they_are_what_runs(monkeypatch):
    x, ids, offsets = np.ones((3, 2), np.float32), np.zeros(2, np.int32), np.array([0, 2])
    used = []
    monkeypatch.setattr(ragged_c, "column_sums", lambda x: used.append("sums"))
    monkeypatch.setattr(bag_c, "distinct_tokens", lambda *_: used.append("bag") or (ids, None, None, offsets))
    for mode in ("on", "off"):
        monkeypatch.setenv("WAVE_C", mode)
        column_sums(x)
        distinct_merged_tokens(ids, offsets, 3)
    column_sums(x.astype(np.float64))
    assert used == ["sums", "bag"]
