"""Sums and gathers of rows by kernels (segments.cu), for arrays of a device; on NumPy: engine/arrays/ragged.py."""

import numpy as np
import numpy.typing as npt

from engine.arrays.backend import array_module
from engine.cuda.kernels import COLUMNS, LANES, KernelFile, blocks_of
from engine.types import Floats1d, Floats2d, Ints1d, Offsets

FLAT_THREADS = 256
SHARED = 2 * LANES  # rows of a segment from where lanes share it
KERNELS = KernelFile(__file__, FLAT_THREADS=FLAT_THREADS, SHARED=SHARED)
THREADS = (COLUMNS, LANES)
CHUNK_ROWS = 128  # of a first stage of column sums: the same on every device, so that sums are too
LONG = 16  # rows of a segment on average, from where lanes share one


def gather_rows(x: Floats2d, rows: Ints1d) -> Floats2d:
    """x: (U, d), rows: (P,) integers → (P, d); NaN where x has no such row."""
    rows, n, d = rows.astype(np.int64, copy=False), len(rows), x.shape[1]
    y: Floats2d = array_module(x).empty((n, d), x.dtype)
    KERNELS.launch("gather_rows", x, blocks_for(n, d), THREADS, x, rows, y, len(x), n, d)
    return y


def sum_segments(
    x: Floats2d, starts: Offsets, order: Ints1d | None = None, accumulate: Floats2d | None = None
) -> Floats2d:
    """x: (T, d), starts: (S + 1,) → (S, d).

    order: (T,) rows in the order of segments, None for their own; accumulate: (S, d), added to the sums.
    """
    n, d = len(starts) - 1, x.shape[1]
    y: Floats2d = array_module(x).empty((n, d), x.dtype)
    arrays = (x, order, starts, accumulate, y)
    if d == 1 and len(x) >= LONG * n:
        KERNELS.launch("sum_flat_segments", x, (n,), (FLAT_THREADS,), *arrays)
    elif len(x) < LONG * n:
        KERNELS.launch("sum_short_segments", x, blocks_for(n, d), THREADS, *arrays, n, d)
    else:
        KERNELS.launch("sum_long_segments", x, (n, blocks_of(d, COLUMNS)), THREADS, *arrays, d)
    return y


def max_segments(x: Floats2d, starts: Offsets) -> Floats2d:
    """x: (T, d), starts: (S + 1,) → (S, d)."""
    n, d = len(starts) - 1, x.shape[1]
    y: Floats2d = array_module(x).empty((n, d), x.dtype)
    if d == 1 and len(x) >= LONG * n:
        KERNELS.launch("max_flat_segments", x, (n,), (FLAT_THREADS,), x, starts, y)
    else:
        KERNELS.launch("max_segments", x, blocks_for(n, d), THREADS, x, starts, y, n, d)
    return y


def sum_columns(x: Floats2d) -> Floats1d:
    """x: (T, d) → (d,): the sum over all rows."""
    n, d = x.shape
    chunks = max(1, blocks_of(n, CHUNK_ROWS))
    partial = array_module(x).empty((chunks, d))
    KERNELS.launch("sum_columns", x, (chunks, blocks_of(d, COLUMNS)), THREADS, x, partial, n, d, CHUNK_ROWS)
    return finish_columns(partial, x.dtype)


def finish_columns(partial: Floats2d, dtype: npt.DTypeLike) -> Floats1d:
    """partial: (chunks, d) float64 → (d,): their sum, rounded once."""
    chunks, d = partial.shape
    y: Floats1d = array_module(partial).empty(d, dtype)
    KERNELS.launch("finish_columns", y, (1, blocks_of(d, COLUMNS)), THREADS, partial, y, chunks, d)
    return y


def blocks_for(n: int, d: int) -> tuple[int, int]:
    """The grid in which each block has LANES of n rows and COLUMNS of d columns."""
    return blocks_of(n, LANES), blocks_of(d, COLUMNS)
