"""Texts of about the same number of entries as one block (g, n, d): enough for a NumPy call to do, and it stays in cache."""

from typing import NamedTuple

import numpy as np

from engine.arrays.bag import Bag
from engine.arrays.ragged import CACHE_BLOCK_ENTRIES, lengths

PADDING = 1.25  # a text may be shorter than the longest of its group by this factor


class Text(NamedTuple):
    """One text of a Bag. rows: the slice of its n entries; row_index: where they are in x; weights: (n,) float64 counts."""

    number: int
    rows: slice
    row_index: np.ndarray | slice
    weights: np.ndarray

    def alone(self, block):
        """Its n rows of its block (longest n, …)."""
        return block[: len(self.weights)]

    def bag(self):
        """The Bag of this text over its own entries."""
        return Bag(None, self.weights.astype(np.int64), np.array([0, len(self.weights)]))


class Group(NamedTuple):
    """Texts that are computed together. Shorter ones are filled up with rows of weight 0.

    entries, row_index: (g, n) positions in arrays of entries and in x; weights: (g, n) float64; filled: (g, n) where a text has an
    entry, None where all have.
    """

    texts: list
    entries: np.ndarray
    row_index: np.ndarray
    weights: np.ndarray
    filled: np.ndarray | None

    def rows_of_index(self, x):
        """(U, d) → (g, n, d): the rows of x that the entries refer to, 0 where there is none."""
        return self.with_padding(np.take(x, self.row_index, axis=0, mode="clip"), 0)

    def rows_of_entries(self, y, padding=0):
        """(P, …) → (g, n, …), `padding` where there is no entry. A single text's is a view."""
        if len(self.texts) == 1:
            return y[self.texts[0].rows][None]
        return self.with_padding(np.take(y, self.entries, axis=0, mode="clip"), padding)

    def with_padding(self, block, value):
        if self.filled is not None:
            block[~self.filled] = value
        return block

    def put(self, y, block):
        """Write a block (g, n, …) into the entries of y (P, …)."""
        if len(self.texts) == 1:
            y[self.texts[0].rows] = block[0]
        elif self.filled is None:
            y[self.entries] = block
        else:
            y[self.entries[self.filled]] = block[self.filled]


def groups_of(bag, columns):
    """The Groups of all texts that have entries, shortest first; `columns`: of the blocks."""
    bounds, weights = bag.offsets.tolist(), bag.weights().astype(np.float64)
    count = lengths(bag.offsets)
    chosen = []
    for number in np.argsort(count, kind="stable").tolist():
        n = bounds[number + 1] - bounds[number]
        if n == 0:
            continue
        if chosen and ((len(chosen) + 1) * n * columns > CACHE_BLOCK_ENTRIES or n > PADDING * len(chosen[0].weights)):
            yield group_of(chosen, bag)
            chosen = []
        rows = slice(bounds[number], bounds[number + 1])
        chosen.append(Text(number, rows, rows if bag.row_index is None else bag.row_index[rows], weights[rows]))
    if chosen:
        yield group_of(chosen, bag)


def group_of(texts, bag):
    """The Group of some texts, of which the last is the longest."""
    n = len(texts[-1].weights)
    first, own = (
        np.array([text.rows.start for text in texts])[:, None],
        np.array([len(text.weights) for text in texts])[:, None],
    )
    position = np.arange(n)
    entries = first + np.minimum(position, own - 1)
    filled = None if (own == n).all() else position < own
    weights = np.concatenate([text.weights for text in texts])
    if filled is not None:
        block = np.zeros(entries.shape)
        block[filled] = weights
        weights = block
    return Group(
        texts,
        entries,
        entries if bag.row_index is None else bag.row_index[entries],
        weights.reshape(entries.shape),
        filled,
    )
