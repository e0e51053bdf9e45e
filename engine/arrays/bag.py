"""Texts as bags of distinct tokens: what does not depend on the order of tokens is computed once for each.

A network without positions gives equal tokens of a text equal values, so a text of n tokens is its P_t distinct ones
and how often each occurs. The linear maps of an embedding do not even depend on the text: they are computed once for
each of the U distinct tokens of a batch. Of 64 texts of Reuters R8 cut to 128 tokens, P is about two thirds of T and
U a quarter.
"""

import functools
from typing import NamedTuple

import numpy as np

from engine.arrays import bag_c
from engine.arrays.backend import array_module
from engine.arrays.ragged import gather_rows, spread, token_counts
from engine.cuda.kernels import dispatch
from engine.cuda.segments import sum_segments
from engine.layer import sum_rows
from engine.types import Array, Floats2d, Floats3d, Ints1d, Ints2d, Offsets


class InverseIndex(NamedTuple):
    """The index that kernels need of a Bag beside its fields, made on the host, where sizes are known at once.

    texts: (P,) int64, the text of each entry. by_row: (P,) int64, the entries in the order of the rows they refer to,
    and row_starts: (U + 1,) int64, where those of each row begin there; both None where entry p is row p itself.
    tokens: the result of expand(), None where nobody asks for it.
    """

    texts: Ints1d
    by_row: Ints1d | None
    row_starts: Offsets | None
    tokens: tuple[Ints1d, Ints1d, Offsets] | None = None


class TextGroup(NamedTuple):
    """Texts of about as many entries: the shorter ones are filled up with entries of weight 0.

    texts: (g,), rows: (g, n) the row of each entry, weights: (g, 1, n) float64.
    """

    texts: Ints1d
    rows: Ints2d
    weights: Floats3d


class Piece(NamedTuple):
    """A part of C (see count_matrix in bag_sums.py) that has few zeros, of rows that stand more than once.

    first: the first of its m texts. shared: (n,) its columns, as numbers of such rows. counts: (m, n) float64.
    """

    first: int
    shared: Ints1d
    counts: Floats2d

    def texts(self) -> slice:
        return slice(self.first, self.first + len(self.counts))


class RowSums(NamedTuple):
    """How the rows of texts, (B, d), are summed to U rows, as backward needs it, with numbers that grow with P.

    A row is shared if it stands more than once in the batch. texts: B. shared: S, how many are. source: (U,) where the
    sum of a row is found among those of texts and of shared rows: t for a row that stands in text t alone, B + i for
    shared row i, B + S for a row that stands nowhere.
    """

    texts: int
    shared: int
    source: Ints1d
    pieces: tuple[Piece, ...]


class BagSums(NamedTuple):
    """The indices that sums in both directions read; made ahead of a step."""

    groups: tuple[TextGroup, ...]
    rows: RowSums


class Bag(NamedTuple):
    """Which rows of x (U, d) the texts of a batch consist of.

    row_index: (P,) int64, the row of x of each entry; None where entry p is row p itself (the identity index).
    counts: (P,) int64, how often the entry occurs in its text; None for once each. With counts no row occurs twice in a
    text. offsets: (B + 1,) int64, cuts the P entries into texts. inverse: for kernels, None elsewhere.
    sums: the result of bag_sums() in bag_sums.py, None where nobody has asked for it yet.
    """

    row_index: Ints1d | None
    counts: Ints1d | None
    offsets: Offsets
    inverse: InverseIndex | None = None
    sums: BagSums | None = None

    def entry_count(self) -> int:
        """P. Known without a look at the arrays wherever one of P numbers is there."""
        arrays = (self.row_index, self.counts, self.inverse and self.inverse.texts)
        known = next((x for x in arrays if x is not None), None)
        return int(self.offsets[-1]) if known is None else len(known)

    def per_entry(self) -> "Bag":
        """The same bag over one row for each entry."""
        inverse = self.inverse and self.inverse._replace(by_row=None, row_starts=None)
        return self._replace(row_index=None, inverse=inverse, sums=None)

    def with_inverse_index(self, row_count: int, expand: bool = False) -> "Bag":
        """The same bag with its InverseIndex; row_count: U. expand: whether expand() will be asked for."""
        if self.inverse is not None:
            return self
        xp, texts, tokens = array_module(self.offsets), self.texts(), self.expand() if expand else None
        if self.row_index is None:
            return self._replace(inverse=InverseIndex(texts, None, None, tokens))
        # NumPy sorts numbers of 16 bits by radix, several times as fast.
        keys = self.row_index.astype(np.uint16) if row_count <= 1 << 16 else self.row_index
        counts = xp.bincount(self.row_index, minlength=row_count)
        row_starts = xp.concatenate([xp.zeros(1, np.int64), xp.cumsum(counts)])
        return self._replace(inverse=InverseIndex(texts, xp.argsort(keys, kind="stable"), row_starts, tokens))

    def entries(self, x: Array) -> Array:
        """(U, …) rows → (P, …): the row of each entry."""
        return x if self.row_index is None else gather_rows(x, self.row_index)

    def texts(self) -> Ints1d:
        """(P,) int64, the text of each entry."""
        if self.inverse is not None:
            return self.inverse.texts
        return spread(array_module(self.offsets).arange(len(self.offsets) - 1), self.offsets, self.entry_count())

    def weights(self) -> Ints1d:
        """(P,) counts, ones where there are none."""
        if self.counts is None:
            return array_module(self.offsets).ones(self.entry_count(), np.int64)
        return self.counts

    def text_lengths(self) -> Ints1d:
        """(B,) number of tokens of each text, repeated ones counted."""
        return token_counts(self.offsets, self.counts)

    def expand(self) -> tuple[Ints1d, Ints1d, Offsets]:
        """(entry (T,), first (P,), offsets (B + 1,)): the entry of each token, and where each entry stands first."""
        if self.inverse is not None and self.inverse.tokens is not None:
            return self.inverse.tokens
        xp = array_module(self.offsets)
        counts = self.weights()
        ends = xp.cumsum(counts)
        starts = xp.concatenate([xp.zeros(1, np.int64), ends])
        return spread(xp.arange(len(counts)), starts), ends - counts, starts[self.offsets]

    def collapsed(self, keep_empty: bool = False) -> "Bag":
        """The bag of texts whose tokens have become alike: one entry for each text, row t for text t, none if empty.

        keep_empty: an entry that occurs 0 times for an empty text, so that their number is known.
        """
        xp = array_module(self.offsets)
        n = self.text_lengths()
        if keep_empty or (xp is np and self.inverse is None and n.all()):
            return Bag(None, n, xp.arange(len(n) + 1))
        filled = n > 0
        offsets = xp.concatenate([xp.zeros(1, np.int64), xp.cumsum(filled.astype(np.int64))])
        return Bag(xp.flatnonzero(filled), n[filled], offsets)


def distinct_tokens(ids: Ints1d, offsets: Offsets, vocabulary: int) -> tuple[Ints1d, Bag]:
    """(rows (U,) int64, ascending; Bag whose row_index are positions in `rows`), every token an entry of its own.

    ids: (T,) integers in [0, vocabulary), offsets: (B + 1,).
    """
    xp = array_module(ids)
    occurs = xp.zeros(vocabulary, bool)
    occurs[ids] = True
    rows = xp.flatnonzero(occurs)
    position = xp.empty(vocabulary, np.int64)  # only read where a token occurs
    position[rows] = xp.arange(len(rows))
    return rows, Bag(position[ids], None, offsets)


def merge_repeats(bag: Bag, row_count: int) -> Bag:
    """The same bag with equal entries of a text merged: their rows ascend within each text. row_count: U."""
    xp = array_module(bag.offsets)
    text = bag.texts()
    assert bag.row_index is not None
    keys, counts = unique_counts(text * row_count + bag.row_index)
    offsets = xp.searchsorted(keys, xp.arange(len(bag.offsets)) * row_count)
    return Bag(keys % row_count, counts, offsets)


def distinct_merged_tokens(ids: Ints1d, offsets: Offsets, vocabulary: int) -> tuple[Ints1d, Bag]:
    """The result of distinct_tokens() and merge_repeats()."""
    if bag_c.is_usable(ids, offsets):
        rows, row_index, counts, entries = bag_c.distinct_tokens(ids, offsets, vocabulary)
        return rows, Bag(row_index, counts, entries)
    rows, each = distinct_tokens(ids, offsets, vocabulary)
    return rows, merge_repeats(each, len(rows))


def one_text(ids: Ints1d) -> tuple[Ints1d, Bag]:
    """The result of distinct_tokens() and merge_repeats() for a single text, whose entries are the rows."""
    rows, counts = unique_counts(ids)
    return rows.astype(np.int64, copy=False), Bag(None, counts, np.array([0, len(rows)]))


def unique_counts(keys: Ints1d) -> tuple[Ints1d, Ints1d]:
    """(the different integers, ascending; how often each occurs, int64)."""
    xp = array_module(keys)
    if xp is not np:
        values, counts = xp.unique(keys, return_counts=True)
        return values, counts.astype(np.int64, copy=False)
    keys = np.sort(keys)  # np.unique takes several times as long for the keys of one text
    is_last = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=is_last[:-1])
    ends = np.flatnonzero(is_last) + 1
    counts = ends.copy()
    counts[1:] -= ends[:-1]
    return keys[is_last], counts


def sum_entries(y: Floats2d, bag: Bag, row_count: int, accumulate: Floats2d | None = None) -> Floats2d:
    """Sum the entries of each row, as backward needs it: (P, …) → (U, …). float32 is summed in float64.

    accumulate: (U, …), added to it.
    """
    if bag.row_index is None:
        return y if accumulate is None else accumulate + y
    sums = functools.partial(sum_by_row, row_count)
    if bag.inverse is None:
        return sums(y, bag, accumulate)
    summed: Floats2d = dispatch(sum_by_inverse_index, sums, y, bag, accumulate)
    return summed


def sum_by_row(row_count: int, y: Floats2d, bag: Bag, accumulate: Floats2d | None) -> Floats2d:
    """sum_entries by sorting the entries by their rows."""
    assert bag.row_index is not None
    sums = sum_rows(bag.row_index, y).dense(row_count)
    return sums if accumulate is None else accumulate + sums


def sum_by_inverse_index(y: Floats2d, bag: Bag, accumulate: Floats2d | None) -> Floats2d:
    """sum_entries by a kernel, which finds the entries of each row by the inverse index."""
    assert bag.inverse is not None and bag.inverse.row_starts is not None
    return sum_segments(y, bag.inverse.row_starts, bag.inverse.by_row, accumulate)
