"""Sums and gathers of rows by kernels (segments.cu), for arrays of a device. engine/arrays/ragged.py is their NumPy twin."""

import numpy as np

from engine.arrays.backend import array_module
from engine.cuda.kernels import COLUMNS, LANES, KernelFile, blocks_of

FLAT_THREADS = 256
SHARED = 2 * LANES  # rows of a segment from where lanes share it
KERNELS = KernelFile(__file__, FLAT_THREADS=FLAT_THREADS, SHARED=SHARED)
THREADS = (COLUMNS, LANES)
CHUNK_ROWS = 128  # of a first stage of column sums: the same on every device, so that sums are too
LONG = 16  # rows of a segment on average, from where lanes share one


def gather_rows(x, rows):
    """x: (U, d), rows: (P,) integers → (P, d); NaN where x has no such row."""
    rows, n, d = rows.astype(np.int64, copy=False), len(rows), x.shape[1]
    y = array_module(x).empty((n, d), x.dtype)
    KERNELS.launch("gather_rows", x, (blocks_of(n, LANES), blocks_of(d, COLUMNS)), THREADS, x, rows, y, len(x), n, d)
    return y


def sum_segments(x, starts, order=None, accumulate=None):
    """x: (T, d), starts: (S + 1,), order: (T,) rows in the order of segments, None for their own → (S, d). accumulate: (S, d), added to it."""
    n, d = len(starts) - 1, x.shape[1]
    y = array_module(x).empty((n, d), x.dtype)
    if d == 1 and len(x) >= LONG * n:
        KERNELS.launch("sum_flat_segments", x, (n,), (FLAT_THREADS,), x, order, starts, accumulate, y)
    elif len(x) < LONG * n:
        KERNELS.launch(
            "sum_short_segments",
            x,
            (blocks_of(n, LANES), blocks_of(d, COLUMNS)),
            THREADS,
            x,
            order,
            starts,
            accumulate,
            y,
            n,
            d,
        )
    else:
        KERNELS.launch("sum_long_segments", x, (n, blocks_of(d, COLUMNS)), THREADS, x, order, starts, accumulate, y, d)
    return y


def max_segments(x, starts):
    """x: (T, d), starts: (S + 1,) → (S, d)."""
    n, d = len(starts) - 1, x.shape[1]
    y = array_module(x).empty((n, d), x.dtype)
    if d == 1 and len(x) >= LONG * n:
        KERNELS.launch("max_flat_segments", x, (n,), (FLAT_THREADS,), x, starts, y)
    else:
        KERNELS.launch("max_segments", x, (blocks_of(n, LANES), blocks_of(d, COLUMNS)), THREADS, x, starts, y, n, d)
    return y


def sum_columns(x):
    """x: (T, d) → (d,): the sum over all rows."""
    n, d = x.shape
    chunks = max(1, blocks_of(n, CHUNK_ROWS))
    partial = array_module(x).empty((chunks, d))
    KERNELS.launch("sum_columns", x, (chunks, blocks_of(d, COLUMNS)), THREADS, x, partial, n, d, CHUNK_ROWS)
    return finish_columns(partial, x.dtype)


def finish_columns(partial, dtype):
    """partial: (chunks, d) float64 → (d,): their sum, rounded once."""
    chunks, d = partial.shape
    y = array_module(partial).empty(d, dtype)
    KERNELS.launch("finish_columns", y, (1, blocks_of(d, COLUMNS)), THREADS, partial, y, chunks, d)
    return y
