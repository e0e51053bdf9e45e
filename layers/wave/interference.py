"""E5  Interference: the sum of two waves.

    Z = A + B            dA = dZ            dB = dZ

|Z|² = G_A² + G_B² + 2·G_A·G_B·cos(α_A − α_B): tokens in phase strengthen, tokens out of phase cancel. Smooth everywhere.
Source: Zhang & Sheng, arXiv 2411.02674. Derivation: layers/README.md, E5.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.checks import check_floats
from layers.costs import Flops
from layers.wave.wave import Wave


class Cache(NamedTuple):
    shape: tuple
    dtype: np.dtype


def interference_forward(a, b):
    """a, b: Wave of (T, d) → Z: Wave of (T, d), and the cache. Raises ValueError for differing shapes or dtypes."""
    check_floats("a.re", a.re, ("T", "d"))
    for name, part in zip(("a.im", "b.re", "b.im"), (a.im, *b)):
        check_floats(name, part, a.re.shape, like=a.re)
    return Wave(a.re + b.re, a.im + b.im), Cache(a.re.shape, a.re.dtype)


def interference_backward(dz, cache):
    """dz: Wave of (T, d) → (da, db), both dz itself."""
    for name, part in zip(("dz.re", "dz.im"), dz):
        check_floats(name, part, cache.shape, like=cache)
    return dz, dz


def interference_flops(rows, dimension):
    """Flops for waves of (T, d)."""
    return Flops(2 * rows * dimension, 0)
