"""Sums over all rows of an array by a function in C, for float32 on the host: in float64, row after row."""

from typing import Any

import numpy as np

from engine.compiled.c_file import CFile
from engine.types import Floats1d, Floats2d

FUNCTIONS = CFile(__file__, column_sums="Fiif")


def is_usable(x: Any) -> bool:
    """Whether the function computes on an array like this."""
    on_host = isinstance(x, np.ndarray) and x.dtype == np.float32 and x.flags.c_contiguous
    return on_host and FUNCTIONS.is_usable()


def column_sums(x: Floats2d) -> Floats1d:
    """x: (T, d) → (d,)."""
    sums = np.empty(x.shape[1], x.dtype)
    FUNCTIONS.call("column_sums", x, *x.shape, sums)
    return sums
