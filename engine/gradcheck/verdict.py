"""Compare the two sides of ⟨dy, J·u⟩ = ⟨Jᵀ·dy, u⟩ along a direction: right, wrong, a kink, or rounding?"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from .arrays import (
    FLOATS,
    Array,
    Backward,
    Cache,
    Direction,
    Problems,
    Tree,
    Vector,
    check_choice,
    count_not_finite,
    inner,
    jiggle,
    norm,
    random_generator,
    real_vector,
    to_host_array,
)
from .derivatives import Line, NotAnalytic, Slope, complex_step, five_point, one_sided
from .point import Point, run_backward
from .precision import DOUBLE, HALF, Precision
from .report import Row
from .richardson import richardson

CANDIDATES = 8  # directions drawn for a row; that of the largest ⟨Jᵀ·dy, u⟩ is used, lest u be orthogonal by chance
MANY = 10_000  # numbers, of which one candidate is enough: no direction of so many is orthogonal by chance
ROUNDINGS = 8.0  # units of rounding of y that an error may have without being evidence of a wrong gradient
NEAR = (1e-4, -1e-4)  # times its own size that an input is moved to see what rounding does to the result …
FAR = (3.0, -3.0, 5.0, -5.0, 7.0, -7.0, 50.0, -50.0, 500.0, -500.0, 5e3, -5e3)  # … and whether it does more than that
# How often backward is run from a cache and dy changed by their rounding, or complex step along such a direction, when
# rounding is in question.
JIGGLES = 4
NOISE = "the difference is within the rounding of forward or backward: neither right nor wrong is shown"
ZERO = "without influence here: numeric and analytic are rounding errors of 0"
HIDDEN = "the result does not move at the step taken, though it does at a larger one: rounding hides the slope"


class Judge:
    """Compare numerical slopes with gradients at one point, direction by direction.

    tree, y: forward's result at the point, and the same as a real vector; cache: what forward handed to backward.
    dy_tree, dy: the cotangent likewise. gradients: a host array for each block, None where it cannot be used.
    precision: of the function. stateful: backward needs forward to have run just before.
    """

    tree: Tree
    y: Vector
    cache: Cache
    dy_tree: Tree
    dy: Vector
    gradients: list[Array | None]
    precision: Precision = DOUBLE
    stateful = False
    kink_slack = 1.01  # how many times what is seen of a kink its gradient may be off

    def __init__(
        self, point: Point, backward: Backward, step: float | None, tolerance: float | None, kink: str, seed: int
    ) -> None:
        check_choice("kink", kink, ("report", "fail"))
        self.point, self.backward = point, backward
        self.step, self.tolerance, self.kink, self.seed = step, tolerance, kink, seed

    def tolerance_of(self, method: str) -> float:
        """Return the caller's tolerance, or the default of the method."""
        return self.precision.tolerances[method] if self.tolerance is None else self.tolerance

    def run_backward(self, cache: Cache, dy: Tree = None) -> tuple[list[Array | None], Problems]:
        """Run one backward on the check's dy or another; return (gradients, problems)."""
        if self.stateful:
            _, cache = self.point.evaluate()
        return run_backward(self.point, self.backward, self.dy_tree if dy is None else dy, cache)

    def inner_product(self, u: Direction, gradients: list[Array | None] | None = None) -> float:
        """Return ⟨Jᵀ·dy, u⟩ over the blocks with a usable gradient."""
        pairs = [(g, part) for g, part in zip(gradients or self.gradients, u) if g is not None]
        return sum(inner(g, part) for g, part in pairs)

    def direction(self, stream: int, only: int | None = None) -> Direction:
        """Return the candidate u with the largest ⟨Jᵀ·dy, u⟩."""
        size = self.point.size if only is None else self.point.blocks[only].value.size
        drawn = self.point.random_directions(self.seed, stream, CANDIDATES if size < MANY else 1, only)
        return max(drawn, key=lambda u: abs(self.inner_product(u))) if len(drawn) > 1 else drawn[0]

    def line(self, u: Direction) -> Line:
        """Return the function along u."""
        return Line(self.point, u, self.y, self.dy, self.precision)

    def complex_slope(self, u: Direction, step: float | None = None) -> Slope:
        """Return the slope along u by complex step."""
        return complex_step(self.point, u, self.tree, self.precision.steps["complex_step"] if step is None else step)

    def stencil_slope(self, u: Direction, step: float | None) -> Slope:
        """Return the five-point slope along u."""
        return five_point(self.line(u), self.tolerance_of("five_point"), step)

    def slope(self, name: str, method: str, u: Direction) -> tuple[str, Slope]:
        """Return (method used, Slope along u). "auto": by complex step, or by five-point at a kink.

        Raises NotAnalytic when the two contradict each other; `name` tells where.
        """
        if method == "complex_step":
            return method, self.complex_slope(u, self.step)
        if method == "richardson":
            return method, richardson(self.line(u), self.tolerance_of(method), self.step)
        if method == "five_point":
            return method, self.stencil_slope(u, self.step)
        exact = self.complex_slope(u)  # the caller's step is the stencil's
        rough = self.stencil_slope(u, self.step)
        if rough.kinked:
            return "five_point", rough
        alike = exact if rough.direction is None else self.complex_slope(rough.direction)
        difference = norm(alike.vector - rough.vector)
        rounding = 10.0 * rough.spread + ROUNDINGS * self.precision.epsilon * norm(self.y)
        if difference > self.precision.agreement * norm(alike.vector) + rounding:
            raise NotAnalytic(
                f"they differ by {difference:.2e} of {norm(rough.vector):.2e} in {name} (abs or norm inside?)"
            )
        return "complex_step", exact

    def row(self, name: str, method: str, u: Direction) -> Row:
        """Judge one direction. A failure by the stencil must show at smaller steps too, and not shrink with them."""
        used, slope = self.slope(name, method, u)
        row = self.judge(name, used, slope, u)
        if row.verdict != "FAIL" or used != "five_point" or slope.kinked:
            return row
        error = row.absolute_error or 0.0
        for factor in self.precision.shrink[1:]:
            closer = self.judge(name, used, self.stencil_slope(u, slope.step * factor), u)
            if closer.verdict != "FAIL":
                return closer
            if closer.absolute_error is None or not closer.absolute_error < 0.5 * error:
                break
            error = closer.absolute_error
        return row

    def judge(
        self, name: str, method: str, slope: Slope, u: Direction, gradients: list[Array | None] | None = None
    ) -> Row:
        """Compare the two sides of the identity and say what the difference means. gradients: those of the check."""
        u = u if slope.direction is None else slope.direction
        numeric, analytic = float(self.dy @ slope.vector), self.inner_product(u, gradients)
        error = abs(numeric - analytic)
        size = norm(self.dy) * norm(slope.vector)
        relative = error / size if size > 0.0 else (0.0 if error == 0.0 else np.inf)
        verdict, message = self.verdict(method, slope, u, numeric, analytic, relative)
        unit = self.unit(u)
        numbers = (numeric / unit, float(analytic) / unit, float(error) / unit, float(relative))
        tolerance = self.tolerance_of(method)
        seen = max(tolerance * size, 0.0 if method == "complex_step" else self.forward_rounding(slope))
        least = min((float(np.min(a[a > 0.0], initial=np.inf)) for a in map(np.abs, u)), default=np.inf)
        detects = seen / unit / least if 0.0 < seen < np.inf else None
        return Row(
            name, verdict, method, *numbers, tolerance, slope.step, message, kinked=slope.kinked, detects=detects
        )

    def excused(self, row: Row) -> Row:
        """Return a row that failed at a kink, while no single entry or block did, as a kink: several can cancel."""
        gross = row.verdict == "FAIL" and row.kinked and self.kink == "report"
        return replace(row, verdict="kink") if gross else row

    def unit(self, u: Direction) -> float:
        """Return the length by which slopes along u are divided in rows and messages."""
        return 1.0

    def verdict(
        self, method: str, slope: Slope, u: Direction, numeric: float, analytic: float, relative: float
    ) -> tuple[str, str]:
        """Return (verdict, message) of a row."""
        error = abs(numeric - analytic)
        if not np.isfinite(error):
            where = "in the inner product" if np.isfinite(numeric) else "along the direction"
            return "FAIL", f"NaN or infinite {where}"
        # In float16 noise can look like a kink.
        if slope.kinked and not (self.precision is HALF and relative <= self.tolerance_of(method)):
            gross = error > self.kink_slack * slope.kink_size
            left, right = (s / self.unit(u) for s in one_sided(self.line(u), slope.step))
            text = f"a kink or a jump: slopes {left:.3g} from left and {right:.3g} from right differ"
            text += ", by less than the error" if gross else ""
            return ("FAIL" if gross or self.kink == "fail" else "kink"), text
        if relative <= self.tolerance_of(method):
            if not slope.hidden:
                return "ok", ""
            return ("ok", ZERO) if self.has_no_influence(method, u) else ("noise", HIDDEN)
        is_complex = method == "complex_step"
        rounding = self.complex_rounding(slope, u, error) if is_complex else self.forward_rounding(slope)
        of_backward, most = 0.0, self.precision.backward_noise * norm(self.dy) * norm(self.y)
        if max(error, abs(analytic)) > rounding and error <= most:
            of_backward = self.backward_rounding(u, analytic)
        if error <= max(rounding, of_backward):
            zero = abs(numeric) <= rounding and abs(analytic) <= max(rounding, of_backward)
            return ("ok", ZERO) if zero and self.has_no_influence(method, u) else ("noise", NOISE)
        return "FAIL", ""

    def forward_rounding(self, slope: Slope) -> float:
        """Return how large an error of a difference quotient the rounding of y and of the stencil explains."""
        level, precision = norm(self.dy * self.y), self.precision
        stencil = min(precision.excuse * slope.uncertainty, precision.forward_noise * level)
        return ROUNDINGS * precision.epsilon * level + stencil

    def complex_rounding(self, slope: Slope, u: Direction, error: float) -> float:
        """Return the same for complex step, which takes no difference: what changes when u does by its rounding.

        That is all there is where moved numbers cancel, as those of a bias before a mean is subtracted.
        """
        rng, largest = random_generator(self.seed, 0), 0.0
        for _ in range(JIGGLES):
            vector = self.complex_slope(jiggle(u, rng), slope.step).vector
            largest = max(largest, abs(float(self.dy @ (vector - slope.vector))))
            if error > 1e4 * largest > 0.0:  # no further draw would explain it
                break
        return 10.0 * largest

    def backward_rounding(self, u: Direction, analytic: float) -> float:
        """Return how large an error the rounding in backward explains: ten times what rounding its arguments changes.

        1 − y² of a saturated tanh has few digits left, and the gradient of a bias before a mean is subtracted none; a
        wrong formula stays wrong by the same amount. A backward that is not repeatable excuses nothing.
        """
        self.point.assign()
        if self.inner_product(u, self.run_backward(self.cache)[0]) != analytic:
            return 0.0
        rng = random_generator(self.seed, 0)
        jiggled = [self.run_backward(jiggle(self.cache, rng), jiggle(self.dy_tree, rng))[0] for _ in range(JIGGLES)]
        return 10.0 * max(abs(self.inner_product(u, gradients) - analytic) for gradients in jiggled)

    def has_no_influence(self, method: str, u: Direction) -> bool:
        """Tell whether the result depends on what u moves by rounding alone.

        By complex step that is so where the slope is. A stencil sees it from far away: an input that is moved by many
        times its own size, and changes nothing but the rounding of the result.
        """
        if method == "complex_step":
            return True
        line = self.line(u)
        own = real_vector(np.divide(part, scale) for part, scale in zip(u, self.point.scales))
        unit = max(float(np.max(np.abs(own), initial=0.0)), 1e-300)
        try:
            near, far = ([norm(line.dy * (line.at(t / unit) - line.y)) for t in steps] for steps in (NEAR, FAR))
        except (ValueError, ArithmeticError):  # outside of the function's domain
            return False
        # What it is added to on the way may become as large as itself, before it is taken away again.
        moved = self.precision.epsilon * norm(line.dy) * norm(real_vector(u)) / unit
        floor = max(self.precision.epsilon * norm(line.dy * line.y), *near)
        return all(size <= 0.5 * ROUNDINGS * (floor + abs(t) * moved) for t, size in zip(FAR, far))


def same_gradients(found: list[Any], expected: list[Any]) -> bool:
    """Tell whether two lists of gradients, None among them, are equal bit for bit."""
    return all((a is None) == (b is None) and (a is None or np.array_equal(a, b)) for a, b in zip(found, expected))


def wrong_dtype_rows(named_arrays: Iterable[tuple[str, Any]]) -> list[Row]:
    """Return a failing row for every result that is no array of floats."""
    found = [(name, to_host_array(array).dtype) for name, array in named_arrays]
    return [Row(name, "FAIL", message=f"dtype {t}, expected a float type") for name, t in found if t not in FLOATS]


def not_finite_rows(named_arrays: Iterable[tuple[str, Any]]) -> list[Row]:
    """Return a failing row for every array with NaN or infinite entries."""
    rows = []
    for name, array in named_arrays:
        bad = count_not_finite(to_host_array(array))
        if bad:
            rows.append(Row(name, "FAIL", message=f"{bad} of {np.size(array)} entries are NaN or infinite"))
    return rows
