"""Sums over rows of an array by functions in C, for float32 on the host: in float64, row after row."""

from typing import Any

import numpy as np

from engine.arrays.checks import check_ids, check_offsets
from engine.compiled.c_file import CFile
from engine.types import Floats1d, Floats2d, Ints1d, Offsets

FUNCTIONS = CFile(__file__, column_sums="Fiif", segment_sums="FIIii" + "df")


def is_usable(x: Any) -> bool:
    """Whether the functions compute on an array like this, two-dimensional."""
    return FUNCTIONS.takes(x) and x.ndim == 2


def column_sums(x: Floats2d) -> Floats1d:
    """x: (T, d) → (d,)."""
    sums = np.empty(x.shape[1], x.dtype)
    FUNCTIONS.call("column_sums", x, *x.shape, sums)
    return sums


def segment_sums(x: Floats2d, offsets: Offsets, order: Ints1d | None = None) -> Floats2d:
    """x: (T, d), offsets: (B + 1,) → (B, d). order: (T,), the rows one after the other; None: as they lie.

    ValueError for indices outside of x.
    """
    check_offsets(offsets, len(x) if order is None else len(order))
    if order is not None:
        check_ids(order, len(x), "order")
        order = np.ascontiguousarray(order, np.int64)
    y = np.empty((len(offsets) - 1, x.shape[1]), x.dtype)
    FUNCTIONS.call("segment_sums", x, order, np.ascontiguousarray(offsets), *y.shape, np.empty(x.shape[1]), y)
    return y
