"""Sums, maxima and blocks of texts of different length, against plain loops over exact sums."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays import ragged
from engine.arrays.ragged import (
    cache_blocks,
    cut_in_segments,
    exclusive_sum,
    gather_rows,
    lengths,
    put_rows,
    row_blocks,
    scale_of_columns,
    segment_max,
    segment_sum,
    spread,
)
from tests.support.examples import examples

COUNTS = st.lists(st.integers(0, 6), max_size=8)
# Ties, zeros of both signs, entries that dominate by more than all digits of a float.
ENTRIES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 3.0, 1e10, -1e10, 1e17, 2.0**60]),
    st.floats(-1e10, 1e10, allow_subnormal=False),
)
EPSILON = 2.0**-52


@st.composite
def texts(draw, entries=ENTRIES, columns=2):
    """x (T, columns) and its offsets; texts may be empty, and there may be none."""
    offsets = offsets_of(draw(COUNTS))
    flat = draw(st.lists(entries, min_size=columns * int(offsets[-1]), max_size=columns * int(offsets[-1])))
    return np.array(flat, np.float64).reshape(-1, columns), offsets


def offsets_of(counts):
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)


def columns_of(x, offsets):
    """(text, column, entries) of every text and column."""
    for t in range(len(offsets) - 1):
        for c in range(x.shape[1]):
            yield t, c, x[offsets[t] : offsets[t + 1], c].tolist()


@examples(100)
@given(texts())
def test_segment_sum_is_the_sum_of_each_text(case):
    x, offsets = case
    y = segment_sum(x, offsets)
    assert y.shape == (len(offsets) - 1, 2) and y.dtype == np.float64
    for t, c, entries in columns_of(x, offsets):
        assert abs(y[t, c] - math.fsum(entries)) <= len(entries) * EPSILON * math.fsum(map(abs, entries))


def test_segment_sum_of_float32_is_in_float64():
    x = np.array([1e8, *[0.5] * 8, -1e8], np.float32)
    offsets = np.array([0, 10, 10])
    assert segment_sum(x, offsets).tolist() == [4.0, 0.0] and segment_sum(x, offsets).dtype == np.float32
    third = np.full(3, 1 / 3, np.float32)
    exact = segment_sum(third, np.array([0, 3]), np.float64)
    assert exact.dtype == np.float64 and exact[0] == 3 * float(third[0])


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)])
def test_segments_keep_the_shape_of_a_row(shape):
    x = np.arange(5 * math.prod(shape), dtype=float).reshape(5, *shape)
    offsets = np.array([0, 2, 2, 5])
    assert np.array_equal(segment_sum(x, offsets), np.stack([x[:2].sum(axis=0), np.zeros(shape), x[2:].sum(axis=0)]))
    if x.size:
        assert np.array_equal(segment_max(x - 100, offsets), np.stack([x[1] - 100, np.zeros(shape), x[4] - 100]))


@examples(100)
@given(texts())
def test_segment_max_is_the_largest_entry_of_each_text(case):
    x, offsets = case
    y = segment_max(x, offsets)
    assert all(y[t, c] == max(entries, default=0.0) for t, c, entries in columns_of(x, offsets))


@examples(100)
@given(COUNTS)
def test_spread_gives_every_row_the_value_of_its_text(counts):
    offsets = offsets_of(counts)
    y = np.arange(2.0 * len(counts)).reshape(-1, 2)
    assert lengths(offsets).tolist() == counts
    assert spread(y, offsets).tolist() == [y[t].tolist() for t, count in enumerate(counts) for _ in range(count)]


@examples(100)
@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), max_size=4))
def test_segments_are_cut_into_texts(sentences):
    """sentences: the lengths of those of each text. Sums of sentences, summed so, are those of the texts."""
    fine, coarse = offsets_of([n for text in sentences for n in text]), offsets_of(list(map(sum, sentences)))
    cuts = cut_in_segments(fine, coarse)
    assert cuts.dtype == np.int64 and cuts[0] == 0 and cuts[-1] == len(fine) - 1
    assert fine[cuts].tolist() == coarse.tolist()
    x = np.arange(1.0, fine[-1] + 1)
    assert segment_sum(segment_sum(x, fine), cuts).tolist() == segment_sum(x, coarse).tolist()


@pytest.mark.parametrize(
    "fine, coarse, cuts",
    [
        ([0, 2, 3, 5], [0, 3, 5], [0, 2, 3]),
        ([0, 2, 2, 5], [0, 2, 5], [0, 1, 3]),  # an empty sentence between two texts
        ([0, 2, 5, 5], [0, 2, 5], [0, 1, 3]),  # at the end
        ([0, 0, 5], [0, 5], [0, 2]),  # at the beginning
        ([0, 2, 5], [0, 0, 2, 2, 5, 5], [0, 0, 1, 1, 2, 2]),  # empty texts have no sentence
        ([0], [0], [0]),
    ],
)
def test_empty_sentences_and_texts_are_cut(fine, coarse, cuts):
    assert cut_in_segments(np.array(fine), np.array(coarse)).tolist() == cuts


@pytest.mark.parametrize(
    "fine, coarse, message",
    [
        ([0, 2, 5], [0, 3, 5], "ends within a sentence"),
        ([0, 2], [0, 2, 5], "ends within a sentence"),
        ([0, 0], [0], "1 sentences, but no text"),
    ],
)
def test_sentences_that_texts_do_not_consist_of_are_refused(fine, coarse, message):
    with pytest.raises(ValueError, match=f"^sentence_offsets: .*{message}"):
        cut_in_segments(np.array(fine), np.array(coarse))


def others(entries, j):
    return entries[:j] + entries[j + 1 :]


@examples(100)
@given(texts())
def test_exclusive_sum_errs_relative_to_the_others_alone(case):
    x, offsets = case
    y = exclusive_sum(x, offsets)
    for t, c, entries in columns_of(x, offsets):
        for j, found in enumerate(y[offsets[t] : offsets[t + 1], c].tolist()):
            rest = others(entries, j)
            assert abs(found - math.fsum(rest)) <= (len(entries) + 3) * EPSILON * math.fsum(map(abs, rest))


@examples(100)
@given(texts(st.floats(0, 1e10, allow_subnormal=False)), st.sampled_from([np.float32, np.float64]))
def test_exclusive_sums_of_positive_entries_keep_their_digits(case, dtype):
    x, offsets = case[0].astype(dtype), case[1]
    y = exclusive_sum(x, offsets)
    assert y.dtype == dtype
    for t, c, entries in columns_of(x, offsets):
        for j, found in enumerate(y[offsets[t] : offsets[t + 1], c].tolist()):
            exact = math.fsum(others(entries, j))
            assert abs(found - exact) <= (len(entries) + 3) * np.finfo(dtype).eps * exact


def test_exclusive_sum_is_exact_beside_dominating_entries():
    x = np.array([[1e300, 1e16], [1.0, 1e16], [2.0, 1.0]])
    assert exclusive_sum(x, np.array([0, 3])).tolist() == [[3.0, 1e16 + 1], [1e300, 1e16 + 1], [1e300, 2e16]]
    signs = np.array([[1e16], [-1e16], [1.0]])
    assert exclusive_sum(signs, np.array([0, 3])).tolist() == [[-1e16], [1e16], [0.0]]
    assert exclusive_sum(np.array([[7.0]]), np.array([0, 1])).tolist() == [[0.0]]


def test_a_complex_step_passes_through_sums():
    x = np.array([[1.0, -5.0], [3.0, 2.0], [2.0, 2.0]])
    offsets = np.array([0, 2, 3])
    step = x + 1e-30j * np.array([[1.0, 0], [0, 0], [0, 1.0]])
    y = exclusive_sum(step, offsets)
    assert np.array_equal(y.real, exclusive_sum(x, offsets))
    assert np.array_equal(y.imag, [[0, 0], [1e-30, 0], [0, 0]])
    assert np.array_equal(segment_sum(step, offsets).imag, [[1e-30, 0], [0, 1e-30]])


def block_results(x, offsets, function):
    """A body run block by block and put together again."""
    parts = [function(x[rows], inner) for rows, inner in cache_blocks(x, offsets)]
    return np.concatenate(parts)


@examples(100)
@given(texts(), st.integers(1, 40))
def test_blocks_hold_every_text_once_and_change_no_result(case, entries):
    x, offsets = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ragged, "CACHE_BLOCK_ENTRIES", entries)
        blocks = list(cache_blocks(x, offsets))
        assert [i for rows, _ in blocks for i in range(len(x))[rows]] == list(range(len(x)))
        assert np.array_equal(np.concatenate([lengths(inner) for _, inner in blocks]), lengths(offsets))
        for rows, inner in blocks:
            assert inner[0] == 0 and inner[-1] == rows.stop - rows.start and inner.dtype == np.int64
            assert x[rows].size <= entries or (lengths(inner) > 0).sum() <= 1
        for function in (exclusive_sum, segment_sum, segment_max):
            assert np.array_equal(block_results(x, offsets, function), function(x, offsets))
        slices = row_blocks(x)
        assert [i for rows in slices for i in range(len(x))[rows]] == list(range(len(x)))
        assert all(x[rows].size <= max(entries, 2) for rows in slices)


def test_only_a_large_batch_comes_in_more_than_one_block():
    x = np.zeros((1000, 128), np.float32)
    offsets = np.arange(0, 1001, 10)
    assert len(list(cache_blocks(x, offsets))) == 4 == len(row_blocks(x))
    assert len(list(cache_blocks(x[:100], offsets[:11]))) == 1 == len(row_blocks(x[:100]))


def test_no_texts_are_one_empty_block():
    ((rows, inner),) = cache_blocks(np.zeros((0, 3)), np.zeros(1, np.int64))
    assert rows == slice(0, 0) and inner.tolist() == [0]
    assert row_blocks(np.zeros((0, 3))) == []


@examples(100)
@given(texts())
def test_scaling_is_by_the_largest_of_each_text_and_column(case):
    x, offsets = case
    scale = scale_of_columns(x, offsets)
    for t, c, entries in columns_of(x, offsets):
        assert scale[t, c] == (max(map(abs, entries), default=0.0) or 1.0)
    assert scale_of_columns(x.astype(np.float32), offsets) is None
    assert np.array_equal(scale_of_columns(x + 1e-30j, offsets), scale)


# --- rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("columns", [0, 1, 3])
@pytest.mark.parametrize("rows", [[], [4], [5, 0, 3]])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_rows_are_gathered_and_put_as_by_indexing(dtype, columns, rows, layout):
    rng = np.random.default_rng(0)
    x = np.array(10 * rng.standard_normal((6, columns)), dtype, order=layout)
    rows, expected = np.array(rows, np.int64), x.copy()
    values = np.array(10 * rng.standard_normal((len(rows), columns)), dtype)
    expected[rows] = values
    put_rows(x, rows, values)
    assert np.array_equal(x, expected)
    assert np.array_equal(gather_rows(x, rows), values)
