"""E13  Dropout: entries are dropped with probability θ and the rest scaled up, so that the mean stays.

    y = x·m/(1 − θ),   m ∈ {0, 1} with P(m = 0) = θ            dx = dy·m/(1 − θ)

Linear in x for a given mask.
Source: Srivastava et al. 2014.
Derivation: dropout.md.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.checks import check_floats
from engine.types import Floats2d


class Cache(NamedTuple):
    scaled_mask: Floats2d | None
    shape: tuple[int, ...]
    dtype: np.dtype


def dropout_mask(x: Floats2d, shape: tuple[int, ...], rate: float, rng: Any) -> Floats2d | None:
    """m/(1 − θ) of a shape, like x in dtype and device; None where nothing is dropped.

    Raises ValueError for θ outside [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate: must lie in [0, 1), got {rate}")
    if rng is None or rate == 0:
        return None
    kept = array_module(x).asarray(rng.random(shape, dtype=np.float32)) >= rate
    mask: Floats2d = kept * x.real.dtype.type(1 / (1 - rate))
    return mask


def dropout_forward(x: Floats2d, rate: float, rng: Any) -> tuple[Floats2d, Cache]:
    """x: (T, d), rate θ in [0, 1) → y: (T, d), and the cache.

    rng: a generator of x's device or of the host, or None to predict. Raises ValueError for a rate outside [0, 1).
    """
    check_floats("x", x, ("T", "d"))
    mask = dropout_mask(x, x.shape, rate, rng)
    return x if mask is None else x * mask, Cache(mask, x.shape, x.dtype)


def dropout_backward(dy: Floats2d, cache: Cache) -> Floats2d:
    """dy: (T, d) → dx: (T, d)."""
    check_floats("dy", dy, cache.shape, like=cache)
    return dy if cache.scaled_mask is None else dy * cache.scaled_mask
