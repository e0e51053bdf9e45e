"""Affixes: how words begin and end, as further tokens.

A network thus knows something of words that it has never seen. A word of more than 5 characters gives its first 5, one
of more than 3 its last 3. Those that at least two different words of the training texts have are an AffixVocabulary;
others are left out. fastText (Bojanowski et al., arXiv 1607.04606) takes all sequences of 3 to 6 characters instead,
some ten tokens a word. The tokenizer determines the words: it cuts the parts that lie between spaces (pieces.py).
"""

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.data.hash_table import HashTable, Keys, mixed
from engine.data.strings import Strings, hashes_of, spans_of, strings_from, to_list
from engine.types import Ints1d

# A change of these makes other tokens of the same texts: raise FORMAT in token_cache.py.
BEGINNING, ENDING = 5, 3  # characters
FEW_WORDS = 1000  # looked up without a table
SHARED_BY = 2  # words: what only one has says no more than the word
CONTINUED = 0x80  # of the bytes of a character in UTF-8, all but the first are 0x80 to 0xBF


class AffixVocabulary(NamedTuple):
    """Known affixes ("profi-", "-its"), ascending; known[i] has the id i behind those of other tokens."""

    known: list[str]


class Affixes(NamedTuple):
    """Affixes of words. words: (n,) the words that have one, by number; starts, ends: (n,) its bytes in the data."""

    words: Ints1d
    starts: Ints1d
    ends: Ints1d


def affixes_of(words: Strings) -> tuple[Affixes, Affixes]:
    """(beginnings, endings) of words."""
    first_bytes = np.flatnonzero((words.data & 0xC0) != CONTINUED)
    bounds = np.searchsorted(first_bytes, words.offsets)  # characters before each word
    counts = np.diff(bounds)
    long, longer = np.flatnonzero(counts > ENDING), np.flatnonzero(counts > BEGINNING)
    return (
        Affixes(longer, words.offsets[longer], first_bytes[bounds[longer] + BEGINNING]),
        Affixes(long, first_bytes[bounds[long + 1] - ENDING], words.offsets[long + 1]),
    )


def keys_of(words: Strings) -> tuple[tuple[Affixes, Keys], tuple[Affixes, Keys]]:
    """The beginnings and the endings of words with their hashes, which tell the two kinds apart."""
    beginnings, endings = affixes_of(words)
    return (
        (beginnings, mixed(hashes_of(words.data, beginnings.starts, beginnings.ends))),
        (endings, hashes_of(words.data, endings.starts, endings.ends)),
    )


def learn_affixes(words: Strings) -> AffixVocabulary:
    """The AffixVocabulary of distinct words."""
    known: list[str] = []
    for pattern, (affixes, keys) in zip(("{}-", "-{}"), keys_of(words)):
        _, first, counts = np.unique(keys, return_index=True, return_counts=True)
        shared = np.sort(first[counts >= SHARED_BY])
        found = spans_of(words.data, affixes.starts[shared], affixes.ends[shared])
        known += [pattern.format(affix) for affix in to_list(found)]
    return AffixVocabulary(sorted(known))


class AffixTable:
    """Finds the known affixes of words: of few by their texts, of many by their hashes, whose table takes longer."""

    def __init__(self, vocabulary: AffixVocabulary) -> None:
        self.known, self.few_left = vocabulary.known, FEW_WORDS

    @functools.cached_property
    def numbers(self) -> dict[str, int]:
        """{affix: id}."""
        return {affix: number for number, affix in enumerate(self.known)}

    @functools.cached_property
    def table(self) -> HashTable:
        """The hashes of all known affixes."""
        known = strings_from([affix.removesuffix("-") if begins(affix) else affix[1:] for affix in self.known])
        keys = hashes_of(known.data, known.offsets[:-1], known.offsets[1:])
        is_beginning = np.array([begins(affix) for affix in self.known], bool)
        return HashTable(np.where(is_beginning, mixed(keys), keys))

    def of(self, words: Strings) -> tuple[npt.NDArray[np.int32], Ints1d]:
        """(ids (n,) of the known affixes of all words, each word's beginning first, counts of each word)."""
        count = len(words.offsets) - 1
        self.few_left -= count
        ids = np.full((count, 2), -1, np.int32)
        if self.few_left >= 0:
            for number, word in enumerate(to_list(words)):
                ids[number] = self.ids_of(word)
        else:
            for side, (affixes, keys) in enumerate(keys_of(words)):
                ids[affixes.words, side] = self.table.find(keys)
        known = ids >= 0
        return ids[known], known.sum(axis=1)

    def ids_of(self, word: str) -> tuple[int, int]:
        """The ids of the beginning and of the ending of a word, -1 for one that it has not or that is not known."""
        beginning = self.numbers.get(word[:BEGINNING] + "-", -1) if len(word) > BEGINNING else -1
        return beginning, self.numbers.get("-" + word[-ENDING:], -1) if len(word) > ENDING else -1


def begins(affix: str) -> bool:
    """Whether an affix as it is written is the beginning of a word."""
    return len(affix) == BEGINNING + 1
