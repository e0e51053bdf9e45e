"""E21  Residual: the input of a part is added to its output.

    y = f + x            df = dy            dx = dy + (what comes back through f)

Smooth everywhere.
Source: He et al., arXiv 1512.03385.
Derivation: residual.md.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.checks import check_floats
from engine.types import Floats2d


class Cache(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def residual_forward(f: Floats2d, x: Floats2d) -> tuple[Floats2d, Cache]:
    """f, x: (T, d) → y: (T, d), and the cache. Raises ValueError for differing shapes or dtypes."""
    check_floats("f", f, ("T", "d"))
    check_floats("x", x, f.shape, like=f)
    return f + x, Cache(x.shape, x.dtype)


def residual_backward(dy: Floats2d, cache: Cache) -> tuple[Floats2d, Floats2d]:
    """dy: (T, d) → (df, dx), both dy itself; the gradient of x through f is added by whoever computes f."""
    check_floats("dy", dy, cache.shape, like=cache)
    return dy, dy
