"""Random inputs of exercises: small, ragged, away from kinks, and of another size in each example."""

import numpy as np

from engine.gradcheck.arrays import random_generator
from engine.types import Array, Floats2d, Offsets
from layers.experiments.gradcheck.inputs import random_offsets, random_rows


class Random:
    """The random numbers of one example. stream: 0 of its inputs, 1 and more of its cotangents."""

    def __init__(self, example: int, stream: int = 0) -> None:
        self.rng = random_generator(example, stream)
        self.spread = 3 if example else 1

    def size(self, least: int) -> int:
        """Draw a number from `least` to `least` + 2; in the first example, which is the smallest, `least`."""
        return int(self.rng.integers(least, least + self.spread))

    def like(self, y: Array) -> Array:
        """Draw an array of the shape and kind of y, of numbers of size 0.1 … 3 and either sign."""
        if np.iscomplexobj(y):
            return self.like(y.real) + 1j * self.like(y.imag)
        return random_rows(self.rng, 1, np.size(y)).reshape(np.shape(y))

    def integers(self, low: int, high: int, shape: int | tuple[int, ...]) -> Array:
        """Draw integers in [low, high)."""
        return self.rng.integers(low, high, shape)

    def rows(self, rows: int, columns: int) -> Floats2d:
        """Draw (rows, columns) numbers of size 0.1 … 3 and either sign."""
        return random_rows(self.rng, rows, columns)

    def wave(self, rows: int, columns: int) -> Array:
        """Draw complex (rows, columns) numbers whose parts are rows()."""
        return self.rows(rows, columns) + 1j * self.rows(rows, columns)

    def offsets(self) -> Offsets:
        """Draw the offsets of texts, of which one has a token, one several and one none."""
        offsets = random_offsets(self.rng, texts=self.size(2), longest=self.size(2))
        empty = self.rng.integers(len(offsets))
        return np.insert(offsets, empty, offsets[empty])


def batch_sizes(offsets: Offsets) -> dict[str, float]:
    """Return the named sizes of a batch of texts."""
    return {"T, the number of tokens of all texts": int(offsets[-1]), "B, the number of texts": len(offsets) - 1}
