"""E7  Readouts: a wave read back as real numbers.

    real        y = re                            dre = dy                    dim = 0
    imaginary   y = im                            dre = 0                     dim = dy
    magnitude   y = ρ = sqrt(re² + im²)           dre = dy·re/ρ               dim = dy·im/ρ            (0 at ρ = 0)
    phase       y = atan2(im, re) ∈ [−π, π]       dre = −dy·(im/ρ)/ρ          dim = dy·(re/ρ)/ρ        (0 at ρ = 0)
    both        y = [re, im], (T, 2d)             dre = dy[:, :d]             dim = dy[:, d:]

Singular points: the magnitude has the tip of a cone at 0, where the subgradient 0 is taken. The phase is unbounded near
0 and jumps from π to −π on the negative real axis; the phases of a modulation, in [0, 2π], cross that jump. Its
backward is finite while dy/ρ is. Units: those of Z, radians for the phase.
The phase refuses complex128 (atan2 is not defined there) and is checked by five-point differences.
Source: left open by Zhang & Sheng, arXiv 2411.02674. Derivation: readout.md.
"""

from collections.abc import Callable
from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.checks import REAL, check_choice, check_floats
from engine.types import Floats2d
from layers.wave.wave import Wave, divide_or_zero


class Readout(NamedTuple):
    """How a wave becomes real numbers.

    forward: Z → y, (T, width·d). backward: (dy, Z, y) → dZ. analytic: whether a complex step passes through.
    flops: operations of forward and of backward per entry of Z.
    """

    name: str
    forward: Callable[[Wave], Floats2d]
    backward: Callable[[Floats2d, Wave, Floats2d], Wave]
    latex: str
    latex_backward: str
    width: int = 1
    analytic: bool = True
    flops: tuple[int, int] = (0, 0)


class Cache(NamedTuple):
    z: Wave
    y: Floats2d
    kind: str


def readout_forward(z: Wave, kind: str) -> tuple[Floats2d, Cache]:
    """z: Wave of (T, d), kind: a key of READOUTS → y: (T, d), for "both" (T, 2d), and the cache.

    Raises ValueError for a wrong dtype, shape or kind.
    """
    check_choice("kind", kind, READOUTS)
    check_floats("z.re", z.re, ("T", "d"))
    check_floats("z.im", z.im, z.re.shape, like=z.re)
    readout = READOUTS[kind]
    if not readout.analytic and z.re.dtype not in REAL:
        raise ValueError(f"z.re: expected dtype float32 or float64, got {z.re.dtype} ({kind} has no complex form)")
    y = readout.forward(z)
    return y, Cache(z, y, kind)


def readout_backward(dy: Floats2d, cache: Cache) -> Wave:
    """dy: the shape of y → dz: Wave of (T, d)."""
    z, y, kind = cache
    check_floats("dy", dy, y.shape, like=z.re)
    array_module(dy, *z)  # raises where they lie on two devices
    return READOUTS[kind].backward(dy, z, y)


def real_backward(dy: Floats2d, z: Wave, y: Floats2d) -> Wave:
    return Wave(dy, array_module(dy).zeros_like(dy))


def imaginary_backward(dy: Floats2d, z: Wave, y: Floats2d) -> Wave:
    return Wave(array_module(dy).zeros_like(dy), dy)


def modulus(z: Wave) -> Floats2d:
    """sqrt(re² + im²) as larger·sqrt(1 + (smaller/larger)²): the squares of neither over- nor underflow.

    Faster than hypot, and analytic: comparisons select by real part, so that a complex step passes through.
    """
    xp = array_module(*z)
    re_is_larger = abs(z.re.real) >= abs(z.im.real)
    larger, smaller = xp.where(re_is_larger, z.re, z.im), xp.where(re_is_larger, z.im, z.re)
    sign = xp.sign(larger.real)
    rho: Floats2d = larger * sign * xp.sqrt(1 + divide_or_zero(smaller, larger) ** 2)
    return rho


def magnitude_backward(dy: Floats2d, z: Wave, rho: Floats2d) -> Wave:
    return Wave(dy * divide_or_zero(z.re, rho), dy * divide_or_zero(z.im, rho))


def phase(z: Wave) -> Floats2d:
    alpha: Floats2d = array_module(*z).arctan2(z.im, z.re)
    return alpha


def phase_backward(dy: Floats2d, z: Wave, y: Floats2d) -> Wave:
    rho = modulus(z)
    over_rho = divide_or_zero(dy, rho)
    return Wave(-over_rho * divide_or_zero(z.im, rho), over_rho * divide_or_zero(z.re, rho))


def both(z: Wave) -> Floats2d:
    y: Floats2d = array_module(*z).concatenate(z, axis=1)
    return y


def both_backward(dy: Floats2d, z: Wave, y: Floats2d) -> Wave:
    d = z.re.shape[1]
    return Wave(dy[:, :d], dy[:, d:])


READOUTS: dict[str, Readout] = {
    "real": Readout(
        "real",
        lambda z: z.re,
        real_backward,
        r"y = \mathrm{re}",
        r"d\mathrm{re} = dy, \quad d\mathrm{im} = 0",
    ),
    "imaginary": Readout(
        "imaginary",
        lambda z: z.im,
        imaginary_backward,
        r"y = \mathrm{im}",
        r"d\mathrm{re} = 0, \quad d\mathrm{im} = dy",
    ),
    "magnitude": Readout(
        "magnitude",
        modulus,
        magnitude_backward,
        r"y = \rho = \sqrt{\mathrm{re}^2 + \mathrm{im}^2}",
        r"d\mathrm{re} = dy\,\frac{\mathrm{re}}{\rho}, \quad d\mathrm{im} = dy\,\frac{\mathrm{im}}{\rho}",
        flops=(15, 10),
    ),
    "phase": Readout(
        "phase",
        phase,
        phase_backward,
        r"y = \mathrm{atan2}(\mathrm{im}, \mathrm{re})",
        r"d\mathrm{re} = -dy\,\frac{\mathrm{im}}{\rho^2}, \quad d\mathrm{im} = dy\,\frac{\mathrm{re}}{\rho^2}",
        analytic=False,
        flops=(1, 30),
    ),
    "both": Readout(
        "both",
        both,
        both_backward,
        r"y = [\mathrm{re}, \mathrm{im}]",
        r"[d\mathrm{re}, d\mathrm{im}] = dy",
        width=2,
    ),
}
