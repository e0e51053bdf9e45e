"""E13  Dropout: entries are dropped with probability p and the rest scaled up, so that the mean stays.

    y = x·m/(1 − p),   m ∈ {0, 1} with P(m = 0) = p            dx = dy·m/(1 − p)

Linear in x for a given mask. Source: Srivastava et al. 2014. Derivation: layers/README.md, E13.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.checks import check_floats
from layers.costs import Flops


class Cache(NamedTuple):
    scaled_mask: np.ndarray | None
    shape: tuple
    dtype: np.dtype


def dropout_forward(x, rate, rng):
    """x: (T, d), rate p in [0, 1), rng: a generator of x's device or of the host, or None to predict → y: (T, d), and the cache.

    Raises ValueError for a rate outside [0, 1).
    """
    check_floats("x", x, ("T", "d"))
    if not 0 <= rate < 1:
        raise ValueError(f"rate: must lie in [0, 1), got {rate}")
    if rng is None or rate == 0:
        return x, Cache(None, x.shape, x.dtype)
    real = x.real.dtype
    scaled_mask = (array_module(x).asarray(rng.random(x.shape, dtype=np.float32)) >= rate) * real.type(1 / (1 - rate))
    return x * scaled_mask, Cache(scaled_mask, x.shape, x.dtype)


def dropout_backward(dy, cache):
    """dy: (T, d) → dx: (T, d)."""
    check_floats("dy", dy, cache.shape, like=cache)
    return dy if cache.scaled_mask is None else dy * cache.scaled_mask


def dropout_flops(rows, dimension, rate):
    """Flops for (T, d) in training; none at rate 0."""
    return Flops(3 * rows * dimension, rows * dimension) if rate else Flops(0, 0)
