"""Whether a difference between the two sides of the identity means a wrong gradient, a kink, or rounding."""

import numpy as np

from engine.arrays.backend import random_generator
from engine.gradcheck.derivatives import EPSILON, TOLERANCES, complex_step, one_sided
from engine.gradcheck.report import Row
from engine.gradcheck.trees import collect_gradients, inner, jiggle, norm

ROUNDINGS = 8.0  # units of rounding of y that an error may have without being evidence of a wrong gradient
NOISE_LIMIT = 1e-6  # estimated rounding of the stencil beyond this share of y excuses nothing
BACKWARD_NOISE_LIMIT = 1e-10  # the same for rounding in backward
JIGGLES = 4  # times that backward is run from a cache and dy changed by their rounding, or complex step along such a direction, when it is in question


class Judge:
    """Knows the point, y, dy and the cache of a check (see check.py), and how to run backward again."""

    def run_backward(self, cache, dy=None):
        """(gradients, problems) of one backward, of the check's dy or another. Gradients of parameters are cleared before."""
        for parameter in self.point.parameters.values():
            parameter.grad = None
        return collect_gradients(self.backward(self.dy_tree if dy is None else dy, cache), self.point)

    def inner_product(self, u, gradients=None):
        """⟨Jᵀ·dy, u⟩ over the blocks with a usable gradient."""
        pairs = [(g, part) for g, part in zip(gradients or self.gradients, u) if g is not None]
        return sum(inner(g, part) for g, part in pairs)

    def tolerance_of(self, method):
        """The caller's tolerance, or the default of the method."""
        return TOLERANCES[method] if self.tolerance is None else self.tolerance

    def judge(self, name, method, slope, u, analytic):
        """Compare the two sides of the identity and say what the difference means."""
        numeric = float(self.dy @ slope.vector)
        error = abs(numeric - analytic)
        size = norm(self.dy) * norm(slope.vector)
        relative = error / size if size > 0.0 else (0.0 if error == 0.0 else np.inf)
        verdict, message = self.verdict(method, slope, u, numeric, analytic, relative)
        numbers = (numeric, float(analytic), float(error), float(relative), self.tolerance_of(method), slope.step)
        return Row(name, verdict, method, *numbers, message)

    def verdict(self, method, slope, u, numeric, analytic, relative):
        """(verdict, message) of a row."""
        error = abs(numeric - analytic)
        if not np.isfinite(error):
            return "FAIL", "NaN or infinite " + (
                "along the direction" if not np.isfinite(numeric) else "in the inner product"
            )
        if slope.kinked:
            gross = error > slope.kink_size
            left, right = one_sided(self.point, u, self.y, self.dy, slope.step)
            text = f"a kink or a jump: slopes {left:.3g} from left and {right:.3g} from right differ" + (
                ", by less than the error" if gross else ""
            )
            return ("FAIL" if gross or self.kink == "fail" else "kink"), text
        if relative <= self.tolerance_of(method):
            return "ok", ""
        rounding = self.complex_rounding(slope, u) if method == "complex_step" else self.forward_rounding(slope)
        if error <= rounding or self.is_backward_rounding(error, u, analytic):
            return (
                "noise",
                "the difference is within the rounding of forward or backward: neither right nor wrong is shown",
            )
        return "FAIL", ""

    def forward_rounding(self, slope):
        """How large an error of a difference quotient the rounding of y and of the stencil explains."""
        level = norm(self.dy * self.y)
        return ROUNDINGS * EPSILON * level + min(10.0 * slope.uncertainty, NOISE_LIMIT * level)

    def complex_rounding(self, slope, u):
        """The same for complex step, which takes no difference: what changes when u does by its rounding.

        That is all there is where moved numbers cancel, as those of a bias before a mean is subtracted.
        """
        rng = random_generator(self.seed, 0)
        moved = [complex_step(self.point, jiggle(u, rng), self.tree, slope.step).vector for _ in range(JIGGLES)]
        return 10.0 * max(abs(float(self.dy @ (vector - slope.vector))) for vector in moved)

    def is_backward_rounding(self, error, u, analytic):
        """Whether backward's result changes by as much as the error when the stored numbers change by their rounding.

        1 − y² of a saturated tanh has few digits left, and the gradient of a bias before a mean is subtracted none; a wrong
        formula stays wrong by the same amount. A backward that is not repeatable excuses nothing.
        """
        if error > BACKWARD_NOISE_LIMIT * norm(self.dy) * norm(self.y):
            return False
        self.point.place()
        if self.inner_product(u, self.run_backward(self.cache)[0]) != analytic:
            return False
        rng = random_generator(self.seed, 0)
        jiggled = [self.run_backward(jiggle(self.cache, rng), jiggle(self.dy_tree, rng))[0] for _ in range(JIGGLES)]
        return error <= 10.0 * max(abs(self.inner_product(u, gradients) - analytic) for gradients in jiggled)
