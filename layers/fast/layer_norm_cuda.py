"""E10 by kernels (layer_norm.cu). Kept for backward: the inputs, which others hold too, and 16 bytes a row."""

from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.checks import check_floats
from engine.cuda.kernels import COLUMNS, LANES, KernelFile, blocks_of
from engine.cuda.segments import CHUNK_ROWS, THREADS, finish_columns

KERNELS = KernelFile(__file__, KEPT=24)  # 24 numbers for each of 32 threads: rows of up to 768 are read once
EPSILON = 1e-5


class Cache(NamedTuple):
    inputs: tuple  # x, x_rows, x_bias, residual, residual_rows
    gain: object
    statistics: object  # (P, 2) float64: mean and reciprocal deviation
    dtype: object


def forward(x, gain, bias, epsilon=EPSILON, residual=None, x_rows=None, residual_rows=None, x_bias=None):
    xp, d = array_module(x), x.shape[1]
    n = len(x if x_rows is None else x_rows)
    y, statistics = xp.empty((n, d), x.dtype), xp.empty((n, 2))
    inputs = (x, x_rows, x_bias, residual, residual_rows)
    KERNELS.launch(
        "layer_norm_forward", x, (blocks_of(n, LANES),), THREADS, *inputs, gain, bias, y, statistics, n, d, epsilon
    )
    return y, Cache(inputs, gain, statistics, x.dtype)


def backward(dy, cache):
    inputs, gain, statistics, _ = cache
    n, d = len(statistics), len(gain)
    check_floats("dy", dy, (n, d), like=cache)
    xp = array_module(dy, gain)
    dx, chunks = xp.empty((n, d), dy.dtype), max(1, blocks_of(n, CHUNK_ROWS))
    KERNELS.launch("layer_norm_backward", dy, (blocks_of(n, LANES),), THREADS, dy, *inputs, gain, statistics, dx, n, d)
    partial = xp.empty((chunks, 2 * d))
    KERNELS.launch(
        "layer_norm_parameters",
        dy,
        (chunks, blocks_of(d, COLUMNS)),
        THREADS,
        dy,
        *inputs,
        statistics,
        partial,
        n,
        d,
        CHUNK_ROWS,
    )
    both = finish_columns(partial, dy.dtype)
    return dx, both[:d], both[d:]
