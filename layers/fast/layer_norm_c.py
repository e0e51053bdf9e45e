"""Layer norm of a sum (E10, E21) by functions in C, for float32 on the host: in float64 between reading and writing.

Kept for backward: the inputs, which others hold too, and 16 bytes a row.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.checks import check_floats, check_ids
from engine.compiled.c_file import CFile
from engine.types import Floats1d, Floats2d, Ints1d

FUNCTIONS = CFile(__file__, forward="FIFIFF" + "iiR" + "ffd", backward="FIFIFD" + "ii" + "Ffdfff")


class Cache(NamedTuple):
    """inputs: x, x_rows, residual, residual_rows. statistics: (T, 2) float64, mean and reciprocal deviation."""

    inputs: tuple[Any, ...]
    gain: Floats1d
    statistics: Floats2d


def supports(
    x: Floats2d,
    gain: Floats1d,
    bias: Floats1d,
    epsilon: float,
    residual: Floats2d | None = None,
    x_rows: Ints1d | None = None,
    residual_rows: Ints1d | None = None,
) -> bool:
    """Whether these functions compute this. The equation reports what is wrong with wrong arguments."""
    indices = all(rows is None or getattr(rows, "dtype", None) == np.int64 for rows in (x_rows, residual_rows))
    return indices and FUNCTIONS.takes(x, gain, bias, residual) and x.ndim == 2 and x.shape[1] > 0


def forward(
    x: Floats2d,
    gain: Floats1d,
    bias: Floats1d,
    epsilon: float,
    residual: Floats2d | None = None,
    x_rows: Ints1d | None = None,
    residual_rows: Ints1d | None = None,
) -> tuple[Floats2d, Cache]:
    check_floats("x", x, ("T", "d"))
    n, d = len(x) if x_rows is None else len(x_rows), x.shape[1]
    check_floats("gain", gain, (d,), like=x)
    check_floats("bias", bias, (d,), like=x)
    residual_rows = None if residual is None else residual_rows
    if residual is not None:
        check_floats("residual", residual, (n if residual_rows is None else "R", d), like=x)
    for name, array, rows in (("x_rows", x, x_rows), ("residual_rows", residual, residual_rows)):
        if array is not None and rows is not None:
            check_ids(rows, len(array), name)
            if len(rows) != n:
                raise ValueError(f"{name}: expected {n} rows, got {len(rows)}")
    inputs = (x, contiguous(x_rows), residual, contiguous(residual_rows))
    y, statistics = np.empty((n, d), x.dtype), np.empty((n, 2))
    FUNCTIONS.call("forward", *inputs, gain, bias, n, d, epsilon, np.empty(d, x.dtype), y, statistics)
    return y, Cache(inputs, gain, statistics)


def backward(dy: Floats2d, cache: Cache) -> tuple[Floats2d, Floats1d, Floats1d]:
    inputs, gain, statistics = cache
    n, d = len(statistics), len(gain)
    check_floats("dy", dy, (n, d), like=gain)
    dx, dgain, dbias = np.empty((n, d), gain.dtype), np.empty_like(gain), np.empty_like(gain)
    scratch, dy = (np.empty(d, gain.dtype), np.empty(2 * d)), np.ascontiguousarray(dy)
    FUNCTIONS.call("backward", *inputs, gain, statistics, n, d, dy, *scratch, dx, dgain, dbias)
    return dx, dgain, dbias


def contiguous(rows: Ints1d | None) -> Ints1d | None:
    return None if rows is None else np.ascontiguousarray(rows)
