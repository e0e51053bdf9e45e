"""Check one gradient of a value inside a computation, of which only what follows can be run again."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .arrays import Array, Direction, norm, real_vector
from .derivatives import Slope
from .entries import entries
from .locate import wrong_entries
from .point import Point
from .report import Row
from .verdict import Judge


class RecordedGradient(NamedTuple):
    """row: numeric and analytic slope along one direction. entries: numerical derivatives by single entries."""

    row: Row
    entries: list[float]


def check_recorded_gradient(
    f: Callable[[Any], Any],
    weights: Any,
    value: Any,
    gradient: Any,
    *,
    tolerance: float | None = None,
    shown: int = 0,
    locate: bool = False,
    seed: int = 0,
) -> RecordedGradient:
    """Compare a gradient with the slope of weights · f at `value` along a random direction of norm 1.

    f: array of value's shape → float64 array of the shape of weights, pure: all that follows the value but for a last
    step, the loss of f's result; weights: the derivative of that step. A loss near 0 has too few digits for
    differences, the result before it has them all.
    value, gradient: float64 arrays of one shape (0-d too). shown: how many entries, from the first, are differentiated
    by themselves. locate: where the gradient is wrong, name the entry that is furthest off. seed: of the direction.

    Numbers and verdicts are those of check_gradients by five points, but that no backward can be run again to excuse
    its rounding.
    """
    value = np.asarray(value)
    with np.errstate(all="ignore"):  # what matters is seen in the numbers
        judge = RecordedJudge(f, np.ravel(weights), value, np.asarray(gradient), tolerance, seed)
        u = judge.direction(0)
        row = judge.row("value", "five_point", u)
        found = entries(judge, 0, "five_point", range(min(shown, value.size)))
        if row.verdict == "FAIL" and (locate or row.kinked):
            entry = wrong_entries(judge, 0, "five_point", u)
            row = replace(row, entry=entry if locate else "") if entry else judge.excused(row)
    return RecordedGradient(row, [entry.numeric for entry in found])


class RecordedJudge(Judge):
    """A Judge whose backward returns the recorded gradient, whatever the cotangent."""

    def __init__(
        self, f: Callable[[Any], Any], weights: Array, value: Array, gradient: Array, tolerance: float | None, seed: int
    ) -> None:
        point = Point(lambda x: (np.asarray(f(x)), None), (value,))
        super().__init__(point, lambda dy, cache: gradient, None, tolerance, "report", seed)
        self.tree, self.cache = point.evaluate()
        self.y = real_vector([self.tree])
        self.dy = self.dy_tree = weights
        self.gradients = [gradient]

    def is_wrong_at_kink(self, u: Direction, analytic: float, error: float, slope: Slope) -> bool:
        """Tell whether an error is gross: kinks of one entry, mixed by layers behind it, cancel in what is seen."""
        return error > 40.0 * slope.kink_size

    def unit(self, u: Direction) -> float:
        """Return the length of u."""
        return norm(real_vector(u)) or 1.0
