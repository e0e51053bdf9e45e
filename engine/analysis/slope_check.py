"""Is one recorded gradient right? The slope of a loss along a random direction, numerically and by hand.

    numeric   weights · (five-point difference of f(X + t·u) at t = 0), from f alone            analytic   ⟨dX, u⟩

u is a random unit vector. f is all that comes after X but for the last step, the loss of f's result; `weights` is the
numerical derivative of that step. A loss near 0 has too few digits for differences, the result before it has them all.
Where the two differ, single entries are looked at, to name the one that is furthest off.
"""

from typing import Callable, NamedTuple

import numpy as np

from engine.gradcheck.point import Point, entry_scales
from engine.gradcheck.slopes import EPSILON, STEPS, TOLERANCES, five_point, one_sided, stencil
from engine.gradcheck.trees import norm

CANDIDATES = 8  # directions drawn; the one with the largest ⟨dX, u⟩ is used, lest u be orthogonal to dX by chance
TOLERANCE = 10.0 * TOLERANCES["five_point"]  # relative, that of whole networks
ROUNDINGS = 8.0  # units of rounding of f and of the weights that a difference may have
EXCUSED = 1e-9  # beyond this share of the level, an estimated error of the stencil excuses nothing
KINKS = 10.0  # several kinks at one place can cancel in what is seen of them, by about this factor


class Comparison(NamedTuple):
    """numeric, analytic: the slope along u. entries: numerical derivatives by the first entries, in order.

    verdict: "ok"; "WRONG"; "kink": the function has no derivative here; "rounding": they differ by more than the tolerance
    but by less than rounding explains, so the gradient is too small to be checked. message: says more where not ok.
    """

    numeric: float
    analytic: float
    difference: float
    verdict: str
    message: str
    entries: list


class Problem(NamedTuple):
    """f at a value with its recorded gradient; y = f(value). level: the size of the numbers whose rounding the slope shows."""

    point: Point
    value: np.ndarray
    gradient: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    level: float


def compare(f: Callable, weights, value, gradient, shown=4, searched=0, seed=0):
    """Comparison of a gradient with weights · f near `value`.

    f: array of value's shape → float64 array of the shape of weights, pure. value, gradient: float64 arrays of one shape
    (0-d too). shown: how many entries get a derivative of their own. searched: how many are looked at to name the worst one, where
    the gradient is wrong. seed: of the direction.
    """
    value, gradient, weights = np.asarray(value), np.asarray(gradient), np.ravel(weights)
    point = Point(lambda x: (np.asarray(f(x)), None), (value,))
    y = np.ravel(f(value))
    problem = Problem(point, value, gradient, y, weights, max(1.0, float(np.max(np.abs(y)))) * norm(weights))
    (u,) = best_direction(point, gradient, seed)
    judged = judge(problem, u, None)
    if judged[0] == "WRONG":  # must show at a tenth of the step as well
        closer = judge(problem, u, STEPS["five_point"] / 10.0)
        judged = closer if closer[0] != "WRONG" else judged
    verdict, numeric, analytic, message = judged
    looked_at = max(shown, searched) if verdict == "WRONG" else shown
    entries = [entry_slope(problem, flat) for flat in range(min(looked_at, value.size))]
    if verdict == "WRONG" and searched:
        message = message or worst_entry(problem, entries)
    size = norm(u) or 1.0
    return Comparison(numeric / size, analytic / size, abs(numeric - analytic) / size, verdict, message, entries[:shown])


def best_direction(point, gradient, seed):
    drawn = point.random_directions(seed, 0, CANDIDATES)
    with np.errstate(all="ignore"):
        return max(drawn, key=lambda u: np.nan_to_num(abs(np.sum(gradient * u[0]))))


def judge(problem, u, step):
    """(verdict, numeric, analytic, message) along u, which need not be of length 1."""
    weights = problem.weights
    with np.errstate(all="ignore"):
        slope = five_point(problem.point, [u], problem.y, weights, TOLERANCES["five_point"], step)
        numeric, analytic = float(weights @ slope.vector), float(np.sum(problem.gradient * u))
    error = abs(numeric - analytic)
    if not np.isfinite(error):
        return "WRONG", numeric, analytic, "NaN or infinite"
    if slope.kinked and error <= KINKS * slope.kink_size:
        left, right = (one / norm(u) for one in one_sided(problem.point, [u], problem.y, weights, slope.step))
        return "kink", numeric, analytic, f"a kink or a jump: slope {left:.3g} from left, {right:.3g} from right"
    if error <= TOLERANCE * max(abs(numeric), abs(analytic)):
        return "ok", numeric, analytic, ""
    if error <= rounding(problem, slope):
        return "rounding", numeric, analytic, "the difference is within rounding: too small to be checked"
    return "WRONG", numeric, analytic, ""


def rounding(problem, slope):
    """How large a difference the rounding of f, of the weights and of the stencil explains."""
    known = ROUNDINGS * EPSILON * (problem.level / slope.step + norm(slope.vector))
    return known + min(10.0 * slope.uncertainty, EXCUSED * problem.level)


def entry_slope(problem, flat):
    """The numerical derivative by one entry. A single stencil; the full search for a step only where that is in doubt."""
    u = np.zeros(problem.value.shape)
    index = np.unravel_index(flat, u.shape)
    u[index] = scale = float(entry_scales(problem.value)[index])
    analytic, weights = float(problem.gradient[index]) * scale, problem.weights
    with np.errstate(all="ignore"):
        slope = stencil(problem.point, [u], problem.y, weights, STEPS["five_point"])
        if not abs(weights @ slope.vector - analytic) <= TOLERANCE * abs(analytic) + 10.0 * slope.uncertainty:
            slope = five_point(problem.point, [u], problem.y, weights, TOLERANCES["five_point"])
    return float(weights @ slope.vector) / scale


def worst_entry(problem, entries):
    """ "worst entry [2, 1]: numeric 0.5, analytic 0.7" among those looked at."""
    if not entries:
        return ""
    analytic = problem.gradient.ravel()[: len(entries)]
    worst = int(np.argmax(np.nan_to_num(np.abs(np.array(entries) - analytic), nan=np.inf)))
    index = [int(i) for i in np.unravel_index(worst, problem.value.shape)]
    return f"worst entry {index}: numeric {entries[worst]:.6g}, analytic {analytic[worst]:.6g}"
