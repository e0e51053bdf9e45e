"""Strings as spans of bytes, numbered without a Python object for each: words of texts, and what they consist of.

Strings are told apart by hashes of 64 bits, h = Σ (bᵢ + 1)·pⁱ mod 2⁶⁴ over their bytes, mixed (see hash_table.py).
Those of many spans come from one running sum: S(e) − S(s) = pˢ·h for the span from byte s to byte e, and p, which is
odd, has an inverse.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.data.growing import GrowingArray, gathered
from engine.data.hash_table import GOLDEN, HashTable, Keys, mixed
from engine.types import Ints1d, Offsets

SPACE = ord(" ")
STRETCH = 1 << 15  # bytes of a running sum: all of its arrays stay in a core's cache
INVERSE = np.uint64(pow(int(GOLDEN), -1, 1 << 64))

Bytes = npt.NDArray[np.uint8]


class Strings(NamedTuple):
    """Consecutive strings as UTF-8. data: (n,) uint8, one string after the other; offsets: (B + 1,) of bytes."""

    data: Bytes
    offsets: Offsets


def strings_from(texts: Iterable[str]) -> Strings:
    """Strings of Python's; a lone surrogate, which is no character, becomes "?"."""
    return strings_of([text.encode("utf-8", "replace") for text in texts])


def strings_of(encoded: Sequence[bytes]) -> Strings:
    """Strings of bytes that are UTF-8."""
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum(list(map(len, encoded)), out=offsets[1:])
    return Strings(np.frombuffer(b"".join(encoded), np.uint8), offsets)


def to_list(strings: Strings) -> list[str]:
    """Strings as Python has them."""
    data, bounds = strings.data.tobytes(), strings.offsets.tolist()
    if data.isascii():
        characters = data.decode("ascii")
        return [characters[start:end] for start, end in zip(bounds, bounds[1:])]
    return [data[start:end].decode("utf-8") for start, end in zip(bounds, bounds[1:])]


def spans_of(data: Bytes, starts: Ints1d, ends: Ints1d) -> Strings:
    """The Strings from starts[i] to ends[i] of some bytes."""
    offsets, places = gathered(starts, ends - starts)
    return Strings(data[places], offsets)


def word_bounds(texts: Strings) -> tuple[Ints1d, Ints1d, Offsets]:
    """(starts (W,), ends (W,) of words in the data, offsets (B + 1,) of words).

    What stands between two spaces is a word, an empty one too: a text of k spaces has k + 1, and they, joined by
    spaces, are the text.
    """
    spaces = np.flatnonzero(texts.data == SPACE)
    offsets = np.searchsorted(spaces, texts.offsets) + np.arange(len(texts.offsets))
    starts, ends = (np.empty(offsets[-1], np.int64) for _ in range(2))
    first, last = offsets[:-1], offsets[1:] - 1
    inner = np.ones(offsets[-1], bool)
    inner[first] = False
    starts[inner], starts[first] = spaces + 1, texts.offsets[:-1]
    inner[first], inner[last] = True, False
    ends[inner], ends[last] = spaces, texts.offsets[1:]
    return starts, ends, offsets


def hashes_of(data: Bytes, starts: Ints1d, ends: Ints1d) -> Keys:
    """(W,) uint64: the hash of each span, from byte starts[i] to ends[i]; both ascend."""
    hashes = np.empty(len(starts), np.uint64)
    powers, inverses = POWERS
    first = 0
    while first < len(starts):
        begin = int(starts[first])
        stop = max(first + 1, int(ends.searchsorted(begin + STRETCH, side="right")))
        length = int(ends[stop - 1]) - begin
        if length >= len(powers):  # one span alone
            powers, inverses = powers_of(GOLDEN, length), powers_of(INVERSE, length)
        sums = np.zeros(length + 1, np.uint64)
        # + 1: a zero byte counts too, so that strings of zeros differ by their lengths.
        terms = (data[begin : begin + length].astype(np.uint64) + np.uint64(1)) * powers[:length]
        terms.cumsum(out=sums[1:])
        within = starts[first:stop] - begin
        hashes[first:stop] = (sums[ends[first:stop] - begin] - sums[within]) * inverses[within]
        first = stop
    return mixed(hashes)


def hash_table_of(strings: Sequence[str]) -> HashTable:
    """The HashTable of distinct strings, which have their places as numbers."""
    known = strings_from(strings)
    return HashTable(hashes_of(known.data, known.offsets[:-1], known.offsets[1:]))


def powers_of(base: np.uint64, most: int) -> Keys:
    """(most + 1,) uint64: the powers of a number modulo 2⁶⁴, from the 0th on."""
    powers = np.full(most + 1, base, np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


POWERS = powers_of(GOLDEN, STRETCH), powers_of(INVERSE, STRETCH)


class DistinctStrings:
    """Distinct strings, numbered from 0 as they come."""

    def __init__(self) -> None:
        self.table = HashTable()
        self.data, self.offsets = GrowingArray(np.uint8), GrowingArray(np.int64, [0])

    def __len__(self) -> int:
        return len(self.table)

    def number(self, data: Bytes, starts: Ints1d, ends: Ints1d) -> npt.NDArray[np.int32]:
        """(W,) int32: the numbers of spans of some bytes, both bounds ascending. New strings are added."""
        numbers, new = self.table.add(hashes_of(data, starts, ends))
        if len(new):
            added = spans_of(data, starts[new], ends[new])
            self.offsets.append(len(self.data) + added.offsets[1:])
            self.data.append(added.data)
        return numbers

    def strings(self, first: int = 0) -> Strings:
        """The Strings from a number on."""
        begin = self.offsets.array()[first]
        return Strings(self.data.array()[begin:], self.offsets.array()[first:] - begin)
