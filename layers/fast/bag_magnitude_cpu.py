"""The magnitude of a modulation (E17) over a bag by matrix products, on NumPy or CuPy.

    G_A,tk = sqrt(Σ_u c_tu·a_uk²)
    da_uk = a_uk · Σ_t c_tu·dy_tk·G_B,tk/G_A,tk        (0 where the divisor is 0)

c_tu: how often row u stands in text t. The sums over tokens are products with C = (c_tu), taken in float64. Each
partial derivative is at most √c·G_B or √c·G_A. In float64 numbers below 1.5e-154 of their column's largest lose digits,
and backward is right while dy·G_B and dy·G_A neither over- nor underflow. A NaN or an infinity in a row spoils its
column in every text of the batch.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.bag import Bag, count_matrix
from engine.arrays.checks import check_floats
from engine.types import Floats1d, Floats2d
from layers.equations import with_biases
from layers.wave.wave import divide_or_zero

BLOCK_ENTRIES = 1 << 19  # computed in float64 at a time: 4 MiB


class Cache(NamedTuple):
    a: Floats2d
    b: Floats2d
    G_a: Floats2d
    G_b: Floats2d
    counts: Floats2d  # C: (B, U)


def supports(
    a: Floats2d,
    b: Floats2d,
    bag: Bag,
    bias_a: Floats1d | None = None,
    bias_b: Floats1d | None = None,
    second: Bag | None = None,
) -> bool:
    return second is None


def forward(
    a: Floats2d,
    b: Floats2d,
    bag: Bag,
    bias_a: Floats1d | None = None,
    bias_b: Floats1d | None = None,
    second: Bag | None = None,
) -> tuple[Floats2d, Cache]:
    a, b = with_biases(a, b, bias_a, bias_b)
    counts = count_matrix(bag, len(a))
    G_a, G_b = magnitudes(a, counts), magnitudes(b, counts)
    return (G_a * G_b).astype(a.dtype, copy=False), Cache(a, b, G_a, G_b, counts)


def magnitudes(x: Floats2d, counts: Floats2d) -> Floats2d:
    """G: (B, d) in float64.

    Squares of float32 fit into it as they are; float64 is scaled by the largest number of each column.
    """
    xp = array_module(x)
    if x.dtype == np.float32:
        G = xp.empty((len(counts), x.shape[1]))
        size = max(1, BLOCK_ENTRIES // max(1, len(x)))
        for first in range(0, x.shape[1], size):  # columns at a time: their squares take twice the memory of x
            squares = x[:, first : first + size].astype(np.float64)
            squares *= squares
            G[:, first : first + size] = counts @ squares
        return xp.sqrt(G)
    scale = abs(x.real).max(axis=0) if len(x) else xp.ones(x.shape[1])
    scale = scale + (scale == 0)
    return scale * xp.sqrt(counts @ (x / scale) ** 2)


def backward(dy: Floats2d, cache: Cache) -> tuple[Floats2d, Floats2d]:
    a, b, G_a, G_b, counts = cache
    check_floats("dy", dy, G_a.shape, like=a)
    da = slopes(a, divide_or_zero(dy * G_b, G_a), counts, dy.dtype)
    return da, slopes(b, divide_or_zero(dy * G_a, G_b), counts, dy.dtype)


def slopes(x: Floats2d, h: Floats2d, counts: Floats2d, dtype: np.dtype) -> Floats2d:
    """x·(Cᵀ·h): (U, d) in `dtype`, with h (B, d); some rows at a time, since the sums are in float64."""
    dx = array_module(x).empty(x.shape, dtype)
    size = max(1, BLOCK_ENTRIES // max(1, x.shape[1]))
    for first in range(0, len(x), size):
        rows = slice(first, first + size)
        dx[rows] = (counts[:, rows].T @ h) * x[rows]
    return dx
