"""Gathers and sums of rows by kernels beside NumPy's."""

import numpy as np
import pytest

from engine.arrays import ragged
from engine.arrays.bag import Bag, distinct_tokens, merge_repeats, sum_entries
from engine.cuda import segments
from tests.support.layer_laws import offsets_of
from tests.support.twin_checks import SIZES

FUNCTIONS = {
    "sum_short_segments": (ragged.segment_sum, [0, 3, 1, 0, 9, 2]),
    "sum_long_segments": (ragged.segment_sum, [0, 40, 1, 33, 256]),
    "max_segments": (ragged.segment_max, [0, 3, 1, 0, 40, 2]),
}
DTYPES = {np.float32: 1e-6, np.float64: 1e-14}


def agree(emulated, function, arguments, kernel, tolerance):
    expected = function(*arguments)
    for backwards in (False, True):
        with emulated(backwards) as emulator:
            found = function(*arguments)
        assert kernel in {name for name, _ in emulator.launched}
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kernel", FUNCTIONS)
@pytest.mark.parametrize("columns", SIZES)
def test_segments(emulated, kernel, columns):
    function, lengths = FUNCTIONS[kernel]
    if columns == 1 and kernel == "sum_long_segments":
        kernel = "sum_flat_segments"
    for dtype, tolerance in DTYPES.items():
        x = np.random.default_rng(columns).standard_normal((sum(lengths), columns)).astype(dtype)
        agree(emulated, function, (x, offsets_of(lengths)), kernel, tolerance * 30)


FLAT = [(ragged.segment_sum, "sum_flat_segments"), (ragged.segment_max, "max_flat_segments")]


@pytest.mark.parametrize("function, kernel", FLAT)
def test_long_segments_of_one_column(emulated, function, kernel):
    lengths = [0, 1, 255, 256, 257, 1000, 0]
    for dtype, tolerance in DTYPES.items():
        x = np.random.default_rng(0).standard_normal((sum(lengths), 1)).astype(dtype) - 5
        agree(emulated, function, (x, offsets_of(lengths)), kernel, tolerance * 30)
        x[300] = np.nan
        agree(emulated, function, (x, offsets_of(lengths)), kernel, tolerance * 30)


@pytest.mark.parametrize("rows", [0, 1, 127, 128, 129, 1000, 1100])
def test_columns(emulated, rows):
    for dtype, tolerance in DTYPES.items():
        x = np.random.default_rng(rows).standard_normal((rows, 33)).astype(dtype)
        agree(emulated, ragged.column_sums, (x,), "finish_columns", tolerance * 100)


def test_a_sum_of_float32_is_rounded_once(emulated):
    x = np.array([[2.0**24], [1.0], [1.0]], np.float32)
    with emulated():
        assert ragged.column_sums(x)[0] == ragged.segment_sum(x, np.array([0, 3]))[0, 0] == 2**24 + 2


def test_rows_are_gathered_and_a_row_that_is_not_there_is_nan(emulated):
    x = np.arange(99.0).reshape(3, 33)
    agree(emulated, ragged.gather_rows, (x, np.array([2, 0, 2, 1])), "gather_rows", 0)
    agree(emulated, ragged.gather_rows, (x, np.array([2, 1], np.int32)), "gather_rows", 0)
    with emulated():
        y = segments.gather_rows(x, np.array([1, 3, -1, 10**12, -(10**12)]))  # the last two lie in no memory
    assert (y[0] == x[1]).all() and np.isnan(y[1:]).all()


def test_nan_is_the_largest_of_its_segment_alone(emulated):
    x = np.array([[1.0, 5.0], [np.nan, 2.0], [3.0, np.nan], [-4.0, -1.0]])
    agree(emulated, ragged.segment_max, (x, np.array([0, 3, 4])), "max_segments", 0)


@pytest.mark.parametrize("merged", [False, True])
def test_entries_hand_back_to_their_rows(emulated, merged):
    rng = np.random.default_rng(0)
    rows, bag = distinct_tokens(rng.integers(0, 9, 70), offsets_of([30, 0, 1, 39]), 9)
    bag = merge_repeats(bag, len(rows)) if merged else bag
    bag = bag.with_inverse_index(len(rows) + 1)  # a row that occurs nowhere receives 0
    y = rng.standard_normal((bag.entry_count(), 33))
    agree(emulated, sum_entries, (y, bag, len(rows) + 1), "sum_short_segments", 1e-13)


@pytest.mark.parametrize("rows", [300, 70_000])  # more than fit into 8 and 16 bits
def test_an_inverse_index_has_the_entries_of_rows_in_order(rows):
    row_index = np.random.default_rng(0).integers(0, rows, 1000)
    row_index[500:] = row_index[:500]
    inverse = Bag(row_index, None, np.array([0, 400, 1000])).with_inverse_index(rows).inverse
    assert inverse.by_row.tolist() == sorted(range(1000), key=lambda entry: (row_index[entry], entry))
    assert inverse.row_starts.tolist() == [(row_index < row).sum() for row in range(rows + 1)]


def test_a_bag_with_an_inverse_index_knows_its_sizes():
    bag = Bag(np.array([2, 0, 2]), np.array([1, 2, 1]), np.array([0, 2, 2, 3])).with_inverse_index(3)
    assert bag.inverse.texts.tolist() == bag.texts().tolist() == [0, 0, 2]
    assert bag.inverse.by_row.tolist() == [1, 0, 2] and bag.inverse.row_starts.tolist() == [0, 1, 1, 3]
    collapsed = bag.collapsed().with_inverse_index(3)
    assert collapsed.row_index.tolist() == [0, 2] and collapsed.inverse.row_starts.tolist() == [0, 1, 1, 2]
    own = bag.per_entry()
    assert own.row_index is own.inverse.by_row is own.inverse.row_starts is None and own.entry_count() == 3
    assert bag.with_inverse_index(3) is bag and bag.inverse.tokens is None
    assert Bag(None, None, np.array([0, 4])).entry_count() == 4


def test_an_inverse_index_keeps_the_tokens_where_asked():
    bag = Bag(np.array([2, 0, 2]), np.array([1, 2, 1]), np.array([0, 2, 2, 3]))
    indexed = bag.with_inverse_index(3, expand=True)
    assert all(np.array_equal(one, other) for one, other in zip(indexed.inverse.tokens, bag.expand(), strict=True))
    assert indexed.expand() is indexed.inverse.tokens and indexed.per_entry().expand() is indexed.inverse.tokens


def test_lanes_share_what_is_long_among_short_segments(emulated):
    # Across the border, in the first, the middle and the last block.
    lengths = [1, 0, 15, 16, 17, 40, 0, 2, 100, *[0] * 10, 33]
    assert segments.SHARED == 16 and sum(lengths) < segments.LONG * len(lengths)
    for dtype, tolerance in DTYPES.items():
        x = np.random.default_rng(0).standard_normal((sum(lengths), 33)).astype(dtype)
        agree(emulated, ragged.segment_sum, (x, offsets_of(lengths)), "sum_short_segments", tolerance * 30)


@pytest.mark.parametrize("tokens, kernel", [(70, "sum_short_segments"), (400, "sum_long_segments")])
@pytest.mark.parametrize("columns", [1, 33])
def test_sums_of_entries_are_added_to_an_array(emulated, tokens, kernel, columns):
    rng = np.random.default_rng(0)
    rows, bag = distinct_tokens(rng.integers(0, 9, tokens), offsets_of([tokens - 10, 10]), 9)
    bag = bag.with_inverse_index(len(rows))
    y, accumulate = rng.standard_normal((bag.entry_count(), columns)), rng.standard_normal((len(rows), columns))
    assert np.array_equal(sum_entries(y, bag, len(rows), accumulate), accumulate + sum_entries(y, bag, len(rows)))
    kernel = "sum_flat_segments" if columns == 1 and tokens == 400 else kernel
    agree(emulated, sum_entries, (y, bag, len(rows), accumulate), kernel, 1e-13)
