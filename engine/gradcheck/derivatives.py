"""J·u, the slope of a function along a direction, from its forward alone, with an error estimate.

f(t) stands for f(x + t·u).

Complex step:  J·u = Im f(i·h)/h. No difference is taken, so h may be tiny and the result is exact to rounding;
               f must be analytic, in its code as well (abs, conj, hypot, arctan2, norm are not).
Five-point:    J·u ≈ (f(−2h) − 8·f(−h) + 8·f(h) − f(2h)) / (12h). Truncation O(h⁴).
               The fourth difference f(−2h) − 4·f(−h) + 6·f(0) − 4·f(h) + f(2h), divided by h, tells what it is
               worth: smooth and resolved O(h³); rounding noise O(1/h); a kink O(1), whatever the step; a jump
               O(1/h), but large. It is blind to a jump that is odd about the point (sign at 0): there the three-point
               slope differs.
"""

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .arrays import Direction, Tree, Vector, leaves, norm, real_vector, to_host_array, tree_vector
from .point import Point
from .precision import DOUBLE, Precision

TOLERANCES = DOUBLE.tolerances
METHODS = tuple(TOLERANCES)
LEVELS_OFF = 20.0  # a wider step whose fourth difference exceeds those before by this factor has left the neighbourhood
MOVED = 10.0  # times its noise that a result moves at a wider step that is to be believed
SMALL_MOVE = 1e-2  # of a result: a larger one, at a larger step, is no staircase of rounding but a bend
FINEST = 2.0**-38  # a step of a few thousand roundings of the inputs, for functions that turn within 1e-8 of them
# By how much five-point and three-point slope may differ; more shows what the fourth difference cannot see.
ODD_RELATIVE = 1e-3


class NotAnalytic(ValueError):
    """Complex-step differentiation cannot be used; the text says why.

    A ValueError, lest who handles it must know by which name this package was imported.
    """


class Slope(NamedTuple):
    """J·u as real numbers (vector), and what it is worth.

    uncertainty: estimated error of ⟨dy, vector⟩. spread: the same for the norm of vector. noise: what of the
    uncertainty comes from the values, before it is divided by the step.
    kinked: the function has a kink or a jump here. kink_size: bound of what the kink may change in ⟨dy, vector⟩.
    level: magnitude of the numbers whose differences were taken, weighted by dy. bends, levels: what kink_size and
    level are made of, for each entry of vector; None where no kink can be told. moves: how far each entry moved.
    direction: u as the inputs truly moved, where their type let them move along no other; None for that asked for.
    hidden: nothing moved, though it did, by little, at a larger step.
    """

    vector: Vector
    step: float
    uncertainty: float = 0.0
    spread: float = 0.0
    noise: float = 0.0
    kinked: bool = False
    kink_size: float = 0.0
    level: float = 0.0
    bends: Vector | None = None
    levels: Vector | None = None
    moves: Vector | None = None
    direction: Direction | None = None
    hidden: bool = False

    def for_cotangent(self, dy: Vector, precision: Precision) -> "Slope":
        """Return the Slope for another dy: a kink is one only where these outputs have it."""
        if not self.kinked or self.bends is None or self.levels is None:
            return self
        size, level = float(np.abs(dy) @ self.bends), norm(dy * self.levels)
        kinked = 4.0 * size * self.step > precision.kink * precision.epsilon * level
        return self._replace(kinked=kinked, kink_size=size, level=level)


def complex_step(point: Point, direction: Direction, y: Tree, step: float = DOUBLE.steps["complex_step"]) -> Slope:
    """Differentiate by one imaginary step. y: forward's result at the point, whose leaves all are real.

    Raises NotAnalytic where the imaginary part was refused, dropped or is not finite.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            moved, _ = point.evaluate(direction, 1j * step)
        except Exception as error:  # what a function raises on a dtype that it does not expect is its own affair
            text = (str(error).splitlines() or [""])[0]
            raise NotAnalytic(f"forward raised {type(error).__name__} on complex numbers ({text})") from error
    before, after = leaves(y, "output"), leaves(moved, "output")
    if len(before) != len(after):
        raise NotAnalytic(f"forward returned {len(after)} arrays on complex numbers and {len(before)} on real ones")
    parts = []
    for (name, real), (_, part) in zip(before, after):
        real, part = to_host_array(real), to_host_array(part)
        if part.shape != real.shape:
            raise NotAnalytic(f"{name} has shape {part.shape} on complex numbers and {real.shape} on real ones")
        if part.dtype.kind != "c" and part.size:
            raise NotAnalytic(f"{name} is {part.dtype} on complex numbers: its imaginary part was dropped")
        if not np.all(np.isfinite(part)):
            raise NotAnalytic(f"{name} is NaN or infinite on complex numbers")
        parts.append(part.imag)
    return Slope(real_vector(parts) / step, step)


class Line:
    """A function along a direction from a point, f(t), and what it is to be measured with.

    y: f(0) as a real vector; dy: cotangent. tracked: the inputs cannot move exactly along the direction, so that each
    f(t) carries along how they did move, and a slope its direction.
    """

    def __init__(
        self, point: Point, direction: Direction, y: Vector, dy: Vector, precision: Precision, tracked: bool = False
    ) -> None:
        self.point, self.direction, self.precision = point, direction, precision
        self.tracked, self.size = tracked or not point.exact, y.size
        rest = np.zeros(point.size if self.tracked else 0)
        self.y, self.dy = np.concatenate([y, rest]), np.concatenate([dy, rest])

    def at(self, t: float) -> Vector:
        """Return f(t), followed by the displacement of the inputs where it is tracked."""
        values = tree_vector(self.point.evaluate(self.direction, t)[0])
        return np.concatenate([values, self.point.displacement(self.direction, t)]) if self.tracked else values

    def size_of(self, slope: Slope) -> float:
        """Return ‖dy‖·‖J·u‖, against which errors are held."""
        return norm(self.dy) * norm(slope.vector[: self.size])

    def ended(self, slope: Slope) -> Slope:
        """Return a Slope of the values alone, with the direction along which they moved."""
        if not self.tracked:
            return slope
        bends, levels, moves = (
            None if array is None else array[: self.size] for array in (slope.bends, slope.levels, slope.moves)
        )
        u = self.point.split(slope.vector[self.size :])
        return slope._replace(vector=slope.vector[: self.size], bends=bends, levels=levels, moves=moves, direction=u)

    def stencil(self, h: float, tolerance: float = 0.0) -> Slope:
        """Return the Slope by five points (the middle one is y).

        Without what tells of kinks where its estimated error is well below the tolerance.
        """
        left2, left, right, right2 = (self.at(k * h) for k in (-2, -1, 1, 2))
        y, dy, rounding = self.y, self.dy, self.precision.rounding * self.precision.epsilon
        with np.errstate(all="ignore"):
            vector = ((left2 - right2) + 8.0 * (right - left)) / (12.0 * h)
            fourth = (left2 - 4.0 * left) + 6.0 * y + (right2 - 4.0 * right)
            odd = vector - (right - left) / (2.0 * h)
            if norm(dy * odd) <= ODD_RELATIVE * norm(dy * vector):
                odd = np.zeros_like(odd)  # what any smooth function has: h²·f‴/6
            levels = np.maximum(np.abs(y), np.maximum(np.abs(left2), np.abs(right2)))
            level = norm(dy * levels)
            # The inputs are rounded as well where they have moved.
            moved = 0.0 if self.tracked else self.precision.epsilon * math.sqrt(self.point.size)
            noise = norm(dy * fourth) + h * norm(dy * odd) + rounding * level + moved * norm(dy * vector)
            slope = Slope(
                vector,
                h,
                uncertainty=noise / h,
                spread=norm(odd) + (norm(fourth) + rounding * norm(levels) + moved * norm(vector)) / h,
                noise=noise,
                level=level,
            )
            if slope.uncertainty <= 0.25 * tolerance * self.size_of(slope):
                return slope
            # A kink of size s in slope has a fourth difference of 2·h·s; of it alone no subgradient is off by over s/2.
            bends = np.abs(fourth) / (4.0 * h) + 8.0 * np.abs(odd)
            return slope._replace(
                kink_size=float(np.abs(dy) @ bends),
                bends=bends,
                levels=levels,
                moves=np.maximum(
                    np.maximum(np.abs(left2 - y), np.abs(right2 - y)), np.maximum(np.abs(left - y), np.abs(right - y))
                ),
            )


def five_point(line: Line, tolerance: float, step: float | None = None) -> Slope:
    """Take the first step whose estimated error is well below the tolerance, otherwise the best step tried.

    First the step of the precision or the given one; then smaller ones, which help near a kink; then, where the caller
    gave no step, larger ones, which help against rounding; at last the finest, where nothing else is resolved.
    """
    first = line.precision.steps["five_point"] if step is None else step
    tried: list[Slope] = []

    def good(h: float) -> bool:
        try:
            tried.append(line.stencil(h, tolerance))
        except (ValueError, ArithmeticError):  # outside of the function's domain: a smaller step may not be
            return False
        return tried[-1].uncertainty <= 0.25 * tolerance * line.size_of(tried[-1])

    if any(good(first * factor) for factor in line.precision.shrink):
        return line.ended(tried[-1])
    if not tried:
        line.stencil(first * line.precision.shrink[-1])  # raises what the function does
    kink = kink_of(tried, line.precision)
    if step is None and not kink:
        for decade in range(1, line.precision.widest + 1):
            floor = min(s.noise for s in tried)
            count = len(tried)
            if good(first * 10.0**decade):
                return line.ended(tried[-1])
            if len(tried) == count:  # far from the point, outside of the function's domain
                break
            wide = tried[-1]
            if not wide.noise <= LEVELS_OFF * max(floor, line.precision.epsilon * wide.level):
                break
    best = best_of(tried, line.dy)
    if kink:
        # The step whose bound is largest counts: of a kink that lies beside the point, smaller ones see less.
        best = max(tried[:3], key=lambda slope: slope.kink_size)._replace(kinked=True)
    if (
        step is None
        and kink != "kink"
        and line.precision is DOUBLE
        and not best.uncertainty <= 0.1 * line.size_of(best)
    ):
        near = Line(line.point, line.direction, line.y[: line.size], line.dy[: line.size], DOUBLE, tracked=True)
        fine = near.stencil(FINEST)
        if fine.uncertainty < 0.1 * min(np.nan_to_num(best.uncertainty, nan=np.inf), near.size_of(fine)):
            return near.ended(fine)
    return line.ended(best)


def best_of(tried: Sequence[Slope], dy: Vector) -> Slope:
    """Return the Slope with the smallest uncertainty, the first where none is finite.

    What did not move at a step, though it did, by little, at a larger one, counts as wrong by the slope seen there:
    a result rounded to a coarser type is a staircase, flat from near by.
    """
    found = []
    first = tried[0].step
    for slope in tried:
        # A wider step counts where the result moved well beyond its noise, or far away it may just be flat or bounded.
        if slope.step > first and not norm(dy * slope.vector) * slope.step > MOVED * slope.noise:
            continue
        larger = [other for other in tried if other.step > slope.step]
        missed = max((missed_slope(slope, other, dy) for other in larger), default=0.0)
        hidden = missed > 0.0 and not np.any(dy * slope.vector)
        found.append(slope._replace(uncertainty=slope.uncertainty + missed, hidden=hidden))
    finite = [slope for slope in found if np.isfinite(slope.uncertainty)]
    return min(finite, key=lambda slope: slope.uncertainty) if finite else tried[0]


def missed_slope(slope: Slope, larger: Slope, dy: Vector) -> float:
    """Return ‖dy·slope‖ at a larger step over the entries that moved there by little, and at this one not at all."""
    if slope.moves is None or larger.moves is None or larger.levels is None:
        return 0.0
    with np.errstate(invalid="ignore"):
        missed = (slope.moves == 0.0) & (larger.moves > 0.0) & (larger.moves <= SMALL_MOVE * larger.levels)
    return norm((dy * larger.vector)[missed]) if missed.any() else 0.0


def one_sided(line: Line, h: float) -> tuple[float, float]:
    """Return ⟨dy, slope⟩ from the left and from the right, by one step each: for people to read, O(h)."""
    with np.errstate(all="ignore"):
        left, right = line.at(-h), line.at(h)
        return float(line.dy @ (line.y - left)) / h, float(line.dy @ (right - line.y)) / h


def kink_of(slopes: Sequence[Slope], precision: Precision) -> str:
    """Return "kink" where the fourth difference stays in proportion to the step, "jump" where it does not fall, or "".

    slopes: at falling steps. Only what stands out from rounding counts.
    """
    if len(slopes) < 3:
        return ""
    first, third = slopes[0], slopes[2]
    rounding = 10.0 * precision.epsilon
    fourth = 4.0 * third.kink_size * third.step
    falls = min(s.kink_size for s in slopes[1:]) < 0.1 * first.kink_size
    if falls or not fourth > precision.kink * precision.epsilon * third.level:
        return ""
    # Halfway between a kink, whose size stays the same from step to step, and noise, whose grows as the step falls.
    halfway = (first.step / third.step) ** 0.5
    if max(s.kink_size - rounding * s.level / s.step for s in slopes[1:]) < halfway * first.kink_size:
        return "kink"
    return "jump" if fourth > precision.jump * third.level else ""
