"""E12  ReLU.

    y = max(x, 0)            dx = dy where x > 0, else 0          (kink at x = 0, where the slope 0 is taken)

Derivation: relu.md.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.checks import check_floats
from engine.types import Array, Floats2d


class Cache(NamedTuple):
    positive: Array  # (T, d) bool
    dtype: np.dtype


def relu_forward(x: Floats2d) -> tuple[Floats2d, Cache]:
    """x: (T, d) → y: (T, d), and the cache (one byte per entry). Raises ValueError for a wrong dtype or shape."""
    check_floats("x", x, ("T", "d"))
    positive = x.real > 0
    return x * positive, Cache(positive, x.dtype)


def relu_backward(dy: Floats2d, cache: Cache) -> Floats2d:
    """dy: (T, d) → dx: (T, d)."""
    check_floats("dy", dy, cache.positive.shape, like=cache)
    return dy * cache.positive
