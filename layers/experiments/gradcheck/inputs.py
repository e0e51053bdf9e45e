"""Random inputs of gradient checks: ragged texts, rows, waves and bags, away from kinks."""

import numpy as np
from numpy.random import Generator

from engine.arrays.bag import Bag, merge_repeats
from engine.arrays.ragged import offsets_from
from engine.types import Floats2d, Offsets
from layers import wave


def random_offsets(rng: Generator, texts: int = 4, longest: int = 6) -> Offsets:
    """Draw offsets of texts with 0 … longest tokens, at least one of them of one token and one of several."""
    lengths = rng.permutation(
        np.concatenate([[1, 2 + rng.integers(longest - 1)], rng.integers(0, longest + 1, texts - 2)])
    )
    return offsets_from(lengths)


def random_rows(rng: Generator, rows: int, columns: int = 3) -> Floats2d:
    """Draw (rows, columns) numbers of size 0.1 … 3 and either sign: never near the kinks at 0, and never two alike."""
    return rng.choice([-1.0, 1.0], (rows, columns)) * rng.uniform(0.1, 3.0, (rows, columns))


def random_wave(rng: Generator, rows: int, columns: int = 3) -> wave.Wave:
    """Draw a Wave whose parts are random_rows."""
    return wave.Wave(random_rows(rng, rows, columns), random_rows(rng, rows, columns))


def random_bag(rng: Generator, rows: int = 4) -> Bag:
    """Draw a bag of random texts over `rows` rows, some of which no text may have.

    Repeats are merged into counts, or each token stands by itself.
    """
    offsets = random_offsets(rng)
    row_index = rng.integers(0, rows, offsets[-1])
    longest = offsets[np.argmax(offsets[1:] - offsets[:-1])]
    two = rng.choice(rows, 2, replace=False)  # else a·|b| + |a|·b may be 0 in all texts: nothing to check
    row_index[longest : longest + 2] = two
    bag = Bag(row_index, None, offsets)
    return merge_repeats(bag, rows) if rng.random() < 0.7 else bag
