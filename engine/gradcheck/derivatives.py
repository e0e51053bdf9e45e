"""J·u, the slope of a function along a direction, from its forward alone, with an error estimate. Three methods.

f(t) stands for f(x + t·u).

Complex step:  J·u = Im f(i·h)/h. No difference is taken, so h may be tiny and the result is exact to rounding;
               f must be analytic, in its code as well (abs, conj, hypot, arctan2, norm are not).
Five-point:    J·u ≈ (f(−2h) − 8·f(−h) + 8·f(h) − f(2h)) / (12h). Truncation O(h⁴).
               The fourth difference f(−2h) − 4·f(−h) + 6·f(0) − 4·f(h) + f(2h), divided by h, tells what it is
               worth: smooth and resolved O(h³); rounding noise O(1/h); a kink O(1), whatever the step; a jump
               O(1/h), but large. It is blind to a jump that is odd about the point (sign at 0): there the three-point
               slope differs.
Richardson:    central differences, extrapolated to step 0, with an error estimate (Ridders).

                   D(h) = (f(h) − f(−h)) / (2h) = J·u + c₁h² + c₂h⁴ + …
                   T₀(h) = D(h),   Tₖ(h) = Tₖ₋₁(h) + (Tₖ₋₁(h) − Tₖ₋₁(2h))/(4ᵏ − 1)     cancels c₁ … cₖ

               Steps are large, so rounding costs little; a jump of two neighbours in the table tells what an entry of
               it is worth. Source: C. J. F. Ridders, Advances in Engineering Software 4 (1982) 75–76.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .arrays import Direction, Tree, Vector, leaves, norm, real_vector, to_host_array, tree_vector
from .point import Point

TOLERANCES = {"complex_step": 1e-12, "five_point": 1e-7, "richardson": 1e-8}
STEPS = {"complex_step": 1e-30, "five_point": 1e-4, "richardson": 0.1}
METHODS = tuple(TOLERANCES)
EPSILON = float(np.finfo(np.float64).eps)
WIDEST = 20  # decades by which a step may grow where rounding drowns the slope (an input of 1e-15 beside a bias of 1)
KINK_ABOVE_ROUNDING = 1e3  # a kink's fourth difference exceeds the rounding of the values by this factor …
JUMP_RELATIVE = 1e-6  # … and a jump's is this large against the values themselves
# By how much five-point and three-point slope may differ; more shows what the fourth difference cannot see.
ODD_RELATIVE = 1e-3
LEVELS = 18  # halvings of Richardson's step: from 0.1 down to 1e-6, which passes by a kink that is near


class NotAnalytic(ValueError):
    """Complex-step differentiation cannot be used; the text says why.

    A ValueError, lest who handles it must know by which name this package was imported.
    """


class Slope(NamedTuple):
    """J·u as real numbers (vector), and what it is worth.

    uncertainty: estimated error of ⟨dy, vector⟩. spread: the same for the norm of vector.
    kinked: the function has a kink or a jump here. kink_size: bound of what the kink may change in ⟨dy, vector⟩.
    level: magnitude of the numbers whose differences were taken, weighted by dy. bends, levels: what kink_size and
    level are made of, for each entry of vector; None where no kink can be told.
    """

    vector: Vector
    step: float
    uncertainty: float = 0.0
    spread: float = 0.0
    kinked: bool = False
    kink_size: float = 0.0
    level: float = 0.0
    bends: Vector | None = None
    levels: Vector | None = None

    def for_cotangent(self, dy: Vector) -> "Slope":
        """Return the Slope for another dy: a kink is one only where these outputs have it."""
        if not self.kinked or self.bends is None or self.levels is None:
            return self
        size, level = float(np.abs(dy) @ self.bends), norm(dy * self.levels)
        return self._replace(
            kinked=size * self.step > KINK_ABOVE_ROUNDING * EPSILON * level, kink_size=size, level=level
        )


def complex_step(point: Point, direction: Direction, y: Tree, step: float | None = None) -> Slope:
    """Differentiate by one imaginary step. y: forward's result at the point, whose leaves all are real.

    Raises NotAnalytic where the imaginary part was refused, dropped or is not finite.
    """
    step = STEPS["complex_step"] if step is None else step
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            moved, _ = point.evaluate(direction, 1j * step)
        except Exception as error:  # what a function raises on a dtype that it does not expect is its own affair
            text = (str(error).splitlines() or [""])[0]
            raise NotAnalytic(f"forward raised {type(error).__name__} on complex128 ({text})") from error
    before, after = leaves(y, "output"), leaves(moved, "output")
    if len(before) != len(after):
        raise NotAnalytic(f"forward returned {len(after)} arrays on complex128 and {len(before)} on float64")
    parts = []
    for (name, real), (_, part) in zip(before, after):
        real, part = to_host_array(real), to_host_array(part)
        if part.shape != real.shape:
            raise NotAnalytic(f"{name} has shape {part.shape} on complex128 and {real.shape} on float64")
        if part.dtype.kind != "c" and part.size:
            raise NotAnalytic(f"{name} is {part.dtype} on complex128: its imaginary part was dropped")
        if not np.all(np.isfinite(part)):
            raise NotAnalytic(f"{name} is NaN or infinite on complex128")
        parts.append(part.imag)
    return Slope(real_vector(parts) / step, step)


def five_point(
    point: Point, direction: Direction, y: Vector, dy: Vector, tolerance: float, step: float | None = None
) -> Slope:
    """Take the first step whose estimated error is well below the tolerance, otherwise the best step tried.

    First a step of 1e-4 or the given one; then smaller ones, which help near a kink; then, where the caller gave no
    step, larger ones, which help against rounding.
    """
    first = STEPS["five_point"] if step is None else step
    tried: list[Slope] = []

    def good(h: float) -> bool:
        slope = stencil(point, direction, y, dy, h)
        tried.append(slope)
        return slope.uncertainty <= 0.25 * tolerance * norm(dy) * norm(slope.vector)

    if any(good(first * factor) for factor in (1.0, 1e-1, 1e-2, 1e-3, 1e-4)):
        return tried[-1]
    kinked = is_kinked(tried)
    if step is None and not kinked:
        for decade in range(1, WIDEST + 1):
            try:
                if good(first * 10.0**decade):
                    return tried[-1]
            except (ValueError, ArithmeticError):  # far from the point, outside of the function's domain
                break
            if not tried[-1].uncertainty <= 10.0 * min(s.uncertainty for s in tried):
                break
    # Steps that were widened in vain say nothing: far away the function may be flat.
    finite = [s for s in tried if s.step <= first and np.isfinite(s.uncertainty)]
    return min(finite, key=lambda s: s.uncertainty)._replace(kinked=kinked) if finite else tried[0]


def stencil(point: Point, direction: Direction, y: Vector, dy: Vector, h: float) -> Slope:
    """Return one Slope by five points (the middle one is y)."""
    left2, left, right, right2 = (along(point, direction, k * h) for k in (-2, -1, 1, 2))
    with np.errstate(all="ignore"):
        vector = ((left2 - right2) + 8.0 * (right - left)) / (12.0 * h)
        fourth = (left2 - 4.0 * left) + 6.0 * y + (right2 - 4.0 * right)
        odd = vector - (right - left) / (2.0 * h)
        if norm(dy * odd) <= ODD_RELATIVE * norm(dy * vector):
            odd = np.zeros_like(odd)  # what any smooth function has: h²·f‴/6
        levels = np.maximum(np.abs(y), np.maximum(np.abs(left2), np.abs(right2)))
        bends = np.abs(fourth) / h + 8.0 * np.abs(odd)
        return Slope(
            vector,
            h,
            uncertainty=norm(dy * odd) + (norm(dy * fourth) + 4.0 * EPSILON * norm(dy * levels)) / h,
            spread=norm(odd) + (norm(fourth) + 4.0 * EPSILON * norm(levels)) / h,
            kink_size=float(np.abs(dy) @ bends),
            level=norm(dy * levels),
            bends=bends,
            levels=levels,
        )


def along(point: Point, direction: Direction, t: float) -> Vector:
    """Return f(t), forward's result at point + t·direction, as a real vector."""
    return tree_vector(point.evaluate(direction, t)[0])


def one_sided(point: Point, direction: Direction, y: Vector, dy: Vector, h: float) -> tuple[float, float]:
    """Return ⟨dy, slope⟩ from the left and from the right, by one step each: for people to read, O(h)."""
    with np.errstate(all="ignore"):
        left, right = along(point, direction, -h), along(point, direction, h)
        return float(dy @ (y - left)) / h, float(dy @ (right - y)) / h


def is_kinked(slopes: Sequence[Slope]) -> bool:
    """Tell whether the fourth difference stays in proportion to the step (a kink) or does not fall at all (a jump).

    slopes: at steps h, h/10, h/100, … Only what stands out clearly from rounding counts.
    """
    first, second, third = slopes[:3]
    fourth = third.kink_size * third.step
    falls = min(second.kink_size, third.kink_size) < 0.1 * first.kink_size
    if falls or not fourth > KINK_ABOVE_ROUNDING * EPSILON * third.level:
        return False
    in_proportion = max(second.kink_size, third.kink_size) < 10.0 * first.kink_size
    return in_proportion or fourth > JUMP_RELATIVE * third.level


def richardson(
    point: Point, direction: Direction, y: Vector, dy: Vector, tolerance: float, step: float | None = None
) -> Slope:
    """Return the extrapolated Slope with the smallest estimated error. step: the first, the others are halves of it.

    Kinks are looked for as the five-point method does.
    """
    probes = [stencil(point, direction, y, dy, STEPS["five_point"] * factor) for factor in (1.0, 1e-1, 1e-2)]
    if is_kinked(probes):
        return probes[-1]._replace(kinked=True)
    h = STEPS["richardson"] if step is None else step
    best = probes[0]._replace(uncertainty=np.inf)
    above: list[Vector] = []
    for _ in range(LEVELS):
        row, level = table_row(point, direction, y, dy, h, above)
        for k in range(1, len(row)):
            steps = norm(dy * (row[k] - row[k - 1])), norm(dy * (row[k] - above[k - 1]))
            uncertainty = max(steps) + EPSILON * level / h
            if np.isfinite(uncertainty) and uncertainty < best.uncertainty:
                best = Slope(row[k], h, uncertainty, uncertainty / max(norm(dy), 1e-300), level=level)
        if best.uncertainty <= 0.01 * tolerance * norm(dy) * norm(best.vector):
            break
        above, h = row, h / 2.0
    return best


def table_row(
    point: Point, direction: Direction, y: Vector, dy: Vector, h: float, above: list[Vector]
) -> tuple[list[Vector], float]:
    """Return ([T₀(h), T₁(h), …], ‖dy·f‖), one row of the table below `above`.

    The row is empty where f cannot be had so far from the point.
    """
    try:
        with np.errstate(all="ignore"):
            left, right = along(point, direction, -h), along(point, direction, h)
            row = [(right - left) / (2.0 * h)]
    except (ValueError, ArithmeticError):
        return [], 0.0
    if not np.all(np.isfinite(row[0])):
        return [], 0.0
    for k, coarse in enumerate(above):
        row.append(row[k] + (row[k] - coarse) / (4.0 ** (k + 1) - 1.0))
    return row, norm(dy * np.maximum(np.abs(y), np.maximum(np.abs(left), np.abs(right))))
