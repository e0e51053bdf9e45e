"""E6  Modulation: the product of two waves. Magnitudes multiply, phases add.

    Z = A·B                    re = A.re·B.re − A.im·B.im        im = A.re·B.im + A.im·B.re

    dA = dZ·conj(B)            dA.re = dZ.re·B.re + dZ.im·B.im   dA.im = dZ.im·B.re − dZ.re·B.im
    dB = dZ·conj(A)            likewise

|Z| = G_A·G_B is the same for every token of a text: the magnitude readout of a modulation sees the text, not the token.
Smooth everywhere. Unit: the product of those of A and B. Source: Zhang & Sheng, arXiv 2411.02674, Eq. 6 and 7.
Derivation: modulation.md.
"""

from typing import NamedTuple

from layers.wave.wave import Wave, check_pair, check_wave, times, times_conjugate


class Cache(NamedTuple):
    a: Wave
    b: Wave


def modulation_forward(a: Wave, b: Wave) -> tuple[Wave, Cache]:
    """a, b: Wave of (T, d) → Z: Wave of (T, d), and the cache. Raises ValueError for differing shapes or dtypes."""
    check_pair(a, b)
    return times(a, b), Cache(a, b)


def modulation_backward(dz: Wave, cache: Cache) -> tuple[Wave, Wave]:
    """dz: Wave of (T, d) → (da, db), Waves of (T, d)."""
    a, b = cache
    check_wave("dz", dz, a.re)
    return times_conjugate(dz, b), times_conjugate(dz, a)
