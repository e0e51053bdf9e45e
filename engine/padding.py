"""Batches of about one size brought to equal sizes: what a CUDA graph has recorded for one then serves the others too.

Rows that no entry refers to and entries that no text has are put behind the real ones. Kernels that go text by text leave such
entries out, or write 0 for them; those that go row by row compute something finite there, whose gradient is 0 because pooling
hands nothing back. All real rows come first, so a kernel sums them in the order that it takes without padding.
"""

import numpy as np

LEAST = 128  # rows; also what tiles of matrix products are multiples of


def padded_length(n):
    """The next multiple of LEAST up to 8·LEAST, from there the next of sizes that lie at most an eighth apart."""
    step = max(LEAST, 1 << max(0, n.bit_length() - 4))
    return max(step, -(-n // step) * step)


def padded(rows, bag):
    """(rows, bag) of a batch without dropout, on the host, with more rows and entries.

    rows: (U,) ids to look up; added ones are 0. bag: with counts and links; added entries refer to row 0, occur 0 times, and are no
    row's and no text's.
    """
    links, entries = bag.links, bag.entry_count()
    U, P = padded_length(len(rows)), padded_length(entries)
    links = links._replace(
        texts=filled_up(links.texts, P, 0), by_row=filled_up(links.by_row, P, 0), row_starts=filled_up(links.row_starts, U + 1, entries),
    )  # fmt: skip
    return filled_up(rows, U, 0), bag._replace(places=filled_up(bag.places, P, 0), counts=filled_up(bag.counts, P, 0), links=links)


def filled_up(x, n, value):
    """(n,) int64: x and then `value`."""
    y = np.empty(n, np.int64)
    y[: len(x)] = x
    y[len(x) :] = value
    return y
