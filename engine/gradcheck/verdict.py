"""Compare the two sides of ⟨dy, J·u⟩ = ⟨Jᵀ·dy, u⟩ along a direction: right, wrong, a kink, or rounding?"""

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
)
from .derivatives import (
    EPSILON,
    TOLERANCES,
    NotAnalytic,
    Slope,
    complex_step,
    five_point,
    one_sided,
    richardson,
)
from .point import Point, run_backward
from .report import Row

CANDIDATES = 8  # directions drawn for a row; that of the largest ⟨Jᵀ·dy, u⟩ is used, lest u be orthogonal by chance
# By how much complex step and five-point may differ, beyond the stencil's own error, before the function counts as not
# analytic.
AGREEMENT = 1e-10
ROUNDINGS = 8.0  # units of rounding of y that an error may have without being evidence of a wrong gradient
NOISE_LIMIT = 1e-6  # estimated rounding of the stencil beyond this share of y excuses nothing
BACKWARD_NOISE_LIMIT = 1e-10  # the same for rounding in backward
# How often backward is run from a cache and dy changed by their rounding, or complex step along such a direction, when
# rounding is in question.
JIGGLES = 4


class Judge:
    """Compare numerical slopes with gradients at one point, direction by direction.

    tree, y: forward's result at the point, and the same as a real vector; cache: what forward handed to backward.
    dy_tree, dy: the cotangent likewise. gradients: a host array for each block, None where it cannot be used.
    """

    tree: Tree
    y: Vector
    cache: Cache
    dy_tree: Tree
    dy: Vector
    gradients: list[Array | None]
    kink_slack = 1.0  # how many times what is seen of a kink its gradient may be off

    def __init__(
        self, point: Point, backward: Backward, step: float | None, tolerance: float | None, kink: str, seed: int
    ) -> None:
        check_choice("kink", kink, ("report", "fail"))
        self.point, self.backward = point, backward
        self.step, self.tolerance, self.kink, self.seed = step, tolerance, kink, seed

    def tolerance_of(self, method: str) -> float:
        """Return the caller's tolerance, or the default of the method."""
        return TOLERANCES[method] if self.tolerance is None else self.tolerance

    def run_backward(self, cache: Cache, dy: Tree = None) -> tuple[list[Array | None], Problems]:
        """Run one backward on the check's dy or another; return (gradients, problems)."""
        return run_backward(self.point, self.backward, self.dy_tree if dy is None else dy, cache)

    def inner_product(self, u: Direction, gradients: list[Array | None] | None = None) -> float:
        """Return ⟨Jᵀ·dy, u⟩ over the blocks with a usable gradient."""
        pairs = [(g, part) for g, part in zip(gradients or self.gradients, u) if g is not None]
        return sum(inner(g, part) for g, part in pairs)

    def direction(self, stream: int, only: int | None = None) -> tuple[Direction, float]:
        """Return (u, ⟨Jᵀ·dy, u⟩) for the candidate with the largest inner product."""
        drawn = self.point.random_directions(self.seed, stream, CANDIDATES, only)
        products = [self.inner_product(u) for u in drawn]
        best = int(np.argmax(np.abs(products)))
        return drawn[best], products[best]

    def slope(self, name: str, method: str, u: Direction) -> tuple[str, Slope]:
        """Return (method used, Slope along u). "auto": by complex step, or by five-point at a kink.

        Raises NotAnalytic when the two contradict each other; `name` tells where.
        """
        if method == "complex_step":
            return method, complex_step(self.point, u, self.tree, self.step)
        if method == "richardson":
            return method, richardson(self.point, u, self.y, self.dy, self.tolerance_of(method), self.step)
        if method == "five_point":
            return method, self.stencil_slope(u, self.step)
        exact = complex_step(self.point, u, self.tree)  # the caller's step is the stencil's
        rough = self.stencil_slope(u, self.step)
        if rough.kinked:
            return "five_point", rough
        difference = norm(exact.vector - rough.vector)
        if difference > AGREEMENT * norm(exact.vector) + 10.0 * rough.spread:
            raise NotAnalytic(
                f"they differ by {difference:.2e} of {norm(rough.vector):.2e} in {name} (abs or norm inside?)"
            )
        return "complex_step", exact

    def stencil_slope(self, u: Direction, step: float | None) -> Slope:
        """Return the five-point slope along u."""
        return five_point(self.point, u, self.y, self.dy, self.tolerance_of("five_point"), step)

    def row(self, name: str, method: str, u: Direction, analytic: float) -> Row:
        """Judge one direction. A failure by the stencil must show at a tenth of the step as well."""
        used, slope = self.slope(name, method, u)
        row = self.judge(name, used, slope, u, analytic)
        if row.verdict == "FAIL" and used == "five_point" and not slope.kinked:
            closer = self.judge(name, used, self.stencil_slope(u, slope.step / 10.0), u, analytic)
            return row if closer.verdict == "FAIL" else closer
        return row

    def judge(self, name: str, method: str, slope: Slope, u: Direction, analytic: float) -> Row:
        """Compare the two sides of the identity and say what the difference means."""
        numeric = float(self.dy @ slope.vector)
        error = abs(numeric - analytic)
        size = norm(self.dy) * norm(slope.vector)
        relative = error / size if size > 0.0 else (0.0 if error == 0.0 else np.inf)
        verdict, message = self.verdict(method, slope, u, numeric, analytic, relative)
        unit = self.unit(u)
        numbers = (numeric / unit, float(analytic) / unit, float(error) / unit, float(relative))
        return Row(name, verdict, method, *numbers, self.tolerance_of(method), slope.step, message)

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
        if slope.kinked:
            gross = error > self.kink_slack * slope.kink_size
            left, right = (s / self.unit(u) for s in one_sided(self.point, u, self.y, self.dy, slope.step))
            text = f"a kink or a jump: slopes {left:.3g} from left and {right:.3g} from right differ"
            text += ", by less than the error" if gross else ""
            return ("FAIL" if gross or self.kink == "fail" else "kink"), text
        if relative <= self.tolerance_of(method):
            return "ok", ""
        rounding = self.complex_rounding(slope, u) if method == "complex_step" else self.forward_rounding(slope)
        if error <= rounding or self.is_backward_rounding(error, u, analytic):
            text = "the difference is within the rounding of forward or backward: neither right nor wrong is shown"
            return "noise", text
        return "FAIL", ""

    def forward_rounding(self, slope: Slope) -> float:
        """Return how large an error of a difference quotient the rounding of y and of the stencil explains."""
        level = norm(self.dy * self.y)
        return ROUNDINGS * EPSILON * level + min(10.0 * slope.uncertainty, NOISE_LIMIT * level)

    def complex_rounding(self, slope: Slope, u: Direction) -> float:
        """Return the same for complex step, which takes no difference: what changes when u does by its rounding.

        That is all there is where moved numbers cancel, as those of a bias before a mean is subtracted.
        """
        rng = random_generator(self.seed, 0)
        moved = [complex_step(self.point, jiggle(u, rng), self.tree, slope.step).vector for _ in range(JIGGLES)]
        return 10.0 * max(abs(float(self.dy @ (vector - slope.vector))) for vector in moved)

    def is_backward_rounding(self, error: float, u: Direction, analytic: float) -> bool:
        """Tell whether backward's result changes by as much as the error when its arguments change by their rounding.

        1 − y² of a saturated tanh has few digits left, and the gradient of a bias before a mean is subtracted none; a
        wrong formula stays wrong by the same amount. A backward that is not repeatable excuses nothing.
        """
        if error > BACKWARD_NOISE_LIMIT * norm(self.dy) * norm(self.y):
            return False
        self.point.assign()
        if self.inner_product(u, self.run_backward(self.cache)[0]) != analytic:
            return False
        rng = random_generator(self.seed, 0)
        jiggled = [self.run_backward(jiggle(self.cache, rng), jiggle(self.dy_tree, rng))[0] for _ in range(JIGGLES)]
        return error <= 10.0 * max(abs(self.inner_product(u, gradients) - analytic) for gradients in jiggled)
