"""Generated corpora of any size, for measuring growth: labelled rows of about 20 words, written in a stream.

Words come as often as in natural text: the word of rank r with a probability ∝ 1/r up to rank 8,000 and ∝ r^−1.7 from
there on without end, so that the vocabulary keeps growing, with about the power 1/1.7 of the words read, as was found
for large collections (M. Gerlach and E. Altmann 2013). A word is made of syllables, its rank in base 100.

The label is one of 8 classes. What tells it: words of a class, which no other has, in a tenth of the places of less
frequent words; and in half of the rows a pair of neighbouring marks, two of 16 words that are as frequent in all
classes: both together tell the class, neither alone does. About a fifth of the rows have neither.

Rows are drawn in blocks, each from a stream of its own: equal seeds give equal bytes, and a corpus begins with the rows
of every smaller one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.arrays.backend import random_generator
from engine.types import Ints1d

BLOCK = 20_000  # rows drawn at once
CLASSES = 8
WORDS = 20  # of a row, the mean; at least SHORTEST
SHORTEST = 5
BREAK, EXPONENT = 8_000, 1.7  # of the frequencies of words
RANKS = 100**5  # words of at most five syllables
MARKS, FIRST_MARK = 16, 64  # ranks from 0
FIRST_TOPIC = 128  # from there on, a rank with a remainder k < CLASSES by 2·CLASSES is a word of class k alone
TOPIC_SHARE, PAIR_SHARE = 0.1, 0.5
SYLLABLES = np.array([f"{first}{second}" for first in "bcdfghjklmnprstvwxyz" for second in "aeiou"], "S2")
LONGEST = 5  # syllables
SPLITS = ("train", "test")


class Rows(NamedTuple):
    """Rows of words. ranks: (N,) of all words, from 0; lengths: (B,) words of each row; labels: (B,) class numbers."""

    ranks: Ints1d
    lengths: Ints1d
    labels: Ints1d


def draw_ranks(rng: np.random.Generator, count: int) -> Ints1d:
    """(count,) ranks of words, from 0, drawn one by one."""
    cumulative = np.cumsum(1 / np.arange(1, BREAK + 1))
    tail = 1 / (EXPONENT - 1)  # the integral of (r/BREAK)^−EXPONENT / BREAK from BREAK on
    place = rng.random(count) * (cumulative[-1] + tail)
    ranks = np.searchsorted(cumulative, place, side="right")
    rare = np.flatnonzero(ranks >= BREAK)
    left = 1 - (place[rare] - cumulative[-1]) / tail  # uniform in (0, 1]
    ranks[rare] = np.minimum(BREAK * left ** (-1 / (EXPONENT - 1)), RANKS - 2 * CLASSES - 1)
    return ranks


def draw_rows(seed: int, split: str, block: int) -> Rows:
    """The BLOCK Rows of a block of a split, one of SPLITS."""
    rng = random_generator(seed, SPLITS.index(split), block)
    labels = rng.integers(0, CLASSES, BLOCK)
    lengths = np.maximum(rng.poisson(WORDS, BLOCK), SHORTEST)
    ranks = draw_ranks(rng, int(lengths.sum()))
    rare = np.flatnonzero(ranks >= FIRST_TOPIC)
    remainders = ranks[rare] % (2 * CLASSES)
    wanted = np.where(remainders < CLASSES, remainders + CLASSES, remainders)  # a word of no class
    wanted = np.where(rng.random(len(rare)) < TOPIC_SHARE, np.repeat(labels, lengths)[rare], wanted)
    ranks[rare] += (wanted - remainders) % (2 * CLASSES)
    paired = np.flatnonzero(rng.random(BLOCK) < PAIR_SHARE)
    first = (np.cumsum(lengths) - lengths)[paired] + rng.integers(0, lengths[paired] - 1)
    mark = rng.integers(0, MARKS, len(paired))
    other = (labels[paired] - mark) % CLASSES + CLASSES * rng.integers(0, MARKS // CLASSES, len(paired))
    ranks[first], ranks[first + 1] = FIRST_MARK + mark, FIRST_MARK + other
    return Rows(ranks, lengths, labels)


def blocks_of(rows: int, seed: int, split: str) -> Iterator[Rows]:
    """The blocks of a corpus of so many rows; the last may hold fewer."""
    for block, start in enumerate(range(0, rows, BLOCK)):
        ranks, lengths, labels = draw_rows(seed, split, block)
        count = min(BLOCK, rows - start)
        yield Rows(ranks[: lengths[:count].sum()], lengths[:count], labels[:count])


def lines_of(rows: Rows, before_label: bytes) -> bytes:
    """A line for each row: its words, what comes before the label, the number of the class."""
    ends = np.full((len(rows.ranks), len(before_label) + 2), 0, np.uint8)  # behind a word; 0 for nothing
    ends[:, 0] = ord(" ")
    last = np.cumsum(rows.lengths) - 1
    ends[last, :-2] = np.frombuffer(before_label, np.uint8)
    ends[last, -2], ends[last, -1] = ord("0") + rows.labels, ord("\n")
    letters = np.zeros((len(rows.ranks), LONGEST), "S2")
    number = rows.ranks
    for place in range(LONGEST - 1, -1, -1):
        letters[:, place] = SYLLABLES[number % 100]
        if place < LONGEST - 1:
            letters[:, place][number == 0] = b""
        number = number // 100
    table = np.hstack([letters.view(np.uint8).reshape(len(letters), 2 * LONGEST), ends])
    return table[table != 0].tobytes()


def write_corpus(path: Path, rows: int, split: str, seed: int = 0) -> None:
    """Write a corpus as CSV with the header text,label or, with the ending .txt, in fastText's form."""
    is_csv = path.suffix == ".csv"
    with open(path, "wb") as file:
        file.write(b"text,label\n" if is_csv else b"")
        for block in blocks_of(rows, seed, split):
            file.write(lines_of(block, b"," if is_csv else b" __label__"))
