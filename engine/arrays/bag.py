"""Texts as bags of distinct tokens: what does not depend on the order of tokens is computed once for each.

A network without positions gives equal tokens of a text equal values, so a text of n tokens is its P_t distinct ones and how
often each occurs. The linear maps of an embedding do not even depend on the text: they are computed once for each of the U
distinct tokens of a batch. Of 64 texts of Reuters R8 cut to 128 tokens, P is about two thirds of T and U a quarter.

Batches of about one size brought to equal sizes: what a CUDA graph has recorded for one then serves the others too.

Rows that no entry refers to and entries that no text has are put behind the real ones. Kernels that go text by text leave such
entries out, or write 0 for them; those that go row by row compute something finite there, whose gradient is 0 because pooling
hands nothing back. All real rows come first, so a kernel sums them in the order that it takes without padding.
"""

import functools
from typing import NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.ragged import gather_rows, spread, token_counts
from engine.cuda.kernels import either
from engine.cuda.segments import sum_segments
from engine.layer import sum_rows


class Links(NamedTuple):
    """What kernels need to know of a Bag beside its fields, worked out on the host: its sizes can then be read without waiting.

    texts: (P,) int64, the text of each entry. by_row: (P,) int64, the entries in the order of the rows they refer to, and
    row_starts: (U + 1,) int64, where those of each row begin there; both None where entry p is row p itself.
    condensed: the Bag of one_row_per_text(), None in that bag, whose own it is. tokens: written_out(), None where nobody asks for it.
    """

    texts: np.ndarray
    by_row: np.ndarray | None
    row_starts: np.ndarray | None
    condensed: tuple | None
    tokens: tuple | None


class Bag(NamedTuple):
    """Which rows of x (U, d) the texts of a batch consist of.

    places: (P,) int64, the row of x of each entry; None where entry p is row p itself.
    counts: (P,) int64, how often the entry occurs in its text; None for once each. With counts no place occurs twice in a text.
    offsets: (B + 1,) int64, cuts the P entries into texts.
    links: for kernels, None elsewhere; see linked().
    """

    places: np.ndarray | None
    counts: np.ndarray | None
    offsets: np.ndarray
    links: Links | None = None

    def entry_count(self):
        """P. Known without a look at the arrays wherever one of P numbers is there."""
        known = next((x for x in (self.places, self.counts, self.links and self.links.texts) if x is not None), None)
        return int(self.offsets[-1]) if known is None else len(known)

    def of_own_rows(self):
        """The same bag over one row for each entry."""
        return self._replace(places=None, links=self.links and self.links._replace(by_row=None, row_starts=None))

    def linked(self, row_count, condense=True, write_out=False):
        """The same bag with its Links; row_count: U. condense, write_out: also what one_row_per_text(), written_out() give."""
        if self.links is not None:
            return self
        xp, texts = array_module(self.offsets), self.texts()
        by_row = row_starts = None
        if self.places is not None:
            # NumPy sorts numbers of 16 bits by radix, several times as fast.
            by_row = xp.argsort(self.places.astype(np.uint16) if row_count <= 1 << 16 else self.places, kind="stable")
            row_starts = xp.concatenate(
                [xp.zeros(1, np.int64), xp.cumsum(xp.bincount(self.places, minlength=row_count))]
            )
        condensed = self.one_row_per_text().linked(len(self.offsets) - 1, condense=False) if condense else None
        return self._replace(
            links=Links(texts, by_row, row_starts, condensed, self.written_out() if write_out else None)
        )

    def entries(self, x):
        """(U, …) rows → (P, …): the row of each entry."""
        return x if self.places is None else gather_rows(x, self.places)

    def texts(self):
        """(P,) int64, the text of each entry."""
        if self.links is not None:
            return self.links.texts
        return spread(array_module(self.offsets).arange(len(self.offsets) - 1), self.offsets, self.entry_count())

    def weights(self):
        """(P,) counts, ones where there are none."""
        return array_module(self.offsets).ones(self.entry_count(), np.int64) if self.counts is None else self.counts

    def text_lengths(self):
        """(B,) number of tokens of each text, repeated ones counted."""
        return token_counts(self.offsets, self.counts)

    def written_out(self):
        """(entry (T,), first (P,), offsets (B + 1,)): the entry of every single token, and where each entry stands first."""
        if self.links is not None and self.links.tokens is not None:
            return self.links.tokens
        xp = array_module(self.offsets)
        counts = self.weights()
        ends = xp.cumsum(counts)
        entry = spread(xp.arange(len(counts)), xp.concatenate([xp.zeros(1, np.int64), ends]))
        return entry, ends - counts, xp.concatenate([xp.zeros(1, np.int64), ends])[self.offsets]

    def one_row_per_text(self):
        """The bag of texts whose tokens have all become alike: one entry for each text, row t for text t, none if it is empty."""
        if self.links is not None:
            return self if self.links.condensed is None else self.links.condensed
        xp = array_module(self.offsets)
        n = self.text_lengths()
        filled = n > 0
        offsets = xp.concatenate([xp.zeros(1, np.int64), xp.cumsum(filled.astype(np.int64))])
        return Bag(xp.flatnonzero(filled), n[filled], offsets)


def distinct_tokens(ids, offsets, vocabulary):
    """(rows (U,) int64, ascending; Bag whose places are positions in `rows`), every token an entry of its own.

    ids: (T,) integers in [0, vocabulary), offsets: (B + 1,).
    """
    xp = array_module(ids)
    occurs = xp.zeros(vocabulary, bool)
    occurs[ids] = True
    rows = xp.flatnonzero(occurs)
    position = xp.empty(vocabulary, np.int64)  # only read where a token occurs
    position[rows] = xp.arange(len(rows))
    return rows, Bag(position[ids], None, offsets)


def merge_repeats(bag, row_count):
    """The same bag with equal entries of a text merged: their places ascend within each text. row_count: U."""
    xp = array_module(bag.offsets)
    text = bag.texts()
    keys, counts = xp.unique(text * row_count + bag.places, return_counts=True)
    return Bag(
        keys % row_count,
        counts.astype(np.int64, copy=False),
        xp.searchsorted(keys, xp.arange(len(bag.offsets)) * row_count),
    )


def sum_entries(y, bag, row_count, onto=None):
    """What entries hand back to the rows they come from: (P, …) → (U, …), Σ over the entries of each row. float32 in float64.

    onto: (U, …), added to it.
    """
    if bag.places is None:
        return y if onto is None else onto + y
    if bag.links is not None:
        return either(sum_segments_of_rows, functools.partial(plain_sum_entries, row_count), y, bag, onto)
    return plain_sum_entries(row_count, y, bag, onto)


def plain_sum_entries(row_count, y, bag, onto):
    sums = sum_rows(bag.places, y).dense(row_count)
    return sums if onto is None else onto + sums


def sum_segments_of_rows(y, bag, onto):
    return sum_segments(y, bag.links.row_starts, bag.links.by_row, onto)


def count_matrix(bag, row_count):
    """C: (B, U) float64, how often row u stands in text t. Sums over the tokens of texts are then products with it."""
    xp = array_module(bag.offsets)
    texts = len(bag.offsets) - 1
    places = xp.arange(bag.entry_count()) if bag.places is None else bag.places
    cells = bag.texts() * row_count + places
    counts = xp.bincount(cells, weights=bag.weights().astype(np.float64), minlength=texts * row_count)
    return counts.astype(np.float64, copy=False).reshape(texts, row_count)  # of no entries bincount makes integers


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
    return filled_up(rows, U, 0), bag._replace(
        places=filled_up(bag.places, P, 0), counts=filled_up(bag.counts, P, 0), links=links
    )


def filled_up(x, n, value):
    """(n,) int64: x and then `value`."""
    y = np.empty(n, np.int64)
    y[: len(x)] = x
    y[len(x) :] = value
    return y
