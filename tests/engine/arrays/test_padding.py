"""Padding of bags to a few sizes."""

import numpy as np
import pytest

from engine.arrays.bag import distinct_tokens, merge_repeats
from engine.arrays.padding import LEAST, padded, padded_length


def test_sizes_are_few_and_close():
    sizes = sorted({padded_length(n) for n in range(200_000)})
    assert sizes[0] == LEAST and all(size % LEAST == 0 for size in sizes) and len(sizes) < 80
    assert all(n <= padded_length(n) <= max(LEAST, n + LEAST, 1.125 * n) for n in range(200_000))
    assert [padded_length(n) for n in (0, 1, 128, 129, 1490, 2650)] == [128, 128, 128, 256, 1536, 2816]


@pytest.mark.parametrize("lengths", [[5, 0, 3, 200], [0, 0], [300]])
def test_what_is_added_belongs_to_no_text_and_no_row(lengths):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    rows, bag = distinct_tokens(np.random.default_rng(0).integers(0, 50, offsets[-1]), offsets, 50)
    bag = merge_repeats(bag, len(rows)).with_inverse_index(len(rows))
    more_rows, more = padded(rows, bag)
    U, P, inverse, found = len(rows), bag.entry_count(), bag.inverse, more.inverse
    assert len(more_rows) == padded_length(U)
    assert more.entry_count() == padded_length(P) == len(more.counts) == len(found.texts)
    assert np.array_equal(more_rows[:U], rows) and not more_rows[U:].any()
    assert np.array_equal(more.row_index[:P], bag.row_index)
    assert np.array_equal(more.counts[:P], bag.counts) and not more.counts[P:].any()
    assert np.array_equal(more.offsets, bag.offsets) and more.offsets[-1] == P, "texts end before what is added"
    assert np.array_equal(found.row_starts[: U + 1], inverse.row_starts) and (found.row_starts[U:] == P).all()
    assert np.array_equal(found.by_row[:P], inverse.by_row) and len(found.row_starts) == len(more_rows) + 1
    assert np.array_equal(found.texts[:P], inverse.texts) and (found.texts[P:] == 0).all()
