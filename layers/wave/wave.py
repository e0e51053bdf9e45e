"""The complex value of the wave path: a pair of real arrays."""

from typing import NamedTuple

import numpy as np


class Wave(NamedTuple):
    """Z = re + i·im. re, im: (T, d), both float32 or both float64.

    Gradients are Waves too: dz.re = ∂L/∂re and dz.im = ∂L/∂im, that is dz = 2·∂L/∂z̄ in Wirtinger notation.
    """

    re: np.ndarray
    im: np.ndarray

    def as_complex(self):
        """The same numbers as one complex64 or complex128 array (T, d)."""
        return self.re + 1j * self.im
