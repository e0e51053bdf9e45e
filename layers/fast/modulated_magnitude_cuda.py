"""E17 by kernels (modulated_magnitude.cu). Kept for backward: a and b, their biases, and 16 bytes for each text and dimension, not C."""

from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.bag import Bag
from engine.arrays.checks import check_floats
from engine.cuda.kernels import COLUMNS, LANES, KernelFile, blocks_of
from engine.cuda.segments import SHARED, THREADS

KERNELS = KernelFile(__file__, SHARED=SHARED)
FLAT_THREADS = (256,)


class Cache(NamedTuple):
    """G_a, G_b: (B, d) float64. bag: with its links."""

    a: object
    b: object
    biases: tuple
    G_a: object
    G_b: object
    bag: Bag


def applies(a, b, bag, bias_a=None, bias_b=None):
    """Whether the arguments are those of a real computation. What is wrong with others, the plain body tells."""
    fits = getattr(b, "shape", None) == a.shape and a.ndim == 2 and b.dtype == a.dtype
    fits = fits and all(
        x is None or getattr(x, "shape", None) == a.shape[1:] and x.dtype == a.dtype for x in (bias_a, bias_b)
    )
    return fits and (bag.places is not None or bag.entry_count() == len(a))


def forward(a, b, bag, bias_a=None, bias_b=None):
    xp, texts, (rows, d) = array_module(a, b, bias_a, bias_b, *bag[:3]), len(bag.offsets) - 1, a.shape
    bag = bag.linked(rows)
    y, G_a, G_b = xp.empty((texts, d), a.dtype), xp.empty((texts, d)), xp.empty((texts, d))
    KERNELS.launch(
        "modulated_magnitude_forward",
        a,
        (texts, blocks_of(d, COLUMNS)),
        THREADS,
        a,
        b,
        bias_a,
        bias_b,
        *bag[:3],
        y,
        G_a,
        G_b,
        d,
    )
    return y, Cache(a, b, (bias_a, bias_b), G_a, G_b, bag)


def backward(dy, cache):
    a, b, biases, G_a, G_b, bag = cache
    check_floats("dy", dy, G_a.shape, like=a)
    xp, (rows, d), links = array_module(dy, a), a.shape, bag.links
    h_a, h_b = xp.empty(dy.shape), xp.empty(dy.shape)
    KERNELS.launch(
        "modulated_magnitude_slopes",
        dy,
        (blocks_of(dy.size, *FLAT_THREADS),),
        FLAT_THREADS,
        dy,
        G_a,
        G_b,
        h_a,
        h_b,
        dy.size,
    )
    da, db = xp.empty(a.shape, a.dtype), xp.empty(b.shape, b.dtype)
    blocks, entries = (
        (blocks_of(rows, LANES), blocks_of(d, COLUMNS)),
        (links.texts, bag.counts, links.by_row, links.row_starts),
    )
    KERNELS.launch(
        "modulated_magnitude_backward", dy, blocks, THREADS, a, b, *biases, h_a, h_b, *entries, da, db, rows, d
    )
    return da, db
