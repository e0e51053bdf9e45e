"""Central differences, extrapolated to step 0, with an error estimate (Ridders).

    D(h) = (f(h) − f(−h)) / (2h) = J·u + c₁h² + c₂h⁴ + …
    T₀(h) = D(h),   Tₖ(h) = Tₖ₋₁(h) + (Tₖ₋₁(h) − Tₖ₋₁(2h))/(4ᵏ − 1)     cancels c₁ … cₖ

Steps are large, so rounding costs little; a jump of two neighbours in the table tells what an entry of it is worth.
Source: C. J. F. Ridders, Advances in Engineering Software 4 (1982) 75–76.
"""

import numpy as np

from .arrays import Vector, norm
from .derivatives import Line, Slope, five_point, kink_of

HALVINGS = 18  # of the step: from 0.1 down to 1e-6, which passes by a kink that is near


def richardson(line: Line, tolerance: float, step: float | None = None) -> Slope:
    """Return the extrapolated Slope with the smallest estimated error. step: the first, the others are halves of it.

    Kinks are looked for as the five-point method does.
    """
    precision, dy = line.precision, line.dy
    probes = []
    for factor in precision.shrink[:3]:
        try:
            probes.append(line.stencil(precision.steps["five_point"] * factor))
        except (ValueError, ArithmeticError):  # outside of the function's domain
            pass
    if kink_of(probes, precision):
        return line.ended(probes[-1]._replace(kinked=True))
    if not probes:
        return five_point(line, tolerance)
    h = precision.steps["richardson"] if step is None else step
    best = probes[0]._replace(uncertainty=np.inf)
    above: list[Vector] = []
    for _ in range(HALVINGS):
        row, level = table_row(line, h, above)
        for k in range(1, len(row)):
            steps = norm(dy * (row[k] - row[k - 1])), norm(dy * (row[k] - above[k - 1]))
            uncertainty = max(steps) + precision.epsilon * level / h
            if np.isfinite(uncertainty) and uncertainty < best.uncertainty:
                best = Slope(row[k], h, uncertainty, uncertainty / max(norm(dy), 1e-300), level=level)
        if best.uncertainty <= 0.01 * tolerance * line.size_of(best):
            break
        above, h = row, h / 2.0
    probe = min(probes, key=lambda slope: slope.uncertainty)
    apart = norm(dy * (best.vector - probe.vector))
    if not apart <= 10.0 * (best.uncertainty + probe.uncertainty):  # it agrees with itself, far from the point
        return five_point(line, tolerance)
    return line.ended(best)


def table_row(line: Line, h: float, above: list[Vector]) -> tuple[list[Vector], float]:
    """Return ([T₀(h), T₁(h), …], ‖dy·f‖), one row of the table below `above`.

    The row is empty where f cannot be had so far from the point.
    """
    try:
        with np.errstate(all="ignore"):
            left, right = line.at(-h), line.at(h)
            row = [(right - left) / (2.0 * h)]
    except (ValueError, ArithmeticError):
        return [], 0.0
    if not np.all(np.isfinite(row[0])):
        return [], 0.0
    for k, coarse in enumerate(above):
        row.append(row[k] + (row[k] - coarse) / (4.0 ** (k + 1) - 1.0))
    return row, norm(line.dy * np.maximum(np.abs(line.y), np.maximum(np.abs(left), np.abs(right))))
