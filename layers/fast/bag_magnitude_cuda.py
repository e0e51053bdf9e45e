"""The magnitude of a modulation or correlation (E17) over a bag by kernels (bag_magnitude_cuda.cu), entry by entry.

Each text has a scale of its own, and a NaN spoils its text alone. Kept for backward: a and b, their biases, and 16
bytes for each text and dimension.
"""

from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.bag import Bag
from engine.arrays.checks import check_floats
from engine.cuda.kernels import COLUMNS, LANES, KernelFile, blocks_of, fits
from engine.cuda.segments import SHARED, THREADS
from engine.types import Floats1d, Floats2d

KERNELS = KernelFile(__file__, SHARED=SHARED)
FLAT_THREADS = (256,)


class Cache(NamedTuple):
    """G_a, G_b: (B, d) float64. bag: with its inverse index."""

    a: Floats2d
    b: Floats2d
    biases: tuple[Floats1d | None, Floats1d | None]
    G_a: Floats2d
    G_b: Floats2d
    bag: Bag


def supports(
    a: Floats2d,
    b: Floats2d,
    bag: Bag,
    bias_a: Floats1d | None = None,
    bias_b: Floats1d | None = None,
    second: Bag | None = None,
) -> bool:
    """Whether shapes and dtypes fit. The equation reports what is wrong where they do not."""
    biases_fit = all(bias is None or fits(bias, a.shape[1:], a) for bias in (bias_a, bias_b))
    rows_fit = bag.row_index is not None or bag.entry_count() == len(a)
    return second is None and a.ndim == 2 and fits(b, a.shape, a) and biases_fit and rows_fit


def forward(
    a: Floats2d,
    b: Floats2d,
    bag: Bag,
    bias_a: Floats1d | None = None,
    bias_b: Floats1d | None = None,
    second: Bag | None = None,
) -> tuple[Floats2d, Cache]:
    xp, texts, (rows, d) = array_module(a, b, bias_a, bias_b, *bag[:3]), len(bag.offsets) - 1, a.shape
    bag, blocks = bag.with_inverse_index(rows), (texts, blocks_of(d, COLUMNS))
    y, G_a, G_b = xp.empty((texts, d), a.dtype), xp.empty((texts, d)), xp.empty((texts, d))
    arrays = (a, b, bias_a, bias_b, *bag[:3], y, G_a, G_b)
    KERNELS.launch("bag_magnitude_forward", a, blocks, THREADS, *arrays, d)
    return y, Cache(a, b, (bias_a, bias_b), G_a, G_b, bag)


def backward(dy: Floats2d, cache: Cache) -> tuple[Floats2d, Floats2d]:
    a, b, biases, G_a, G_b, bag = cache
    check_floats("dy", dy, G_a.shape, like=a)
    xp, (rows, d), inverse = array_module(dy, a), a.shape, bag.inverse
    assert inverse is not None
    h_a, h_b, flat = xp.empty(dy.shape), xp.empty(dy.shape), (blocks_of(dy.size, *FLAT_THREADS),)
    KERNELS.launch("bag_magnitude_slopes", dy, flat, FLAT_THREADS, dy, G_a, G_b, h_a, h_b, dy.size)
    da, db = xp.empty(a.shape, a.dtype), xp.empty(b.shape, b.dtype)
    blocks = (blocks_of(rows, LANES), blocks_of(d, COLUMNS))
    entries = (inverse.texts, bag.counts, inverse.by_row, inverse.row_starts)
    KERNELS.launch("bag_magnitude_backward", dy, blocks, THREADS, a, b, *biases, h_a, h_b, *entries, da, db, rows, d)
    return da, db
