"""The bag of the distinct tokens of texts by a function in C, in time that grows with their number: nothing is sorted.

The result is that of distinct_tokens() and merge_repeats() in bag.py, to the bit.
"""

from typing import Any

import numpy as np

from engine.arrays.checks import check_ids, check_offsets
from engine.compiled.c_file import CFile
from engine.types import Ints1d, Offsets

BITS = 64
FUNCTIONS = CFile(__file__, distinct_tokens="IIii" + "lllll" + "lllll")


def is_usable(*arrays: Any) -> bool:
    """Whether the function computes on arrays like these."""
    return all(isinstance(x, np.ndarray) for x in arrays) and FUNCTIONS.is_usable()


def distinct_tokens(ids: Ints1d, offsets: Offsets, vocabulary: int) -> tuple[Ints1d, Ints1d, Ints1d, Offsets]:
    """(rows (U,), row_index (P,), counts (P,), offsets (B + 1,)), all int64: those of a Bag over the rows.

    ids: (T,) integers in [0, vocabulary), offsets: (B + 1,). ValueError for others.
    """
    check_ids(ids, vocabulary)
    check_offsets(offsets, len(ids))
    tokens = len(ids)
    words = vocabulary // BITS + 1
    scratch = [np.empty(size, np.int64) for size in (words, words, tokens, tokens, tokens + 1)]
    rows, row_index, counts = (np.empty(tokens, np.int64) for _ in range(3))
    entry_offsets, sizes = np.empty(len(offsets), np.int64), np.empty(2, np.int64)
    found = rows, row_index, counts, entry_offsets, sizes
    given = np.ascontiguousarray(ids, np.int64), np.ascontiguousarray(offsets)
    FUNCTIONS.call("distinct_tokens", *given, len(offsets) - 1, vocabulary, *scratch, *found)
    row_count, entries = sizes.tolist()
    return rows[:row_count], row_index[:entries], counts[:entries], entry_offsets
