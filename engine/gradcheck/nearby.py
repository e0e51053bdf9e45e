"""Check a gradient beside a point that lies on kinks.

Where several kinks meet in one entry their slopes cancel, and what is seen of them bounds nothing. Beside them there is
no kink: the gradient is right or wrong there, and it takes the values among which those at the point lie.
"""

import math
from typing import Any

from .arrays import Direction, tree_vector

Judge = Any  # of verdict.py, which imports this

PLACES = 16  # beside the point
FIRST_STREAM = 1_000_000  # of random numbers: beyond those of the rows
DISTANCE = 1e-3  # of the scale of each entry
WITHIN = 0.95  # of the range of the values beside it: how far from its middle the gradient at the point may be


class Neighbour:
    """One place beside the point of a Judge: its y, and the gradients there for the same cotangent."""

    def __init__(self, judge: Judge, number: int) -> None:
        (u,) = judge.point.random_directions(judge.seed, FIRST_STREAM + number, 1)
        distance = DISTANCE * math.sqrt(judge.point.size)  # directions have norm 1 over all entries
        self.point = judge.point.displaced([distance * part for part in u])
        self.tree, cache = self.point.evaluate()
        self.y = tree_vector(self.tree)
        self.gradients = judge.gradients_at(self.point, cache)


def is_wrong_nearby(judge: Judge, u: Direction, analytic: float) -> bool:
    """Tell whether a gradient that is further off than the kinks seen along u allow is a wrong one.

    It is where the gradient is wrong beside the point, or has at the point a value that none beside it comes near.
    """
    judge.neighbours = judge.neighbours or [Neighbour(judge, number) for number in range(PLACES)]
    first = judge.neighbours[0]
    if any(g is None for g in first.gradients) or first.y.shape != judge.y.shape:
        return True
    if judge.fails_at(first.point, first.tree, first.y, first.gradients, u):
        return True
    beside = [judge.inner_product(u, neighbour.gradients) for neighbour in judge.neighbours]
    lowest, highest = min(beside), max(beside)
    return bool(abs(analytic - 0.5 * (lowest + highest)) > WITHIN * (highest - lowest))
