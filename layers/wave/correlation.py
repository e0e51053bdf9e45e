"""E20  Correlation: the product of a wave and the conjugate of another. Magnitudes multiply, phases are subtracted.

    Z = A·conj(B)              re = A.re·B.re + A.im·B.im        im = A.im·B.re − A.re·B.im

    dA = dZ·B                  dA.re = dZ.re·B.re − dZ.im·B.im   dA.im = dZ.re·B.im + dZ.im·B.re
    dB = conj(dZ)·A            dB.re = dZ.re·A.re + dZ.im·A.im   dB.im = dZ.re·A.im − dZ.im·A.re

The phase of Z is α_A − α_B, the angle in the interference term 2·G_A·G_B·cos(α_A − α_B) of E5; its real part is half
that term. |Z| = G_A·G_B is the same for every token of a text, as for a modulation. Smooth everywhere. Unit: the
product of those of A and B.
Source: follows from Zhang & Sheng, arXiv 2411.02674, Eq. 5.
Derivation: correlation.md.
"""

from typing import NamedTuple

from layers.wave.wave import Wave, check_pair, check_wave, times, times_conjugate


class Cache(NamedTuple):
    a: Wave
    b: Wave


def correlation_forward(a: Wave, b: Wave) -> tuple[Wave, Cache]:
    """a, b: Wave of (T, d) → Z: Wave of (T, d), and the cache. Raises ValueError for differing shapes or dtypes."""
    check_pair(a, b)
    return times_conjugate(a, b), Cache(a, b)


def correlation_backward(dz: Wave, cache: Cache) -> tuple[Wave, Wave]:
    """dz: Wave of (T, d) → (da, db), Waves of (T, d)."""
    a, b = cache
    check_wave("dz", dz, a.re)
    return times(dz, b), times_conjugate(a, dz)
