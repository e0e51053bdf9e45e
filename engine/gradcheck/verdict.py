"""Compare the two sides of ⟨dy, J·u⟩ = ⟨Jᵀ·dy, u⟩ along a direction: right, wrong, a kink, or rounding?"""

from dataclasses import replace

import numpy as np

from .arrays import (
    Array,
    Backward,
    Cache,
    Direction,
    Problems,
    Tree,
    Vector,
    check_choice,
    inner,
    jiggle,
    norm,
    random_generator,
    real_vector,
    to_host_array,
)
from .derivatives import Line, NotAnalytic, Slope, complex_step, five_point, one_sided
from .nearby import Neighbour, is_wrong_nearby
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
UNRESOLVED = 1e-2  # of a slope: the largest error that is put down to a stencil whose steps are all too wide
KINK_SLACK = 1.01  # how many times what is seen of a kink its gradient may be off
NOISE = "the difference is within the rounding of forward or backward: neither right nor wrong is shown"
ZERO = "without influence here: numeric and analytic are rounding errors of 0"
FALLS = "the error falls in proportion to the step: it is that of the differences"
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
    neighbours: list[Neighbour]
    confirmed = False  # whether the only gradient has failed already along another direction, whatever rounding does
    nested = False  # whether this is a Judge beside the point of another

    def __init__(
        self, point: Point, backward: Backward, step: float | None, tolerance: float | None, kink: str, seed: int
    ) -> None:
        check_choice("kink", kink, ("report", "fail"))
        self.point, self.backward = point, backward
        self.step, self.tolerance, self.kink, self.seed = step, tolerance, kink, seed
        self.neighbours = []

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
        return self.closer(row, slope, u)

    def closer(self, row: Row, slope: Slope, u: Direction, gradients: list[Array | None] | None = None) -> Row:
        """Return a row that failed by the stencil as smaller steps judge it, unless its error stays what it is.

        An error that falls in proportion to the step, down to the last, is that of a slope of 0 between two bends.
        """
        if row.verdict != "FAIL" or row.method == "complex_step" or slope.kinked:
            return row
        error, falls = row.absolute_error or 0.0, True
        step = slope.step if row.method == "five_point" else min(slope.step, self.precision.steps["five_point"])
        for factor in self.precision.shrink[1:]:
            nearer = self.stencil_slope(u, step * factor)
            found = self.judge(row.name, row.method, nearer, u, gradients)
            if found.verdict != "FAIL":
                return found
            if found.absolute_error is None or not found.absolute_error < 0.5 * error:
                return row
            falls = falls and found.absolute_error < 2.0 * factor * (row.absolute_error or 0.0)
            error = found.absolute_error
        return replace(row, verdict="ok", message=FALLS) if falls else row

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
            gross = error > KINK_SLACK * slope.kink_size and self.is_wrong_at_kink(u, analytic, error, slope)
            left, right = (s / self.unit(u) for s in one_sided(self.line(u), slope.step))
            text = f"a kink or a jump: slopes {left:.3g} from left and {right:.3g} from right differ"
            text += ", by less than the error" if gross else ""
            return ("FAIL" if gross or self.kink == "fail" else "kink"), text
        if relative <= self.tolerance_of(method):
            if not slope.hidden:
                return "ok", ""
            return ("ok", ZERO) if self.has_no_influence(method, u) else ("noise", HIDDEN)
        is_complex = method == "complex_step"
        if self.confirmed and is_complex:
            return "FAIL", ""
        rounding = self.complex_rounding(slope, u, error) if is_complex else self.forward_rounding(slope)
        of_backward, most = 0.0, self.precision.backward_noise * norm(self.dy) * norm(self.y)
        if max(error, abs(analytic)) > rounding and error <= most:
            of_backward = self.backward_rounding(u, analytic)
        # For a saturated unit backward may find nothing where a slope is left, far below the rounding of the result.
        floor = self.precision.epsilon * norm(self.dy * self.y) if is_complex and analytic == 0.0 else 0.0
        if error <= max(rounding, of_backward) or max(abs(numeric), abs(analytic)) <= floor:
            zero = abs(numeric) <= rounding and abs(analytic) <= max(rounding, of_backward)
            return ("ok", ZERO) if zero and self.has_no_influence(method, u) else ("noise", NOISE)
        return "FAIL", ""

    def is_wrong_at_kink(self, u: Direction, analytic: float, error: float, slope: Slope) -> bool:
        """Tell whether an error that exceeds what is seen of a kink is one."""
        return not self.nested and is_wrong_nearby(self, u, analytic)

    def gradients_at(self, point: Point, cache: Cache) -> list[Array | None]:
        """Return the gradients at another point for the same cotangent."""
        return run_backward(point, self.backward, self.dy_tree, cache)[0]

    def fails_at(self, point: Point, tree: Tree, y: Vector, gradients: list[Array | None], u: Direction) -> bool:
        """Tell whether the check fails along u at another point, by five points."""
        judge = Judge(point, self.backward, self.step, self.tolerance, "report", self.seed)
        judge.tree, judge.y, judge.gradients, judge.precision = tree, y, gradients, self.precision
        judge.dy, judge.dy_tree, judge.nested = self.dy, self.dy_tree, True
        return judge.row("nearby", "five_point", u).verdict == "FAIL"

    def forward_rounding(self, slope: Slope) -> float:
        """Return how large an error of a difference quotient the rounding of y and of the stencil explains."""
        level, precision = max(norm(self.dy * self.y), slope.level), self.precision
        most = max(precision.forward_noise * level, UNRESOLVED * norm(self.dy) * norm(slope.vector))
        stencil = min(precision.excuse * slope.uncertainty, most)
        return ROUNDINGS * precision.epsilon * level + stencil

    def complex_rounding(self, slope: Slope, u: Direction, error: float) -> float:
        """Return the same for complex step, which takes no difference: what changes when u does by its rounding.

        That is all there is where moved numbers cancel, as those of a bias before a mean is subtracted.
        """
        rng = random_generator(self.seed, 0)
        # Where the slope is 0, the step's own error, of second order, is all there is.
        tiny = self.complex_slope(u, 1e-3 * slope.step)
        largest = abs(float(self.dy @ (tiny.vector - slope.vector)))
        moved = self.point.displaced([jiggle(to_host_array(b.value), rng) - b.value for b in self.point.blocks])
        for n in range(JIGGLES):
            point, along = (moved, u) if n == 0 else (self.point, jiggle(u, rng))
            vector = complex_step(point, along, self.tree, slope.step).vector
            largest = max(largest, abs(float(self.dy @ (vector - slope.vector))))
            if n and error > 1e4 * largest > 0.0:  # no further draw would explain it
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
