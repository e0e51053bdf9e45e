"""Central differences, extrapolated to step 0 (Richardson), with an error estimate (Ridders).

    D(h) = (f(h) − f(−h)) / (2h) = J·u + c₁h² + c₂h⁴ + …            f(t) standing for f(x + t·u)
    T₀(h) = D(h),   Tₖ(h) = Tₖ₋₁(h) + (Tₖ₋₁(h) − Tₖ₋₁(2h))/(4ᵏ − 1)     cancels c₁ … cₖ

Steps are large, so rounding costs little; a jump of two neighbours in the table tells what an entry of it is worth.
Source: C. J. F. Ridders, Advances in Engineering Software 4 (1982) 75–76.
"""

import numpy as np

from engine.gradcheck.slopes import EPSILON, STEPS, Slope, along, is_kinked, stencil
from engine.gradcheck.trees import norm

LEVELS = 18  # halvings of the step: from 0.1 down to 1e-6, which passes by a kink that is near


def richardson(point, direction, y, dy, tolerance, step=None):
    """The Slope with the smallest estimated error. y, dy: real vectors; step: the first, the others are halves of it.

    Kinks are looked for as the five-point method does.
    """
    probes = [stencil(point, direction, y, dy, STEPS["five_point"] * factor) for factor in (1.0, 1e-1, 1e-2)]
    if is_kinked(probes):
        return probes[-1]._replace(kinked=True)
    h = STEPS["richardson"] if step is None else step
    best, above = probes[0]._replace(uncertainty=np.inf), []
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


def table_row(point, direction, y, dy, h, above):
    """([T₀(h), T₁(h), …], ‖dy·f‖): one row of the table below `above`; empty where f cannot be had so far from the point."""
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
