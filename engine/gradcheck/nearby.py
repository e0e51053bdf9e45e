"""What a function and its gradient do beside a point that lies on kinks.

Where several kinks meet in one entry their slopes cancel, and what is seen of them bounds nothing. Beside them there is
no kink: the gradient is right or wrong there, and it takes the values among which those at the point lie.
"""

from typing import Any

import numpy as np

from .arrays import Array, Direction, random_generator, tree_vector

Judge = Any  # of verdict.py, which imports this

PLACES = 16  # beside the point
DISTANCE = 1e-3  # of the scale of each entry
WITHIN = 0.95  # of the range of the values beside it: how far from its middle the gradient at the point may be


class Neighbour:
    """One place beside the point of a Judge: its y, and the gradients there for the same cotangent."""

    def __init__(self, judge: Judge, seed: int) -> None:
        rng = random_generator(judge.seed, 5, seed)
        self.point = judge.point.displaced([DISTANCE * draw(scale.shape, rng) * scale for scale in judge.point.scales])
        self.tree, cache = self.point.evaluate()
        self.y = tree_vector(self.tree)
        self.gradients = judge.gradients_at(self.point, cache)


def draw(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw numbers of either sign between 0.1 and 1 in size."""
    return rng.uniform(0.1, 1.0, shape) * (2.0 * rng.integers(0, 2, shape) - 1.0)


def is_wrong_nearby(judge: Judge, u: Direction, analytic: float) -> bool:
    """Tell whether a gradient that is further off than the kinks seen along u allow is a wrong one.

    It is where the gradient is wrong beside the point, or has at the point a value that none beside it comes near.
    """
    judge.neighbours = judge.neighbours or [Neighbour(judge, seed) for seed in range(PLACES)]
    first = judge.neighbours[0]
    if any(g is None for g in first.gradients) or first.y.shape != judge.y.shape:
        return True
    if judge.fails_at(first.point, first.tree, first.y, first.gradients, u):
        return True
    beside = [judge.inner_product(u, neighbour.gradients) for neighbour in judge.neighbours]
    lowest, highest = min(beside), max(beside)
    return bool(abs(analytic - 0.5 * (lowest + highest)) > WITHIN * (highest - lowest))
