"""Character n-grams: what words consist of, as further tokens, so that a network knows something of unseen words.

A word between its borders, "<profits>", gives each of its sequences of so many characters once: "<pr", "pro" … "ts>".
Those that several words of the training texts have are a CharNGramVocabulary; others are left out. fastText
(Bojanowski et al., arXiv 1607.04606) lets all of them share a fixed number of rows by a hash instead, and adds them up
to the vector of their word. Words are the pieces that a tokenizer cuts (pieces.py); characters are those of Unicode.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.data.affixes import CONTINUED
from engine.data.growing import gathered
from engine.data.hash_table import mixed
from engine.data.strings import (
    Bytes,
    DistinctStrings,
    Strings,
    hash_table_of,
    hashes_of,
    spans_of,
    strings_from,
    to_list,
)
from engine.types import Ints1d

# A change of these, or of what learn_char_ngrams() chooses, makes other tokens: raise FORMAT in token_cache.py.
BEGIN, END = b"<>"
CHUNK_BYTES = 1 << 18  # of words at a time: bounds the memory that their n-grams take


class CharNGramVocabulary(NamedTuple):
    """Known character n-grams ("<pr", "fit"), ascending; known[i] has the id i behind those of other tokens."""

    known: list[str]


class Grams(NamedTuple):
    """N-grams of one length. words: (n,) numbers of their words, ascending; starts, ends: (n,) bytes of the data."""

    words: Ints1d
    starts: Ints1d
    ends: Ints1d


def grams_of(words: Strings, lengths: Iterable[int]) -> tuple[Bytes, list[Grams]]:
    """(the bytes of words between their borders, Grams of each length in characters, repeated ones too)."""
    offsets = words.offsets + 2 * np.arange(len(words.offsets))
    data, inner = np.empty(offsets[-1], np.uint8), np.ones(offsets[-1], bool)
    data[offsets[:-1]], data[offsets[1:] - 1] = BEGIN, END
    inner[offsets[:-1]] = inner[offsets[1:] - 1] = False
    data[inner] = words.data
    bounds = np.append(np.flatnonzero((data & 0xC0) != CONTINUED), len(data))  # of characters
    first = np.searchsorted(bounds, offsets)  # characters before each word
    found = []
    for length in lengths:
        counts = np.maximum(np.diff(first) + 1 - length, 0)
        _, places = gathered(first[:-1], counts)
        of_words = np.repeat(np.arange(len(counts)), counts)
        found.append(Grams(of_words, bounds[places], bounds[places + length]))
    return data, found


def chunks_of(words: Strings) -> Iterator[tuple[int, Strings]]:
    """(number of the first, words) of runs of words of about CHUNK_BYTES."""
    cuts = np.searchsorted(words.offsets, np.arange(0, words.offsets[-1], CHUNK_BYTES))
    bounds = np.unique(np.concatenate([[0], cuts, [len(words.offsets) - 1]]))
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist()):
        offsets = words.offsets[first : last + 1]
        yield first, Strings(words.data[offsets[0] : offsets[-1]], offsets - offsets[0])


class WordSets:
    """The n-grams of distinct words, numbered, and the set of words that each stands in.

    counts: (K,) the number of words; sums: (K,) uint64, of a hash of each of them: equal sums tell equal sets.
    """

    def __init__(self, words: Strings, lengths: Collection[int]) -> None:
        self.grams = DistinctStrings()
        self.counts, self.sums = np.zeros(0, np.int64), np.zeros(0, np.uint64)
        for first, some in chunks_of(words):
            data, found = grams_of(some, lengths)
            for grams in found:
                self.add(self.grams.number(data, grams.starts, grams.ends), first + grams.words)

    def add(self, numbers: Ints1d, words: Ints1d) -> None:
        """Count words for n-grams, (n,) each; words that were counted for them before must not come again."""
        new = len(self.grams) - len(self.counts)
        self.counts = np.append(self.counts, np.zeros(new, np.int64))
        self.sums = np.append(self.sums, np.zeros(new, np.uint64))
        order = np.argsort(numbers, kind="stable")  # leaves the words of each n-gram ascending
        numbers, words = numbers[order], words[order]
        distinct = np.append(True, (numbers[1:] != numbers[:-1]) | (words[1:] != words[:-1]))[: len(numbers)]
        numbers, words = numbers[distinct], words[distinct]
        begins = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1])[: len(numbers)])
        if len(begins):
            self.counts[numbers[begins]] += np.diff(np.append(begins, len(numbers)))
            self.sums[numbers[begins]] += np.add.reduceat(mixed(words.astype(np.uint64)), begins)


def learn_char_ngrams(
    words: Strings, lengths: Collection[int], frequency: int, most: int, left_out: Iterable[str] = ()
) -> CharNGramVocabulary:
    """The CharNGramVocabulary of distinct words: the `most` frequent n-grams that at least `frequency` words have.

    Of n-grams that stand in the same words the shortest in bytes is known, since the others say no more of these; of
    several, or of equally frequent ones where there are too many, that of the lower hash. left_out: n-grams that are
    known by other tokens.
    """
    sets = WordSets(words, lengths)
    data, offsets = sets.grams.strings()
    known = np.flatnonzero(sets.counts >= frequency)
    hashes = hashes_of(data, offsets[known], offsets[known + 1])
    other = strings_from(left_out)
    fresh = ~np.isin(hashes, hashes_of(other.data, other.offsets[:-1], other.offsets[1:]))
    known, hashes = known[fresh], hashes[fresh]
    order = np.lexsort((hashes, np.diff(offsets)[known]))
    _, first = np.unique(sets.sums[known[order]], return_index=True)
    known, hashes = known[order[first]], hashes[order[first]]
    chosen = np.sort(known[np.lexsort((hashes, -sets.counts[known]))[:most]])
    return CharNGramVocabulary(sorted(to_list(spans_of(data, offsets[chosen], offsets[chosen + 1]))))


class CharNGramTable:
    """Finds the known character n-grams of words."""

    def __init__(self, vocabulary: CharNGramVocabulary) -> None:
        self.lengths = sorted(set(map(len, vocabulary.known)))
        self.table = hash_table_of(vocabulary.known)

    def of(self, words: Strings) -> tuple[npt.NDArray[np.int32], Ints1d]:
        """(ids (n,) of the known n-grams of all words, those of each word ascending, counts of each word)."""
        counts, parts = np.zeros(len(words.offsets) - 1, np.int64), [np.zeros(0, np.int32)]
        for first, some in chunks_of(words):
            data, found = grams_of(some, self.lengths)
            keys = [np.zeros(0, np.int64)]  # of words and their n-grams
            for grams in found:
                ids = self.table.find(hashes_of(data, grams.starts, grams.ends))
                known = ids >= 0
                keys.append(grams.words[known] * len(self.table) + ids[known])
            of_words, ids = np.divmod(np.unique(np.concatenate(keys)), max(len(self.table), 1))
            counts[first : first + len(some.offsets) - 1] = np.bincount(of_words, minlength=len(some.offsets) - 1)
            parts.append(ids.astype(np.int32))
        return np.concatenate(parts), counts
