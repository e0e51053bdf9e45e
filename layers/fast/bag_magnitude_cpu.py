"""The magnitude of a modulation (E17) over a bag by matrix products, on NumPy or CuPy.

    G_A,tk = sqrt(Σ_u c_tu·a_uk²)          of a segment t; G_B of the same, or of a text of several segments
    da_uk = a_uk · Σ_t c_tu·dy_tk·G_B,tk/G_A,tk        (0 where the divisor is 0)

c_tu: how often row u stands in text t. The sums over tokens are products with C = (c_tu), taken in float64. In float32
on the host its zeros are left out (BagSums), so that time and memory grow with the entries; where every entry has a row
of its own, and counts once, sums go from text to text instead. Each partial derivative is at most
√c·G_B or √c·G_A. In float64 numbers below 1.5e-154 of their column's largest lose digits, and backward is right while
dy·G_B and dy·G_A neither over- nor underflow. A NaN or an infinity in a row may spoil its column in other texts of the
batch.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.bag import Bag
from engine.arrays.bag_sums import count_matrix, row_sums, text_groups
from engine.arrays.checks import check_floats
from engine.arrays.ragged import cut_in_segments, nonempty, row_blocks, segment_sum, spread
from engine.types import Floats1d, Floats2d, Offsets
from layers.equations import with_biases
from layers.wave.global_magnitude import global_magnitude_forward
from layers.wave.wave import divide_or_zero

BLOCK_ENTRIES = 1 << 19  # computed in float64 at a time: 4 MiB


class Sums(NamedTuple):
    """How rows are summed to texts: one of three.

    counts: C (B, U). offsets: (B + 1,), where every entry is a row of its own and counts once. bag: on the host, in
    float32.
    """

    counts: Floats2d | None
    offsets: Offsets | None
    bag: Bag | None = None


class Cache(NamedTuple):
    """G_b: of the texts of b. texts: (B + 1,), cuts the segments of a into texts of b, where these are others."""

    a: Floats2d
    b: Floats2d
    G_a: Floats2d
    G_b: Floats2d
    sums_a: Sums
    sums_b: Sums
    texts: Offsets | None


def supports(
    a: Floats2d,
    b: Floats2d,
    bag: Bag,
    bias_a: Floats1d | None = None,
    bias_b: Floats1d | None = None,
    second: Bag | None = None,
) -> bool:
    return True


def forward(
    a: Floats2d,
    b: Floats2d,
    bag: Bag,
    bias_a: Floats1d | None = None,
    bias_b: Floats1d | None = None,
    second: Bag | None = None,
) -> tuple[Floats2d, Cache]:
    a, b = with_biases(a, b, bias_a, bias_b)
    sums_a = sums_of(bag, a)
    sums_b = sums_a if second is None else sums_of(second, b)
    G_a, G_b = magnitudes(sums_a, a), magnitudes(sums_b, b)
    texts = None if second is None else cut_in_segments(bag.offsets, second.offsets)
    y = G_a * (G_b if texts is None else spread(G_b, texts, len(G_a)))
    return y.astype(a.dtype, copy=False), Cache(a, b, G_a, G_b, sums_a, sums_b, texts)


def sums_of(bag: Bag, x: Floats2d) -> Sums:
    """The Sums over the rows x of a bag."""
    on_host = isinstance(x, np.ndarray)
    if bag.row_index is None and bag.counts is None and on_host:
        return Sums(None, bag.offsets)
    if on_host and x.dtype == np.float32 and len(bag.offsets) > 2:  # the C of a single text is one row
        return Sums(None, None, bag)
    return Sums(count_matrix(bag, len(x)), None)


def magnitudes(sums: Sums, x: Floats2d) -> Floats2d:
    """G of x (U, d): (B, d) in float64.

    Squares of float32 fit into it as they are; float64 is scaled by the largest number of each column.
    """
    if sums.bag is not None:
        return magnitudes_by_groups(x, sums.bag)
    if sums.counts is None:
        return magnitudes_by_text(x, sums.offsets)
    return magnitudes_by_counts(x, sums.counts)


def magnitudes_by_counts(x: Floats2d, counts: Floats2d) -> Floats2d:
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


def magnitudes_by_groups(x: Floats2d, bag: Bag) -> Floats2d:
    G = np.zeros((len(bag.offsets) - 1, x.shape[1]))
    for texts, rows, weights in text_groups(bag, x.shape[1]) if bag.sums is None else bag.sums.groups:
        squares = x.take(rows, axis=0).astype(np.float64)
        squares *= squares
        G[texts] = (weights @ squares)[:, 0]
    return np.sqrt(G, out=G)


def magnitudes_by_text(x: Floats2d, offsets: Offsets | None) -> Floats2d:
    """G: (B, d) in float64, of texts whose rows lie one after another."""
    assert offsets is not None
    if x.dtype != np.float32:
        return global_magnitude_forward(x, offsets)[0]
    G = np.zeros((len(offsets) - 1, x.shape[1]))
    for text, start, stop in nonempty(offsets):
        np.add.reduce(np.square(x[start:stop], dtype=np.float64), axis=0, out=G[text])
    return np.sqrt(G, out=G)


def backward(dy: Floats2d, cache: Cache) -> tuple[Floats2d, Floats2d]:
    a, b, G_a, G_b, sums_a, sums_b, texts = cache
    check_floats("dy", dy, G_a.shape, like=a)
    dG_a: Floats2d = dy * (G_b if texts is None else spread(G_b, texts, len(G_a)))
    dG_b: Floats2d = dy * G_a
    if texts is not None:
        dG_b = segment_sum(dG_b, texts)
    da = slopes(a, divide_or_zero(dG_a, G_a), sums_a, dy.dtype)
    return da, slopes(b, divide_or_zero(dG_b, G_b), sums_b, dy.dtype)


def slopes(x: Floats2d, h: Floats2d, sums: Sums, dtype: np.dtype) -> Floats2d:
    """x·(Cᵀ·h): (U, d) in `dtype`, with h (B, d); some rows at a time, since the sums are in float64."""
    dx: Floats2d = array_module(x).empty(x.shape, dtype)
    if sums.offsets is not None:
        for text, start, stop in nonempty(sums.offsets):
            np.multiply(x[start:stop], h[text], out=dx[start:stop], casting="same_kind")
        return dx
    if sums.bag is not None:
        return slopes_by_rows(x, h, sums.bag, dx)
    assert sums.counts is not None
    size = max(1, BLOCK_ENTRIES // max(1, x.shape[1]))
    for first in range(0, len(x), size):
        rows = slice(first, first + size)
        dx[rows] = (sums.counts[:, rows].T @ h) * x[rows]
    return dx


def slopes_by_rows(x: Floats2d, h: Floats2d, bag: Bag, dx: Floats2d) -> Floats2d:
    """x·(Cᵀ·h), in dx."""
    sums = row_sums(bag, len(x)) if bag.sums is None else bag.sums.rows
    of_rows = np.zeros((sums.texts + sums.shared + 1, x.shape[1]))
    of_rows[: sums.texts] = h
    of_shared = of_rows[sums.texts :]
    for piece in sums.pieces:
        of_shared[piece.shared] += piece.counts.T @ h[piece.texts()]
    for rows in row_blocks(x):
        block = of_rows.take(sums.source[rows], axis=0)
        block *= x[rows].astype(np.float64)  # else NumPy converts in small pieces
        dx[rows] = block
    return dx
