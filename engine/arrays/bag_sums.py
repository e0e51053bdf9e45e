"""The matrix of counts of a Bag, and the indices by which sums over texts and back to rows do without its zeros."""

from collections.abc import Iterator

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.bag import Bag, BagSums, Piece, RowSums, TextGroup
from engine.arrays.ragged import lengths
from engine.types import Floats2d, Ints1d

GROUP_TEXTS = 32  # texts of a TextGroup, at most: with more there are fewer calls, and more zeros
GROUP_ENTRIES = 1 << 19  # numbers of the rows of a TextGroup, at most, where it has several texts: 4 MiB in float64
SHARED_TEXTS = 64  # texts of a Piece, at most


def count_matrix(bag: Bag, row_count: int) -> Floats2d:
    """C: (B, U) float64, how often row u stands in text t. Sums over the tokens of texts are then products with it."""
    xp = array_module(bag.offsets)
    texts = len(bag.offsets) - 1
    if texts == 1 and bag.row_index is None and bag.entry_count() == row_count:
        return bag.weights().astype(np.float64)[None]
    rows = xp.arange(bag.entry_count()) if bag.row_index is None else bag.row_index
    cells = bag.texts() * row_count + rows
    counts = xp.bincount(cells, weights=bag.weights().astype(np.float64), minlength=texts * row_count)
    return counts.astype(np.float64, copy=False).reshape(texts, row_count)  # of no entries bincount makes integers


def bag_sums(bag: Bag, row_count: int, columns: int) -> BagSums:
    """The BagSums of a bag over an array (U, d) on the host; row_count: U, columns: d."""
    return BagSums(tuple(text_groups(bag, columns)), row_sums(bag, row_count))


def text_groups(bag: Bag, columns: int) -> Iterator[TextGroup]:
    """The TextGroups of all texts that have entries, shortest first."""
    n, weights = lengths(bag.offsets), bag.weights().astype(np.float64)
    row_index = np.arange(len(weights)) if bag.row_index is None else bag.row_index
    order = np.argsort(n, kind="stable")[np.count_nonzero(n == 0) :]
    while len(order):
        longest = n[order[:GROUP_TEXTS]][-1]
        size = min(GROUP_TEXTS, max(1, GROUP_ENTRIES // max(1, longest * columns)))
        texts, order = order[:size], order[size:]
        position, count = np.arange(n[texts[-1]]), n[texts][:, None]
        entries = bag.offsets[texts][:, None] + np.minimum(position, count - 1)
        yield TextGroup(texts, row_index[entries], np.where(position < count, weights[entries], 0.0)[:, None, :])


def row_sums(bag: Bag, row_count: int) -> RowSums:
    """The RowSums of a bag over U = `row_count` rows on the host."""
    B, text, weights = len(bag.offsets) - 1, bag.texts(), bag.weights()
    row_index = np.arange(len(text)) if bag.row_index is None else bag.row_index
    single = (weights == 1) & (np.bincount(row_index, minlength=row_count) == 1)[row_index]
    rest = ~single
    number = np.full(row_count, -1)  # of the shared rows
    number[row_index[rest]] = 0
    shared = np.flatnonzero(number == 0)
    number[shared] = np.arange(len(shared))
    source = np.where(number < 0, len(shared), number) + B
    source[row_index[single]] = text[single]
    pieces = shared_pieces(number[row_index[rest]], text[rest], weights[rest], B, len(shared))
    return RowSums(B, len(shared), source, tuple(pieces))


def shared_pieces(number: Ints1d, text: Ints1d, weights: Ints1d, texts: int, shared: int) -> Iterator[Piece]:
    """The pieces of S = `shared` rows; number, text and weights (n,) are those of their entries, by ascending text."""
    cuts = np.searchsorted(text, np.arange(0, texts + SHARED_TEXTS, SHARED_TEXTS)).tolist()
    for group in range(len(cuts) - 1):
        entries, first = slice(cuts[group], cuts[group + 1]), group * SHARED_TEXTS
        columns, of_entries = np.arange(shared), number[entries]
        if len(cuts) > 2:
            columns, of_entries = np.unique(of_entries, return_inverse=True)
        m, n = min(SHARED_TEXTS, texts - first), len(columns)
        cells = (text[entries] - first) * n + of_entries
        counts = np.bincount(cells, weights=weights[entries], minlength=m * n)
        matrix: Floats2d = counts.astype(np.float64, copy=False).reshape(m, n)  # of no entries bincount makes integers
        yield Piece(first, columns, matrix)
