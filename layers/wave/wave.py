"""The complex value of the wave path: a pair of real arrays.

Quotients with the value 0 by convention where the divisor is 0.

Over what a global magnitude is taken: per dimension of a text, or over the whole text.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.checks import check_choice


class Wave(NamedTuple):
    """Z = re + i·im. re, im: (T, d), both float32 or both float64.

    Gradients are Waves too: dz.re = ∂L/∂re and dz.im = ∂L/∂im, that is dz = 2·∂L/∂z̄ in Wirtinger notation.
    """

    re: np.ndarray
    im: np.ndarray

    def as_complex(self):
        """The same numbers as one complex64 or complex128 array (T, d)."""
        return self.re + 1j * self.im


def divide_or_zero(a, b):
    """a / b for finite a, and 0 where b = 0; any shapes that broadcast. Products with a mask, not where(): no branches, half the time."""
    zero = b == 0
    return a / (b + zero) * ~zero


SCOPES = ("dimension", "text")


def in_scope(x, offsets, scope):
    """View (T, d) rows so that every equation is per column of a text: returns (rows, offsets).

    "dimension": unchanged, one magnitude per text and dimension, (B, d).
    "text": one magnitude per text, (B, 1). The n·d numbers of a text are then n·d rows of a single dimension, so the
    same equations hold and no second derivation is needed.
    """
    check_choice("scope", scope, SCOPES)
    if scope == "dimension":
        return x, offsets
    return x.reshape(-1, 1), offsets * x.shape[1]
