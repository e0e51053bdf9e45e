"""Texts of about as many entries as one block (g, n, d): large enough for a NumPy call, small enough for the cache."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from engine.arrays.bag import Bag
from engine.arrays.ragged import CACHE_BLOCK_ENTRIES, cut_in_segments, lengths
from engine.types import Bools, Floats, Floats1d, Floats2d, Floats3d, Ints1d, Ints2d, Offsets

PADDING = 1.25  # a text may be shorter than the longest of its group by this factor


class Text(NamedTuple):
    """One text of a Bag.

    number: in the batch; rows: the slice of its n entries; row_index: where they are in x; weights: (n,) float64
    counts; sentences: (s + 1,) offsets of its sentences, None where nobody asks for them.
    """

    number: int
    rows: slice
    row_index: Ints1d | slice
    weights: Floats1d
    sentences: Offsets | None

    def alone(self, block: Floats2d) -> Floats2d:
        """Its n rows of its block (longest n, …)."""
        return block[: len(self.weights)]

    def bag(self) -> Bag:
        """The Bag of this text over its own entries."""
        return Bag(None, self.weights.astype(np.int64), np.array([0, len(self.weights)]))

    def bags(self) -> tuple[Bag, Bag | None]:
        """Its Bag as the first branch of a wave pair cuts it, and the second where that cuts otherwise."""
        bag = self.bag()
        return (bag, None) if self.sentences is None else (bag._replace(offsets=self.sentences), bag)


class Sentences(NamedTuple):
    """The sentences of the texts of a group.

    number: (g, n) the sentence of each entry, from 0 in each text. members: (g, s, n) float64, 1 where an entry stands
    in a sentence. alone: (g, n, 1) whether an entry is the only token of its sentence.
    """

    number: Ints2d
    members: Floats3d
    alone: Bools

    def sums(self, x: Floats3d, weights: Floats2d | None = None) -> Floats3d:
        """(g, n, d) float64: the sum over its sentence for each entry, of x (g, n, d), times weights (g, n)."""
        of_sentences = (self.members if weights is None else self.members * weights[:, None, :]) @ x
        total: Floats3d = of_sentences[np.arange(len(x))[:, None], self.number]
        return total


class Group(NamedTuple):
    """Texts that are computed together. Shorter ones are filled up with rows of weight 0.

    entries, row_index: (g, n) positions in arrays of entries and in x; weights: (g, n) float64; filled: (g, n) where a
    text has an entry, None where all have; sentences: None where nobody asks for them.
    """

    texts: list[Text]
    entries: Ints2d
    row_index: Ints2d
    weights: Floats2d
    filled: Bools | None
    sentences: Sentences | None

    def rows_of_index(self, x: Floats2d) -> Floats3d:
        """(U, d) → (g, n, d): the rows of x that the entries refer to, 0 where there is none."""
        return self.with_padding(np.take(x, self.row_index, axis=0, mode="clip"), 0)

    def rows_of_entries(self, y: Floats2d, padding: float = 0) -> Floats3d:
        """(P, …) → (g, n, …), `padding` where there is no entry. A single text's is a view."""
        if len(self.texts) == 1:
            return y[self.texts[0].rows][None]
        return self.with_padding(np.take(y, self.entries, axis=0, mode="clip"), padding)

    def with_padding(self, block: Floats3d, value: float) -> Floats3d:
        if self.filled is not None:
            block[~self.filled] = value
        return block

    def put(self, y: Floats2d, block: Floats3d) -> None:
        """Write a block (g, n, …) into the entries of y (P, …)."""
        if len(self.texts) == 1:
            y[self.texts[0].rows] = block[0]
        elif self.filled is None:
            y[self.entries] = block
        else:
            y[self.entries[self.filled]] = block[self.filled]


def groups_of(bag: Bag, columns: int, sentences: Offsets | None = None) -> Iterator[Group]:
    """The Groups of all texts that have entries, shortest first; columns: d of the blocks.

    sentences: (S + 1,), a finer cut of the entries.
    """
    bounds, weights = bag.offsets.tolist(), bag.weights().astype(np.float64)
    cuts = [] if sentences is None else cut_in_segments(sentences, bag.offsets).tolist()
    count = lengths(bag.offsets)
    chosen: list[Text] = []
    for number in np.argsort(count, kind="stable").tolist():
        n = bounds[number + 1] - bounds[number]
        if n == 0:
            continue
        if chosen and ((len(chosen) + 1) * n * columns > CACHE_BLOCK_ENTRIES or n > PADDING * len(chosen[0].weights)):
            yield group_of(chosen, bag)
            chosen = []
        rows = slice(bounds[number], bounds[number + 1])
        own = None if sentences is None else sentences[cuts[number] : cuts[number + 1] + 1] - bounds[number]
        chosen.append(Text(number, rows, rows if bag.row_index is None else bag.row_index[rows], weights[rows], own))
    if chosen:
        yield group_of(chosen, bag)


def group_of(texts: list[Text], bag: Bag) -> Group:
    """The Group of some texts, of which the last is the longest."""
    n = len(texts[-1].weights)
    first = np.array([text.rows.start for text in texts])[:, None]
    counts = np.array([len(text.weights) for text in texts])[:, None]
    position = np.arange(n)
    entries = first + np.minimum(position, counts - 1)
    filled = None if (counts == n).all() else position < counts
    weights: Floats = np.concatenate([text.weights for text in texts])
    if filled is not None:
        block = np.zeros(entries.shape)
        block[filled] = weights
        weights = block
    row_index = entries if bag.row_index is None else bag.row_index[entries]
    weights = weights.reshape(entries.shape)
    return Group(texts, entries, row_index, weights, filled, sentences_of(texts, weights))


def sentences_of(texts: list[Text], weights: Floats2d) -> Sentences | None:
    """The Sentences of some texts; entries that fill a text up stand in none. weights: (g, n)."""
    offsets = [text.sentences for text in texts if text.sentences is not None]
    if not offsets:
        return None
    index = np.zeros(weights.shape, np.int64)
    members = np.zeros((len(texts), max(map(len, offsets)) - 1, weights.shape[1]))
    for i, cut in enumerate(offsets):
        own = np.repeat(np.arange(len(cut) - 1), lengths(cut))
        index[i, : len(own)] = own
        members[i, own, np.arange(len(own))] = 1
    sizes = (members @ weights[..., None])[..., 0]  # (g, s) tokens
    alone = (sizes[np.arange(len(texts))[:, None], index] == 1) & (weights == 1)
    return Sentences(index, members, alone[..., None])
