"""The magnitude of a modulation (E17) over a bag by functions in C, for float32 on the host.

    G_tk = sqrt(Σ_p c_p·x_pk²)          dx_uk = x_uk·Σ_p c_p·h_tk

p: the entries of text t, in the first sum, and of row u, in the second, each taken in their order, in float64. The rows
are read where they lie: nothing is gathered. Kept for backward: a and b, and the magnitudes of texts in float64.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.bag import Bag
from engine.arrays.checks import check_floats, check_ids, check_offsets
from engine.arrays.ragged import cut_in_segments
from engine.compiled.c_file import CFile
from engine.types import Floats1d, Floats2d, Ints1d, Offsets
from layers.equations import check_biases

FUNCTIONS = CFile(
    __file__,
    magnitudes="FIIIiid",
    slopes="FIIIiDii" + "lld" + "f",
    forward="FFFFIIIIIiiiddf",
    backward="FFFFIIIIIiiiiDDFd" + "lld" + "ff",
)


class Cache(NamedTuple):
    """biases: of a and b, (d,) or None. cuts: (offsets of segments, of texts, segments before each text)."""

    a: Floats2d
    b: Floats2d
    biases: tuple[Floats1d | None, Floats1d | None]
    bag: Bag
    cuts: tuple[Offsets, Offsets, Offsets]
    G_a: Floats2d
    G_b: Floats2d


def is_usable(*arrays: Any) -> bool:
    """Whether these functions compute on arrays like these; None is none."""
    return FUNCTIONS.takes(*arrays)


def supports(
    a: Floats2d,
    b: Floats2d,
    bag: Bag,
    bias_a: Floats1d | None = None,
    bias_b: Floats1d | None = None,
    second: Bag | None = None,
) -> bool:
    """Whether these functions compute this. The equation reports what is wrong with wrong arguments."""
    indices = (*bag[:3], None if second is None else second.offsets)
    known = all(x is None or (x.dtype == np.int64 and x.flags.c_contiguous) for x in indices)
    return known and is_usable(a, b, bias_a, bias_b)


def forward(
    a: Floats2d,
    b: Floats2d,
    bag: Bag,
    bias_a: Floats1d | None = None,
    bias_b: Floats1d | None = None,
    second: Bag | None = None,
) -> tuple[Floats2d, Cache]:
    check_biases(a, b, bias_a, bias_b)
    check_bag(bag, len(a))
    d, segments = a.shape[1], len(bag.offsets) - 1
    if second is None:
        cuts = bag.offsets, bag.offsets, np.arange(segments + 1)
    else:
        check_bag(second, len(a))
        cuts = bag.offsets, second.offsets, cut_in_segments(bag.offsets, second.offsets)
    texts = len(cuts[1]) - 1
    G_a, G_b, y = np.empty((segments, d)), np.empty((texts, d)), np.empty((segments, d), a.dtype)
    FUNCTIONS.call("forward", a, b, bias_a, bias_b, *bag[:2], *cuts, segments, texts, d, G_a, G_b, y)
    return y, Cache(a, b, (bias_a, bias_b), bag, cuts, G_a, G_b)


def backward(dy: Floats2d, cache: Cache) -> tuple[Floats2d, Floats2d]:
    a, b, biases, bag, cuts, G_a, G_b = cache
    check_floats("dy", dy, G_a.shape, like=a)
    (rows, d), dy = a.shape, np.ascontiguousarray(dy)
    h, da, db = np.empty((len(G_a) + len(G_b), d)), np.empty_like(a), np.empty_like(b)
    sizes, scratch = (len(G_a), len(G_b), rows, d), scratch_of(bag, rows)
    FUNCTIONS.call("backward", a, b, *biases, *bag[:2], *cuts, *sizes, G_a, G_b, dy, h, *scratch, da, db)
    return da, db


def scratch_of(bag: Bag, rows: int) -> tuple[Ints1d, Ints1d, Floats1d]:
    """Room for the entries of a bag in the order of its rows."""
    entries = int(bag.offsets[-1])
    return np.empty(rows + 1, np.int64), np.empty(entries, np.int64), np.empty(entries)


def check_bag(bag: Bag, rows: int) -> None:
    """Raise ValueError for a bag over so many rows with an index outside of its arrays, which C would follow."""
    entries = rows if bag.row_index is None else len(bag.row_index)
    check_offsets(bag.offsets, entries)
    if bag.row_index is not None:
        check_ids(bag.row_index, rows, "row_index")
    if bag.counts is not None and len(bag.counts) != entries:
        raise ValueError(f"counts: expected {entries}, got {len(bag.counts)}")


def magnitudes(x: Floats2d, bag: Bag) -> Floats2d:
    """x: (U, d) → G: (B, d) float64."""
    check_bag(bag, len(x))
    G = np.empty((len(bag.offsets) - 1, x.shape[1]))
    FUNCTIONS.call("magnitudes", x, *bag[:3], *G.shape, G)
    return G


def slopes(x: Floats2d, h: Floats2d, bag: Bag) -> Floats2d:
    """x: (U, d), h: (B, d) float64 → dx: (U, d)."""
    dx, h = np.empty_like(x), np.ascontiguousarray(h, np.float64)
    FUNCTIONS.call("slopes", x, *bag[:3], len(h), h, *x.shape, *scratch_of(bag, len(x)), dx)
    return dx
