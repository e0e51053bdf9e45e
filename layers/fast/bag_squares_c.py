"""The sums of a shared magnitude (E17) over a bag by functions in C, for float32 on the host.

    G_tk = sqrt(Σ_p c_p·x_pk²)          dx_uk = x_uk·Σ_p c_p·h_tk

p: the entries of text t, in the first sum, and of row u, in the second, each taken in their order, in float64. The rows
are read where they lie: nothing is gathered.
"""

from typing import Any

import numpy as np

from engine.arrays.bag import Bag
from engine.arrays.checks import check_ids, check_offsets
from engine.compiled.c_file import CFile
from engine.types import Floats2d

FUNCTIONS = CFile(__file__, magnitudes="FIIIiid", slopes="FDIIIiiidf")


def is_usable(x: Any) -> bool:
    """Whether these functions compute on the rows x."""
    on_host = isinstance(x, np.ndarray) and x.dtype == np.float32 and x.flags.c_contiguous
    return on_host and FUNCTIONS.is_usable()


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
    FUNCTIONS.call("magnitudes", x, bag.row_index, bag.counts, bag.offsets, *G.shape, G)
    return G


def slopes(x: Floats2d, h: Floats2d, bag: Bag) -> Floats2d:
    """x: (U, d), h: (B, d) float64 → dx: (U, d)."""
    dx, sums = np.empty_like(x), np.empty(x.shape)
    h = np.ascontiguousarray(h, np.float64)
    FUNCTIONS.call("slopes", x, h, bag.row_index, bag.counts, bag.offsets, len(h), *x.shape, sums, dx)
    return dx
