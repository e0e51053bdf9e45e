"""The complex value of the wave path: a pair of real arrays, and the little arithmetic that the equations share.

A global magnitude is taken in a scope: per dimension of a text, or over the whole text.
"""

from typing import NamedTuple

from engine.arrays.checks import check_choice, check_floats
from engine.types import Array, Floats2d, Offsets

SCOPES = ("dimension", "text")


class Wave(NamedTuple):
    """Z = re + i·im. re, im: (T, d), both float32 or both float64.

    Gradients are Waves too: dz.re = ∂L/∂re and dz.im = ∂L/∂im, that is dz = 2·∂L/∂z̄ in Wirtinger notation.
    """

    re: Floats2d
    im: Floats2d

    def as_complex(self) -> Array:
        """The same numbers as one complex64 or complex128 array (T, d)."""
        return self.re + 1j * self.im


def times(a: Wave, b: Wave) -> Wave:
    """a·b."""
    return Wave(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re)


def times_conjugate(a: Wave, b: Wave) -> Wave:
    """a·conj(b)."""
    return Wave(a.re * b.re + a.im * b.im, a.im * b.re - a.re * b.im)


def divide_or_zero(a: Array, b: Array) -> Array:
    """a / b for finite a, and 0 where b = 0; any shapes that broadcast.

    Products with a mask instead of where(): no branches, half the time.
    """
    zero = b == 0
    quotient: Array = a / (b + zero) * ~zero
    return quotient


def in_scope(x: Floats2d, offsets: Offsets, scope: str) -> tuple[Floats2d, Offsets]:
    """View (T, d) rows so that every equation is per column of a text: returns (rows, offsets).

    "dimension": unchanged, one magnitude per text and dimension, (B, d).
    "text": one magnitude per text, (B, 1). The n·d numbers of a text are then n·d rows of a single dimension, so the
    same equations hold and no second derivation is needed.
    """
    check_choice("scope", scope, SCOPES)
    return (x, offsets) if scope == "dimension" else (x.reshape(-1, 1), offsets * x.shape[1])


def check_pair(a: Wave, b: Wave) -> None:
    """Raise ValueError unless a and b are Waves of one shape (T, d) and one dtype."""
    check_floats("a.re", a.re, ("T", "d"))
    for name, part in zip(("a.im", "b.re", "b.im"), (a.im, *b)):
        check_floats(name, part, a.re.shape, like=a.re)


def check_wave(name: str, z: Wave, like: Floats2d) -> None:
    """Raise ValueError unless both parts of z have the shape and dtype of `like`."""
    for part, x in zip(("re", "im"), z):
        check_floats(f"{name}.{part}", x, like.shape, like=like)
