"""E12  ReLU.

    y = max(x, 0)            dx = dy where x > 0, else 0          (kink at x = 0, where the slope 0 is taken)

Derivation: layers/README.md, E12.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.checks import check_floats
from layers.costs import Flops


class Cache(NamedTuple):
    positive: np.ndarray
    dtype: np.dtype


def relu_forward(x, bias=None):
    """x: (T, d) → y: (T, d), and the cache (one byte per entry). Raises ValueError for a wrong dtype or shape.

    bias: (d,), added to x first; its gradient is the sum of the rows of dx.
    """
    check_floats("x", x, ("T", "d"))
    if bias is not None:
        check_floats("bias", bias, (x.shape[1],), like=x)
        x = x + bias
    positive = x.real > 0
    return x * positive, Cache(positive, x.dtype)


def relu_backward(dy, cache):
    """dy: (T, d) → dx: (T, d)."""
    check_floats("dy", dy, cache.positive.shape, like=cache)
    return dy * cache.positive


def relu_flops(rows, dimension, bias=False):
    """Flops for (T, d). bias: whether forward adds one first."""
    return Flops((2 + bias) * rows * dimension, rows * dimension)
