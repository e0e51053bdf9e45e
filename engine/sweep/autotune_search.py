"""A search by successive halving: rounds in which many points are trained a little and the best of them in full.

The start is trained in full on two splits, and so are points that are given to be tried first: the best of these is the
centre of what follows. A round of n points around it trains all of them on 1/n of a full training, the best third of
them on three times as much, and so on. The point that is left is trained in full on both splits: if it is better than
the centre by a margin, it is the centre of the next round. Which trainings these are depends on their results alone,
not on the time they take.
"""

from collections.abc import Callable, Sequence
from statistics import mean
from typing import NamedTuple

from engine.sweep.autotune_space import Point, Space

WIDTHS = (9, 3)  # points of a round, powers of THIRD; the smaller ones only at the end
ONE_TRAINING = 1  # the width of a round that is a full training of a point to be tried first, on one split
THIRD = 3
SPLITS = 2  # of a full training: seeds, each with a validation split of its own where one is split off
START_TRIALS = SPLITS


class Trial(NamedTuple):
    """A training of a point: `share` of a full training, on the split of this number."""

    point: Point
    share: float
    split: int


class Best(NamedTuple):
    """A point that was trained in full. scores: one of each split, or of the first one where there was no more time."""

    point: Point
    scores: list[float]


class OutOfTime(Exception):
    """Raised by the function that trains when the time is up."""


def trials_of(width: int) -> int:
    """The number of trainings of a round of so many points: width + width/3 + … + 3, and those of the last point."""
    if width == ONE_TRAINING:
        return 1
    return sum(width // THIRD**rung for rung in range(width) if THIRD**rung < width) + SPLITS


def width_within(trials: int, last: int) -> int:
    """The width of the next round where so many trainings are left, 0 for none. last: width of the round before it."""
    return next((width for width in widths_after(last) if trials_of(width) <= trials), 0)


def widths_after(last: int) -> tuple[int, ...]:
    """The widths, largest first, that a round may have after one of so many points."""
    return (ONE_TRAINING,) if last == ONE_TRAINING else tuple(width for width in WIDTHS if width <= last)


def search(
    space: Space,
    train: Callable[[list[Trial]], Sequence[float]],
    width: Callable[[int, Point], int],
    margin: Callable[[Best], float],
) -> Best:
    """Search until width() is 0, the space is used up or the time is over; returns the best point trained in full.

    Where first points cannot be trained on all splits, nothing else is trained.

    train: returns the score of each Trial, minus infinity for one that failed; may raise OutOfTime.
    width(last, centre): the width of the next round after one of `last` points, 0 where there is no time for it;
    width(ONE_TRAINING, point): ONE_TRAINING or 0.
    margin(best): by how much the mean of a point must exceed that of the best so far to take its place; first points
    need none.
    """
    best = Best({}, [0.0] * SPLITS)
    last = WIDTHS[0]
    try:
        best = in_full(best.point, train)
        for point in space.first_points():
            challenger = tried_first(point, train, width)
            best = better(best, challenger)
            # Smaller rounds might fit, but a repetition by --trials could not know it.
            if len(challenger.scores) < SPLITS:
                return best
        while last := width(last, best.point):
            points = space.points(last, best.point)
            if not points:
                break
            best = better(best, in_full(halved(points, train), train), margin(best))
    except OutOfTime:
        pass
    return best


def better(best: Best, challenger: Best, margin: float = 0.0) -> Best:
    """The challenger where its mean exceeds that of the best, on the splits that both have, by more than the margin."""
    splits = min(len(best.scores), len(challenger.scores))
    ahead = splits and mean(challenger.scores[:splits]) > mean(best.scores[:splits]) + margin
    return challenger if ahead else best


def tried_first(
    point: Point, train: Callable[[list[Trial]], Sequence[float]], width: Callable[[int, Point], int]
) -> Best:
    """Train a point in full, split by split while there is time: what was trained counts."""
    scores: list[float] = []
    try:
        while len(scores) < SPLITS and width(ONE_TRAINING, point):
            scores += train([Trial(point, 1.0, len(scores))])
    except OutOfTime:
        pass
    return Best(point, scores)


def halved(points: list[Point], train: Callable[[list[Trial]], Sequence[float]]) -> Point:
    """The point that is left of some: third by third, those with the best scores; of equal ones the earlier."""
    while len(points) > 1:
        scores = train([Trial(point, 1 / len(points), 0) for point in points])
        order = sorted(range(len(points)), key=lambda place: (-scores[place], place))
        points = [points[place] for place in order[: -(-len(points) // THIRD)]]
    return points[0]


def in_full(point: Point, train: Callable[[list[Trial]], Sequence[float]]) -> Best:
    """Train a point in full on every split."""
    return Best(point, list(train([Trial(point, 1.0, split) for split in range(SPLITS)])))
