"""E14  Pooling: one vector per text from the rows of its tokens.

    mean   y_t = (1/n_t)·Σ_{j∈S_t} x_j        dx_j = dy_t / n_t
    max    y_tk = max_{j∈S_t} x_jk            dx_jk = dy_tk at the first j that attains the maximum, else 0
    cls    y_t = x of the text's first token  dx = dy_t there, else 0

The maximum has a kink at ties. An empty text gives 0 and receives nothing; the maximum of a text with a NaN is its
first NaN. Derivation: pooling.md.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.checks import check_choice, check_floats, check_offsets
from engine.arrays.ragged import lengths, segment_max, segment_sum, spread
from engine.types import Array, Floats2d, Offsets

POOLINGS = ("mean", "max", "cls")


class Cache(NamedTuple):
    kind: str
    rows: Array | None  # max: (B, d), cls: (B, 1) row of each value
    offsets: Offsets
    shape: tuple[int, ...]
    dtype: np.dtype


def pooling_forward(x: Floats2d, offsets: Offsets, kind: str = "mean") -> tuple[Floats2d, Cache]:
    """x: (T, d), offsets: (B + 1,) → y: (B, d), and the cache. ValueError for a wrong dtype, shape, offsets or kind."""
    check_choice("kind", kind, POOLINGS)
    check_floats("x", x, ("T", "d"))
    check_offsets(offsets, len(x))
    rows = None
    if kind == "mean":
        n = lengths(offsets)[:, None]
        y = segment_sum(x, offsets) / (n + (n == 0)).astype(x.real.dtype)
    elif len(x) == 0:
        y = array_module(x).zeros((len(offsets) - 1, x.shape[1]), x.dtype)
    else:
        # An empty last text would point one row past the end; its value is masked, so any row does.
        rows = (first_largest(x, offsets) if kind == "max" else offsets[:-1, None]).clip(0, len(x) - 1)
        y = array_module(x).take_along_axis(x, rows, axis=0) if kind == "max" else x[rows[:, 0]]
        y = y * (lengths(offsets) > 0)[:, None]
    return y, Cache(kind, rows, offsets, x.shape, x.dtype)


def first_largest(x: Floats2d, offsets: Offsets) -> Array:
    """(B, d): the flat row of the first largest entry of each text and column (by real part)."""
    xp = array_module(x)
    is_largest = (x.real == spread(segment_max(x.real, offsets), offsets, len(x))) | xp.isnan(x.real)  # NaN ≠ NaN
    row = xp.arange(len(x), dtype=np.int64)[:, None]
    rows: Array = len(x) - segment_max(is_largest * (len(x) - row), offsets)
    return rows


def pooling_backward(dy: Floats2d, cache: Cache) -> Floats2d:
    """dy: (B, d) → dx: (T, d)."""
    kind, rows, offsets, shape, _ = cache
    check_floats("dy", dy, (len(offsets) - 1, shape[1]), like=cache)
    xp = array_module(dy)
    if kind == "mean":
        n = lengths(offsets)[:, None]
        shared: Floats2d = spread(dy / (n + (n == 0)).astype(dy.dtype), offsets, shape[0])
        return shared
    # The last row takes what empty texts have no row for.
    dx: Floats2d = xp.zeros((shape[0] + 1, shape[1]), dy.dtype)
    if rows is not None:
        # No two other texts share a row, so nothing is written twice.
        dx[xp.where(lengths(offsets)[:, None] > 0, rows, shape[0]), xp.arange(shape[1])] = dy
    return dx[:-1]
