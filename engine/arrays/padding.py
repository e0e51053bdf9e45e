"""Batches padded to one of a few sizes, so that one CUDA graph serves many of them."""

import numpy as np

from engine.arrays.bag import Bag
from engine.types import Ints1d, Offsets

LEAST = 128  # rows; also what tiles of matrix products are multiples of


def padded_length(n: int) -> int:
    """The next multiple of LEAST up to 8·LEAST, from there the next of sizes that lie at most an eighth apart."""
    step = max(LEAST, 1 << max(0, n.bit_length() - 4))
    return max(step, -(-n // step) * step)


def padded(rows: Ints1d, bag: Bag) -> tuple[Ints1d, Bag]:
    """Pad a batch without dropout on the host.

    rows: (U,) ids to look up; added ones are 0. bag: with its inverse index; added entries refer to row 0, occur
    0 times, and are no row's and no text's. They lie behind the real ones. Kernels that go text by text leave them out
    or write 0 for them; those that go row by row compute something finite there, whose gradient is 0 because pooling
    hands nothing back. All real rows come first, so a kernel sums them in the order that it takes without padding.
    """
    row_index, counts, inverse = bag.row_index, bag.weights(), bag.inverse
    assert row_index is not None and inverse is not None
    assert inverse.by_row is not None and inverse.row_starts is not None
    entries = bag.entry_count()
    U, P = padded_length(len(rows)), padded_length(entries)
    inverse = inverse._replace(
        texts=filled_up(inverse.texts, P, 0),
        by_row=filled_up(inverse.by_row, P, 0),
        row_starts=filled_up(inverse.row_starts, U + 1, entries),
    )
    row_index, counts = filled_up(row_index, P, 0), filled_up(counts, P, 0)
    return filled_up(rows, U, 0), bag._replace(row_index=row_index, counts=counts, inverse=inverse)


def filled_up(x: Ints1d, n: int, value: int) -> Offsets:
    """(n,) int64: x and then `value`."""
    y = np.empty(n, np.int64)
    y[: len(x)] = x
    y[len(x) :] = value
    return y
