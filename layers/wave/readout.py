"""E7  Readouts: a wave read back as real numbers.

    real        y = re                            dre = dy                    dim = 0
    imaginary   y = im                            dre = 0                     dim = dy
    magnitude   y = ρ = sqrt(re² + im²)           dre = dy·re/ρ               dim = dy·im/ρ            (0 at ρ = 0)
    phase       y = atan2(im, re) ∈ [−π, π]       dre = −dy·(im/ρ)/ρ          dim = dy·(re/ρ)/ρ        (0 at ρ = 0)
    both        y = [re, im], (T, 2d)             dre = dy[:, :d]             dim = dy[:, d:]

Singular points: the magnitude has the tip of a cone at 0, where the subgradient 0 is taken. The phase is unbounded near 0
and jumps from π to −π on the negative real axis; the phases of a modulation, in [0, 2π], cross that jump.
Its backward is finite while dy/ρ is.
Units: those of Z, radians for the phase. Source: left open by Zhang & Sheng, arXiv 2411.02674; layers/README.md, E7.
The phase refuses complex128 (atan2 is not defined there) and is checked by five-point differences.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.checks import REAL, check_choice, check_floats
from layers.costs import Flops
from layers.wave.wave import Wave, divide_or_zero

READOUTS = ("real", "imaginary", "magnitude", "phase", "both")


class Cache(NamedTuple):
    z: Wave
    y: np.ndarray
    kind: str


def readout_forward(z, kind):
    """z: Wave of (T, d) → y: (T, d), for "both" (T, 2d), and the cache. Raises ValueError for a wrong dtype, shape or kind."""
    check_choice("kind", kind, READOUTS)
    check_floats("z.re", z.re, ("T", "d"))
    check_floats("z.im", z.im, z.re.shape, like=z.re)
    xp = array_module(*z)
    if kind == "magnitude":
        y = modulus(z)
    elif kind == "phase":
        if z.re.dtype not in REAL:
            raise ValueError(f"z.re: expected dtype float32 or float64, got {z.re.dtype} (atan2 has no complex form)")
        y = xp.arctan2(z.im, z.re)
    elif kind == "both":
        y = xp.concatenate(z, axis=1)
    else:
        y = z.re if kind == "real" else z.im
    return y, Cache(z, y, kind)


def readout_backward(dy, cache):
    """dy: the shape of y → dz: Wave of (T, d)."""
    z, y, kind = cache
    check_floats("dy", dy, y.shape, like=z.re)
    xp = array_module(dy, *z)
    if kind == "real":
        return Wave(dy, xp.zeros_like(dy))
    if kind == "imaginary":
        return Wave(xp.zeros_like(dy), dy)
    if kind == "both":
        d = z.re.shape[1]
        return Wave(dy[:, :d], dy[:, d:])
    rho = y if kind == "magnitude" else modulus(z)
    cos, sin = divide_or_zero(z.re, rho), divide_or_zero(z.im, rho)
    if kind == "magnitude":
        return Wave(dy * cos, dy * sin)
    over_rho = divide_or_zero(dy, rho)
    return Wave(-over_rho * sin, over_rho * cos)


def modulus(z):
    """sqrt(re² + im²) as larger·sqrt(1 + (smaller/larger)²): the squares of neither over- nor underflow.

    Faster than hypot, and analytic: comparisons select by real part, so that a complex step passes through.
    """
    xp = array_module(*z)
    re_is_larger = abs(z.re.real) >= abs(z.im.real)
    larger, smaller = xp.where(re_is_larger, z.re, z.im), xp.where(re_is_larger, z.im, z.re)
    sign = xp.sign(larger.real)
    return larger * sign * xp.sqrt(1 + divide_or_zero(smaller, larger) ** 2)


def readout_flops(entries, dimension, kind):
    """Flops for a wave of (T, d): the magnitude and the phase compute, the others copy."""
    forward, backward = {"magnitude": (15, 10), "phase": (1, 30)}.get(kind, (0, 0))
    return Flops(forward * entries * dimension, backward * entries * dimension)
