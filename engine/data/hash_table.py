"""Numbers of 64-bit keys, looked up for whole arrays: words and n-grams are known by hashes of 64 bits.

Two of a million keys drawn at random agree with a probability of 3e-8. Collisions of places are solved by linear
probing, in rounds over the keys that are not settled; at most half of the places are taken, so that few rounds do.
The lowest bits of a key are its place: the highest are not spread where a vocabulary keeps the keys that are smallest.
"""

import functools

import numpy as np
import numpy.typing as npt

from engine.types import Ints1d

Keys = npt.NDArray[np.uint64]

# Steele, Lea and Flood's SplitMix64.
GOLDEN, FIRST_MULTIPLIER, SECOND_MULTIPLIER = (
    np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
FEW_KEYS = 20_000  # looked for without a table
SMALLEST = 10  # binary logarithm of the number of places


def mixed(x: Keys) -> Keys:
    """SplitMix64 of each entry of a uint64 array."""
    x = x + GOLDEN
    x = (x ^ (x >> np.uint64(30))) * FIRST_MULTIPLIER
    x = (x ^ (x >> np.uint64(27))) * SECOND_MULTIPLIER
    x ^= x >> np.uint64(31)
    return x


class AscendingKeys:
    """Numbers from 0 of ascending keys: few are looked for by bisection, many by a table, which takes time to make."""

    def __init__(self, keys: Keys) -> None:
        self.keys, self.few_left = keys, FEW_KEYS

    @functools.cached_property
    def table(self) -> "HashTable":
        return HashTable(self.keys)

    def find(self, keys: Keys) -> npt.NDArray[np.int32]:
        """(n,) int32: the number of each key, -1 for one that is not here."""
        self.few_left -= len(keys)
        if self.few_left < 0 or not len(self.keys):
            return self.table.find(keys)
        places = self.keys[:-1].searchsorted(keys)
        return np.where(self.keys[places] == keys, places, -1).astype(np.int32)


class HashTable:
    """Numbers from 0 of distinct keys, in the order in which they came. Keys: uint64 as mixed() spreads them."""

    def __init__(self, keys: Keys | None = None) -> None:
        self.count = 0
        self.resize(SMALLEST)
        if keys is not None:
            self.insert(keys, np.arange(len(keys), dtype=np.int32))

    def __len__(self) -> int:
        return self.count

    def resize(self, bits: int) -> None:
        """Empty the table and give it 2**bits places."""
        self.mask = (1 << bits) - 1
        self.keys: Keys = np.zeros(1 << bits, np.uint64)
        self.numbers = np.full(1 << bits, -1, np.int32)

    def find(self, keys: Keys) -> npt.NDArray[np.int32]:
        """(n,) int32: the number of each key, -1 for one that is not here."""
        places = (keys & np.uint64(self.mask)).astype(np.int64)
        numbers = self.numbers[places]
        (open_,) = ((self.keys[places] != keys) & (numbers >= 0)).nonzero()
        places = places[open_]
        while len(open_):
            places = (places + 1) & self.mask
            numbers[open_] = self.numbers[places]
            further = (self.keys[places] != keys[open_]) & (numbers[open_] >= 0)
            open_, places = open_[further], places[further]
        return numbers

    def add(self, keys: Keys) -> tuple[npt.NDArray[np.int32], Ints1d]:
        """(numbers (n,) int32 of all keys, (m,) ascending places in `keys` of the first of each key that was new)."""
        numbers = self.find(keys)
        (unknown,) = (numbers < 0).nonzero()
        if not len(unknown):
            return numbers, unknown
        new, first, inverse = np.unique(keys[unknown], return_index=True, return_inverse=True)
        order = np.argsort(first)
        number_of = np.empty(len(new), np.int32)
        number_of[order] = np.arange(self.count, self.count + len(new), dtype=np.int32)
        numbers[unknown] = number_of[inverse]
        self.insert(new, number_of)
        return numbers, unknown[first[order]]

    def insert(self, keys: Keys, numbers: npt.NDArray[np.int32]) -> None:
        """Put in keys that are distinct and not here, with their numbers."""
        self.count += len(keys)
        if 2 * self.count > len(self.numbers):
            taken = self.numbers >= 0
            keys, numbers = np.concatenate([self.keys[taken], keys]), np.concatenate([self.numbers[taken], numbers])
            self.resize(max(SMALLEST, (2 * self.count - 1).bit_length()))
        places = (keys & np.uint64(self.mask)).astype(np.int64)
        while len(keys):
            (free,) = (self.numbers[places] < 0).nonzero()
            self.numbers[places[free]] = numbers[free]  # of several that want one place, the last has it
            self.keys[places[free]] = keys[free]
            left = self.numbers[places] != numbers
            keys, numbers, places = keys[left], numbers[left], (places[left] + 1) & self.mask
