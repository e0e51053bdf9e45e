"""The noise of results, which shows a coarser type somewhere inside of a function."""

import numpy as np

from .arrays import Vector, norm
from .derivatives import SMALL_MOVE, Line
from .precision import NOISE_LIMITS


def noise_of(line: Line) -> float:
    """Estimate the noise of f relative to its size, from fourth differences at the finest two steps at which f moves.

    A smooth function's fall by 10⁴ from one to the other, those of a kink by 10, those of noise stay: only that counts.
    A result rounded to a coarser type is a staircase by fine steps, and noise by wider ones.
    """
    before, finer, size, stairs = 0.0, 0.0, 1.0, False
    for h in (1e-5, 1e-4, 1e-3, 1e-2):
        try:
            values = [line.at(k * h)[: line.size] for k in range(-6, 7)]
        except (ValueError, ArithmeticError):  # outside of the function's domain
            break
        size = max(norm(value) for value in values) or 1.0
        with np.errstate(all="ignore"):
            fourth = [np.sum([w * v for w, v in zip((1, -4, 6, -4, 1), values[k:])], axis=0) for k in range(9)]
            found = norm(np.concatenate(fourth)) / (9 * 70) ** 0.5
        if has_stairs(values):
            before, finer, stairs = finer, found, True
        elif stairs:
            return max(finer, found) / size if found <= SMALL_MOVE * size else 0.0
        elif finer:
            return finer / size if SMALL_MOVE * size >= finer > 0.2 * found else 0.0
        elif not found > NOISE_LIMITS[0] * size:  # too small to matter, or not finite
            return 0.0
        else:
            finer = found
    return finer / size if stairs and finer <= SMALL_MOVE * size and before > 0.3 * finer else 0.0


def has_stairs(values: list[Vector]) -> bool:
    """Tell whether all of a result, or an entry that moves, stays the same from one of these steps to the next."""
    rows = np.array(values)
    same = rows[1:] == rows[:-1]
    return bool(np.any(same.any(axis=0) & ~same.all(axis=0)) or same.all())
