"""E11  GELU: x·Φ(x), the exact form with the normal distribution function (not the tanh imitation).

    y = x·Φ(x)              dx = dy·(Φ(x) + x·φ(x)),    φ(x) = exp(−x²/2)/√(2π)

Φ comes from its upper tail Q(|x|) = exp(−x²/2)·r·F(r), r = 1/(1 + a|x|), so that y = max(x, 0) − |x|·Q(|x|): the tail
of negative x keeps its relative precision, and one exponential serves y and dx. F is the Chebyshev interpolant in r ∈
[0, 1] of exp(x²/2)·Q(x)/r, computed with 50 digits. Errors in float32 and float64 are at most 1.4e-7 and 4e-16 of
max(1, |x|) for y, 3e-7 and 8e-16 for the slope, and for −10 ≤ x ≤ −1 3e-6 and 7e-15 of y itself. Smooth everywhere.
Source: Hendrycks & Gimpel, arXiv 1606.08415.
Derivation: gelu.md.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.checks import check_floats
from engine.arrays.ragged import row_blocks
from engine.types import Floats2d


class TailPolynomial(NamedTuple):
    a: float
    coefficients: tuple[float, ...]  # of r⁰, r¹, …


SINGLE = TailPolynomial(0.35, (
    0.13962967342042026, 0.13965116202482045, 0.12192104853838666, 0.09489470304079732, 0.007597837803793487,
    0.10663708722319837, -0.2031698761908417, 0.11560021406240564, -0.022761799108825417,
))  # fmt: skip
DOUBLE = TailPolynomial(0.25, (
    0.09973557010035837, 0.09973557010016895, 0.09350209699924722, 0.08103514880003683, 0.06350357121361536,
    0.043243420634959874, 0.023417507796818848, 0.007014769730203454, -0.0018811332657998677, -0.012768478313686688,
    0.019388090575329496, -0.0748947343823938, 0.17618147225418188, -0.30652166576129825, 0.4134686221585176,
    -0.39399279413982763, 0.2395109968230048, -0.07365504645786036, -0.006257049602841441, 0.01481838121337293,
    -0.005253957723880294, 0.0006696412477729143,
))  # fmt: skip


class Cache(NamedTuple):
    slope: Floats2d


def gelu_forward(x: Floats2d) -> tuple[Floats2d, Cache]:
    """x: (T, d) → y: (T, d), and the cache (the slope dy/dx). Raises ValueError for a wrong dtype or shape."""
    check_floats("x", x, ("T", "d"))
    xp = array_module(x)
    y, slope = xp.empty_like(x), xp.empty_like(x)
    for rows in row_blocks(x):
        y[rows], slope[rows] = gelu_and_slope(x[rows], xp)
    return y, Cache(slope)


def gelu_backward(dy: Floats2d, cache: Cache) -> Floats2d:
    """dy: (T, d) → dx: (T, d)."""
    check_floats("dy", dy, cache.slope.shape, like=cache.slope)
    return dy * cache.slope


def gelu_and_slope(x: Floats2d, xp: Any) -> tuple[Floats2d, Floats2d]:
    """(y, dy/dx), from one exponential and one polynomial."""
    a, coefficients = SINGLE if x.dtype == np.float32 else DOUBLE
    size = x * xp.sign(x.real)  # |x|, analytic off 0
    bell = x * x
    bell *= -0.5
    xp.exp(bell, out=bell)
    r = 1 / (1 + a * size)
    tail = xp.full_like(r, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        tail *= r
        tail += coefficient
    tail *= r
    tail *= bell
    positive = x.real > 0
    y = x * positive
    y -= size * tail
    # Φ = 1 − Q for x > 0, else Q:   positive + (1 − 2·positive)·Q
    tail *= 1 - 2 * positive.astype(x.real.dtype)
    tail += positive
    bell *= x
    bell *= 1 / math.sqrt(2 * math.pi)
    return y, tail + bell
