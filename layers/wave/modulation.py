"""E6  Modulation: the product of two waves. Magnitudes multiply, phases add.

    Z = A·B                    re = A.re·B.re − A.im·B.im        im = A.re·B.im + A.im·B.re

    dA = dZ·conj(B)            dA.re = dZ.re·B.re + dZ.im·B.im   dA.im = dZ.im·B.re − dZ.re·B.im
    dB = dZ·conj(A)            likewise

|Z| = G_A·G_B is the same for every token of a text: the magnitude readout of a modulation sees the text, not the token.
Smooth everywhere. Unit: the product of those of A and B. Source: Zhang & Sheng, arXiv 2411.02674.
Derivation: layers/README.md, E6.
"""

from typing import NamedTuple

from engine.arrays.checks import check_floats
from layers.costs import Flops
from layers.wave.wave import Wave


class Cache(NamedTuple):
    a: Wave
    b: Wave


def modulation_forward(a, b):
    """a, b: Wave of (T, d) → Z: Wave of (T, d), and the cache. Raises ValueError for differing shapes or dtypes."""
    check_floats("a.re", a.re, ("T", "d"))
    for name, part in zip(("a.im", "b.re", "b.im"), (a.im, *b)):
        check_floats(name, part, a.re.shape, like=a.re)
    return Wave(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re), Cache(a, b)


def modulation_backward(dz, cache):
    """dz: Wave of (T, d) → (da, db), Waves of (T, d)."""
    a, b = cache
    for name, part in zip(("dz.re", "dz.im"), dz):
        check_floats(name, part, a.re.shape, like=a.re)
    return times_conjugate(dz, b), times_conjugate(dz, a)


def times_conjugate(dz, z):
    """dz·conj(z)."""
    return Wave(dz.re * z.re + dz.im * z.im, dz.im * z.re - dz.re * z.im)


def modulation_flops(rows, dimension):
    """Flops for waves of (T, d)."""
    return Flops(6 * rows * dimension, 12 * rows * dimension)
