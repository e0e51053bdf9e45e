"""Layer norm of a sum (E10, E21) by kernels (layer_norm_cuda.cu).

Kept for backward: the inputs, which others hold too, and 16 bytes a row.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.checks import check_floats
from engine.cuda.kernels import COLUMNS, LANES, KernelFile, blocks_of, fits
from engine.cuda.segments import CHUNK_ROWS, THREADS, finish_columns
from engine.types import Floats1d, Floats2d, Ints1d

KERNELS = KernelFile(__file__, KEPT=24)  # 24 numbers for each of 32 threads: rows of up to 768 are read once


class Cache(NamedTuple):
    inputs: tuple[Floats2d | Ints1d | None, ...]  # x, x_rows, residual, residual_rows
    gain: Floats1d
    statistics: Floats2d  # (T, 2) float64: mean and reciprocal deviation
    dtype: np.dtype


def supports(
    x: Floats2d,
    gain: Floats1d,
    bias: Floats1d,
    epsilon: float,
    residual: Floats2d | None = None,
    x_rows: Ints1d | None = None,
    residual_rows: Ints1d | None = None,
) -> bool:
    """Whether shapes and dtypes fit. The equation reports what is wrong where they do not."""
    if x.ndim != 2 or not all(fits(vector, x.shape[1:], x) for vector in (gain, bias)):
        return False
    n = len(x if x_rows is None else x_rows)
    if residual is None or residual_rows is None:
        return residual is None or fits(residual, (n, x.shape[1]), x)
    return len(residual_rows) == n and fits(residual, (len(residual), x.shape[1]), x)


def forward(
    x: Floats2d,
    gain: Floats1d,
    bias: Floats1d,
    epsilon: float,
    residual: Floats2d | None = None,
    x_rows: Ints1d | None = None,
    residual_rows: Ints1d | None = None,
) -> tuple[Floats2d, Cache]:
    xp, d = array_module(x), x.shape[1]
    n = len(x if x_rows is None else x_rows)
    y, statistics = xp.empty((n, d), x.dtype), xp.empty((n, 2))
    inputs, blocks = (x, x_rows, residual, residual_rows), (blocks_of(n, LANES),)
    KERNELS.launch("layer_norm_forward", x, blocks, THREADS, *inputs, gain, bias, y, statistics, n, d, epsilon)
    return y, Cache(inputs, gain, statistics, x.dtype)


def backward(dy: Floats2d, cache: Cache) -> tuple[Floats2d, Floats1d, Floats1d]:
    inputs, gain, statistics, _ = cache
    n, d = len(statistics), len(gain)
    check_floats("dy", dy, (n, d), like=cache)
    xp = array_module(dy, gain)
    dx, chunks = xp.empty((n, d), dy.dtype), max(1, blocks_of(n, CHUNK_ROWS))
    KERNELS.launch("layer_norm_backward", dy, (blocks_of(n, LANES),), THREADS, dy, *inputs, gain, statistics, dx, n, d)
    partial, blocks = xp.empty((chunks, 2 * d)), (chunks, blocks_of(d, COLUMNS))
    sizes = (n, d, CHUNK_ROWS)
    KERNELS.launch("layer_norm_parameters", dy, blocks, THREADS, dy, *inputs, statistics, partial, *sizes)
    both = finish_columns(partial, dy.dtype)
    return dx, both[:d], both[d:]
