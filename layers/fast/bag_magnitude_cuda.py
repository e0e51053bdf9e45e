"""The magnitude of a modulation or correlation (E17) over a bag by kernels (bag_magnitude_cuda.cu), entry by entry.

Each text has a scale of its own, and a NaN spoils its text alone. Kept for backward: a and b, their biases, and 16
bytes for each text and dimension.
"""

from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.bag import Bag
from engine.arrays.checks import check_floats
from engine.arrays.ragged import cut_in_segments, gather_rows, segment_sum, spread
from engine.cuda.kernels import COLUMNS, LANES, KernelFile, blocks_of, fits
from engine.cuda.segments import SHARED, THREADS
from engine.types import Floats1d, Floats2d, Ints1d, Offsets

KERNELS = KernelFile(__file__, SHARED=SHARED)
FLAT_THREADS = (256,)


class Cache(NamedTuple):
    """G_a, G_b: (B, d) float64, of each segment of the bag. bag: with its inverse index."""

    a: Floats2d
    b: Floats2d
    biases: tuple[Floats1d | None, Floats1d | None]
    G_a: Floats2d
    G_b: Floats2d
    bag: Bag
    second: "Second | None"


class Second(NamedTuple):
    """The texts of b, where they are not those of a, but each has several of these: its segments.

    of_entries: (P,) the text of each entry; cuts: (B + 1,), how many segments there
    are before each text.
    """

    of_entries: Ints1d
    cuts: Offsets


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
    return a.ndim == 2 and fits(b, a.shape, a) and biases_fit and rows_fit


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
    if second is not None:
        return forward_of_two_cuts(a, b, bag, bias_a, bias_b, second)
    y, G_a, G_b = xp.empty((texts, d), a.dtype), xp.empty((texts, d)), xp.empty((texts, d))
    arrays = (a, b, bias_a, bias_b, *bag[:3], y, G_a, G_b)
    KERNELS.launch("bag_magnitude_forward", a, blocks, THREADS, *arrays, d)
    return y, Cache(a, b, (bias_a, bias_b), G_a, G_b, bag, None)


def forward_of_two_cuts(
    a: Floats2d, b: Floats2d, bag: Bag, bias_a: Floats1d | None, bias_b: Floats1d | None, second: Bag
) -> tuple[Floats2d, Cache]:
    """forward() of a bag with its inverse index, where b has other texts."""
    xp, d = array_module(a, b), a.shape[1]
    found = []
    for x, bias, cut in ((a, bias_a, bag), (b, bias_b, second)):
        texts = len(cut.offsets) - 1
        G = xp.empty((texts, d))
        arrays = (x, None, bias, None, *cut[:3], None, G, None)
        KERNELS.launch("bag_magnitude_forward", a, (texts, blocks_of(d, COLUMNS)), THREADS, *arrays, d)
        found.append(G)
    cuts = cut_in_segments(bag.offsets, second.offsets)
    of_segments = spread(xp.arange(len(second.offsets) - 1), cuts, len(found[0]))
    G_a, G_b = found[0], gather_rows(found[1], of_segments)
    texts_of_b = Second(second.texts(), cuts)
    return (G_a * G_b).astype(a.dtype, copy=False), Cache(a, b, (bias_a, bias_b), G_a, G_b, bag, texts_of_b)


def backward(dy: Floats2d, cache: Cache) -> tuple[Floats2d, Floats2d]:
    a, b, biases, G_a, G_b, bag, second = cache
    check_floats("dy", dy, G_a.shape, like=a)
    xp, (rows, d), inverse = array_module(dy, a), a.shape, bag.inverse
    assert inverse is not None
    h_a, h_b, flat = xp.empty(dy.shape), xp.empty(dy.shape), (blocks_of(dy.size, *FLAT_THREADS),)
    KERNELS.launch("bag_magnitude_slopes", dy, flat, FLAT_THREADS, dy, G_a, G_b, h_a, h_b, dy.size)
    if second is not None:
        h_b = segment_sum(h_b, second.cuts)
    da, db = xp.empty(a.shape, a.dtype), xp.empty(b.shape, b.dtype)
    blocks = (blocks_of(rows, LANES), blocks_of(d, COLUMNS))
    texts_b = None if second is None else second.of_entries
    entries = (inverse.texts, texts_b, bag.counts, inverse.by_row, inverse.row_starts)
    KERNELS.launch("bag_magnitude_backward", dy, blocks, THREADS, a, b, *biases, h_a, h_b, *entries, da, db, rows, d)
    return da, db
