"""E5  Interference: the sum of two waves.

    Z = A + B            dA = dZ            dB = dZ

|Z|² = G_A² + G_B² + 2·G_A·G_B·cos(α_A − α_B): tokens in phase strengthen, tokens out of phase weaken each
other. Smooth everywhere. Unit: that of A and B.
Source: Zhang & Sheng, arXiv 2411.02674, Eq. 3 and 4.
Derivation: interference.md.
"""

from typing import NamedTuple

from engine.types import Floats2d
from layers.wave.wave import Wave, check_pair, check_wave


class Cache(NamedTuple):
    like: Floats2d  # shape and dtype of each part


def interference_forward(a: Wave, b: Wave) -> tuple[Wave, Cache]:
    """a, b: Wave of (T, d) → Z: Wave of (T, d), and the cache. Raises ValueError for differing shapes or dtypes."""
    check_pair(a, b)
    return Wave(a.re + b.re, a.im + b.im), Cache(a.re)


def interference_backward(dz: Wave, cache: Cache) -> tuple[Wave, Wave]:
    """dz: Wave of (T, d) → (da, db), both dz itself."""
    check_wave("dz", dz, cache.like)
    return dz, dz
