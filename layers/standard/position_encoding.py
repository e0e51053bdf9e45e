"""E22  Position encoding: where a token stands is added to what it is.

    x_j = w_j + Q_{pos(j)}                     dw_j = dx_j        dQ_m = Σ_{j: pos(j) = m} dx_j

pos(j) counts the tokens of a text from 0. Q is a table (M, d): a parameter like that of E9, whose gradient is kept
row-sparse likewise, or a constant (sinusoids, whose dQ nobody asks for):

    Q_{m,2r} = κ·sin(m·10000^{−2r/d})          Q_{m,2r+1} = κ·cos(m·10000^{−2r/d})

Linear, so smooth everywhere. A text has at most M tokens. Unit: that of w; what the scale κ does to words stands in
position_encoding.md, with the derivation.
Source: Vaswani et al., arXiv 1706.03762; Zhang & Sheng, arXiv 2411.02674, Fig. 6a, does not say which.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.checks import check_floats, check_ids
from engine.arrays.ragged import gather_rows
from engine.layer import RowSparse, sum_rows
from engine.types import Floats2d, Ints1d

POSITION_ENCODINGS = ("none", "sinusoidal", "learned")
BASE = 10_000


class Cache(NamedTuple):
    places: Ints1d
    table: Floats2d


def sinusoids(length: int, d: int, scale: float = 1.0) -> Floats2d:
    """Q: (length, d) float64; for an odd d the last column is a sine."""
    column = np.arange(d)
    angle = np.arange(length)[:, None] / BASE ** (2 * (column // 2) / d)
    Q: Floats2d = scale * np.where(column % 2 == 0, np.sin(angle), np.cos(angle))
    return Q


def position_encoding_forward(w: Floats2d, places: Ints1d, table: Floats2d) -> tuple[Floats2d, Cache]:
    """w: (T, d), places: (T,) integers in [0, M), the pos(j), table: (M, d), Q → x: (T, d), and the cache.

    Raises ValueError for a wrong dtype or shape, and for places that are no integers or (host arrays) outside the
    table; on a device their rows are NaN.
    """
    check_floats("w", w, ("T", "d"))
    check_floats("table", table, ("M", w.shape[1]), like=w)
    check_ids(places, len(table), "places")
    if len(places) != len(w):
        raise ValueError(f"places: expected one for each of {len(w)} rows of w, got {len(places)}")
    return w + gather_rows(table, places), Cache(places, table)


def position_encoding_backward(dx: Floats2d, cache: Cache) -> tuple[Floats2d, RowSparse]:
    """dx: (T, d) → (dw: dx itself, dQ: RowSparse over (M, d)). Places have no gradient."""
    check_floats("dx", dx, (len(cache.places), cache.table.shape[1]), like=cache.table)
    return dx, sum_rows(cache.places, dx)
