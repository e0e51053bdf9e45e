"""N-grams: neighbouring tokens of a text as further tokens, so that a network without positions sees some order.

Tokens v_1 … v_n of a text, v_1 = [CLS], give for each length k = 2 … N the grams (v_i, …, v_{i+k−1}) for all i from 1
to n − k + 1; with [CLS], how a text begins is a gram. Those that the training texts hold at least F times, at most the
M most frequent, are an NGramVocabulary and have ids behind those of the tokenizer; others are left out. fastText
(Joulin et al., arXiv 1607.01759) lets all grams share a fixed number of ids by a hash instead, which gives many a
frequent gram the embedding of a rare one as well.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.arrays.ragged import lengths, offsets_from, spread
from engine.data.hash_table import AscendingKeys, Keys, mixed
from engine.types import Ints1d, Offsets


class NGramVocabulary(NamedTuple):
    """Known n-grams up to length N = longest by their hashes (see hash_table.py), (K,) uint64, ascending.

    The gram of hashes[i] has the id i behind those of the tokenizer.
    """

    hashes: Keys
    longest: int


class GramCounts:
    """How often each n-gram occurs in texts that come in parts.

    runs: ascending hashes and their counts; each run is longer than the next, so that merging n hashes, whatever the
    parts, costs O(n log n) and memory for the distinct ones.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.runs: list[tuple[Keys, Ints1d]] = []

    def add(self, ids: Ints1d, offsets: Offsets) -> None:
        """Count the grams of some texts. ids: (T,), offsets: (B + 1,)."""
        hashes = np.concatenate([hashes for _, hashes in grams_of(ids, offsets, self.longest)])
        if not len(hashes):
            return
        self.runs.append(np.unique(hashes, return_counts=True))
        while len(self.runs) > 1 and 2 * len(self.runs[-1][0]) > len(self.runs[-2][0]):
            self.merge_last()

    def merge_last(self) -> None:
        """Merge the last two runs."""
        (hashes, counts), (more, more_counts) = self.runs[-2:]
        hashes, counts = np.concatenate([hashes, more]), np.concatenate([counts, more_counts])
        order = np.argsort(hashes, kind="stable")  # merges what is sorted in linear time
        hashes, counts = hashes[order], counts[order]
        begins = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1]))
        self.runs[-2:] = [(hashes[begins], np.add.reduceat(counts, begins))]

    def vocabulary(self, frequency: int, most: int) -> NGramVocabulary:
        """The NGramVocabulary of at most M = `most` grams that occur at least F = `frequency` times.

        Of equally frequent grams the lower hash stays.
        """
        while len(self.runs) > 1:
            self.merge_last()
        hashes, counts = self.runs[0] if self.runs else (np.zeros(0, np.uint64), np.zeros(0, np.int64))
        known = counts >= frequency
        hashes, counts = hashes[known], counts[known]
        return NGramVocabulary(np.sort(hashes[np.argsort(-counts, kind="stable")[:most]]), self.longest)


def find_ngrams(ids: Ints1d, offsets: Offsets, known: AscendingKeys, longest: int) -> list[tuple[Ints1d, Ints1d]]:
    """(numbers of the known grams, in order, and how many each text has) for each length from 2 to `longest`.

    ids: (T,), offsets: (B + 1,); every text begins with [CLS]. known: the hashes of an NGramVocabulary.
    """
    found: list[tuple[Ints1d, Ints1d]] = []
    for starts, hashes in grams_of(ids, offsets, longest):
        numbers = known.find(hashes)
        (places,) = (numbers >= 0).nonzero()
        bounds = starts[places].searchsorted(offsets)
        found.append((numbers[places], lengths(bounds)))
    return found


def grams_of(ids: Ints1d, offsets: Offsets, longest: int) -> Iterator[tuple[Ints1d, Keys]]:
    """For each length from 2 to `longest`: where its grams begin in ids, in order, and their hashes."""
    texts = spread(np.arange(len(offsets) - 1), offsets)
    starts, hashes = np.arange(len(ids)), mixed(ids.astype(np.uint64))
    for length in range(2, longest + 1):
        inside = starts + length <= len(ids)
        starts, hashes = starts[inside], hashes[inside]
        inside = texts[starts] == texts[starts + length - 1]
        starts, hashes = starts[inside], hashes[inside]
        hashes = mixed(hashes ^ ids[starts + length - 1].astype(np.uint64))
        yield starts, hashes


def side_by_side(parts: list[Ints1d], counts: npt.NDArray[np.integer[Any]]) -> tuple[Ints1d, Offsets]:
    """Interleave flat arrays by text: one array that holds, text by text, the entries of each part, and its offsets.

    counts: (parts, B), the number of entries of each part in each text.
    """
    offsets = offsets_from(counts.sum(axis=0))
    starts = offsets[:-1] + counts.cumsum(axis=0) - counts  # of each part's share of each text
    together = np.empty(offsets[-1], np.int32)
    for part, count, start in zip(parts, counts, starts):
        together[np.arange(len(part)) + (start - (count.cumsum() - count)).repeat(count)] = part
    return together, offsets
