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

from engine.arrays.ragged import lengths, spread
from engine.types import Ints1d, Offsets

# A gram is identified by a hash of 64 bits, in which two of a million agree with a probability of 3e-8: Steele, Lea and
# Flood's SplitMix64.
GOLDEN, FIRST_MULTIPLIER, SECOND_MULTIPLIER = (
    np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


class NGramVocabulary(NamedTuple):
    """Known n-grams up to length N = longest by their hashes, (K,) uint64, ascending.

    The gram of hashes[i] has the id i behind those of the tokenizer.
    """

    hashes: Ints1d
    longest: int


def learn_ngrams(ids: Ints1d, offsets: Offsets, longest: int, frequency: int, most: int) -> NGramVocabulary:
    """The NGramVocabulary of training texts. ids: (T,), offsets: (B + 1,); longest: N ≥ 2, frequency: F ≥ 1, most: M.

    Of equally frequent grams the lower hash stays.
    """
    hashes = np.concatenate([hashes for _, hashes in grams_of(ids, offsets, longest)])
    hashes, counts = np.unique(hashes, return_counts=True)
    known = counts >= frequency
    hashes, counts = hashes[known], counts[known]
    return NGramVocabulary(np.sort(hashes[np.argsort(-counts, kind="stable")[:most]]), longest)


def add_ngrams(ids: Ints1d, offsets: Offsets, tokens: int, vocabulary: NGramVocabulary) -> tuple[Ints1d, Offsets]:
    """Each text followed by its known grams, the shorter ones first: (ids int32, offsets int64).

    ids: (T,) below `tokens`, offsets: (B + 1,); every text begins with [CLS]. Grams have the ids from `tokens` on.
    """
    counts = lengths(offsets)
    texts = spread(np.arange(len(counts)), offsets)
    parts, per_text = [ids], [counts]
    for starts, hashes in grams_of(ids, offsets, vocabulary.longest):
        places, known = places_in(vocabulary.hashes, hashes)
        parts.append(tokens + places[known])
        per_text.append(np.bincount(texts[starts[known]], minlength=len(counts)))
    return side_by_side(parts, np.array(per_text))


def grams_of(ids: Ints1d, offsets: Offsets, longest: int) -> Iterator[tuple[Ints1d, Ints1d]]:
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


def mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64 of each entry of a uint64 array."""
    x = x + GOLDEN
    x = (x ^ (x >> np.uint64(30))) * FIRST_MULTIPLIER
    x = (x ^ (x >> np.uint64(27))) * SECOND_MULTIPLIER
    x ^= x >> np.uint64(31)
    return x


def places_in(known: Ints1d, hashes: Ints1d) -> tuple[Ints1d, npt.NDArray[np.bool_]]:
    """For each hash its place among the ascending known ones, and whether it is there at all."""
    places = np.searchsorted(known, hashes)
    found = np.zeros(len(hashes), bool)
    inside = places < len(known)
    found[inside] = known[places[inside]] == hashes[inside]
    return places, found


def side_by_side(parts: list[Ints1d], counts: npt.NDArray[np.integer[Any]]) -> tuple[Ints1d, Offsets]:
    """Interleave flat arrays by text: one array that holds, text by text, the entries of each part, and its offsets.

    counts: (parts, B), the number of entries of each part in each text.
    """
    offsets = np.concatenate([[0], np.cumsum(counts.sum(axis=0))]).astype(np.int64)
    starts = offsets[:-1] + np.cumsum(counts, axis=0) - counts  # of each part's share of each text
    together = np.empty(offsets[-1], np.int32)
    for part, count, start in zip(parts, counts, starts):
        together[np.arange(len(part)) + np.repeat(start - (np.cumsum(count) - count), count)] = part
    return together, offsets
