"""E19  Hyperbolic tangent.

    y = tanh x = (1 − a)/(1 + a)·sign x,   a = exp(−2|x|)            dx = dy·(1 − y²) = dy·4a/(1 + a)²

1 − y² loses all digits where |y| is near 1; from a the slope keeps them at any x, and underflows to 0 where it is below
the smallest number. Smooth everywhere; slope 1 at x = 0. Derivation: tanh.md.
"""

from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.checks import check_floats
from engine.types import Floats2d


class Cache(NamedTuple):
    slope: Floats2d


def tanh_forward(x: Floats2d) -> tuple[Floats2d, Cache]:
    """x: (T, d) → y: (T, d) in [−1, 1], and the cache. Raises ValueError for a wrong dtype or shape."""
    check_floats("x", x, ("T", "d"))
    xp = array_module(x)
    a = xp.exp(-x * xp.sign(x.real)) ** 2  # sign of the real part: for complex step; a square: 2x may overflow
    return xp.tanh(x), Cache(4 * a / (1 + a) ** 2)


def tanh_backward(dy: Floats2d, cache: Cache) -> Floats2d:
    """dy: (T, d) → dx: (T, d)."""
    check_floats("dy", dy, cache.slope.shape, like=cache.slope)
    return dy * cache.slope
