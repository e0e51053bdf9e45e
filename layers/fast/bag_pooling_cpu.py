"""Pooling (E14) over a bag by weighted sums, on NumPy or CuPy: each entry once, times the number of its tokens."""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.bag import Bag, sum_entries
from engine.arrays.checks import check_choice, check_floats
from engine.arrays.ragged import segment_sum, spread
from engine.types import Floats2d
from layers.standard.pooling import POOLINGS, pooling_backward, pooling_forward


class Cache(NamedTuple):
    """entries: the cache of E14 over them, None for the mean. alone: each text has one entry, a row of its own."""

    bag: Bag
    shape: tuple[int, ...]  # of x
    dtype: np.dtype[Any]
    entries: Any
    alone: bool = False


def supports(*arguments: Any, **named: Any) -> bool:
    return True


def forward(x: Floats2d, bag: Bag, kind: str = "mean") -> tuple[Floats2d, Cache]:
    check_choice("kind", kind, POOLINGS)
    check_floats("x", x, ("U", "d"))
    if kind == "mean" and each_is_alone(bag, len(x)):
        return x, Cache(bag, x.shape, x.dtype, None, alone=True)
    rows = bag.entries(x)
    if kind != "mean":  # equal tokens change neither a maximum nor the first row
        y, cache = pooling_forward(rows, bag.offsets, kind)
        return y, Cache(bag, x.shape, x.dtype, cache)
    n = bag.text_lengths()[:, None]
    weighted = rows if bag.counts is None else rows * bag.counts[:, None].astype(x.real.dtype)
    return segment_sum(weighted, bag.offsets) / (n + (n == 0)).astype(x.real.dtype), Cache(bag, x.shape, x.dtype, None)


def each_is_alone(bag: Bag, rows: int) -> bool:
    """Whether, as far as can be seen at once, row t is the one entry of text t: all its tokens are alike."""
    if not isinstance(bag.offsets, np.ndarray) or bag.row_index is not None or len(bag.offsets) != rows + 1:
        return False
    each = bool((bag.offsets[1:] > bag.offsets[:-1]).all()) and int(bag.offsets[-1]) == rows
    return each and (bag.counts is None or bool(bag.counts.all()))


def backward(dy: Floats2d, cache: Cache) -> Floats2d:
    bag, (rows, d), _, entries, alone = cache
    check_floats("dy", dy, (len(bag.offsets) - 1, d), like=cache)
    if alone:
        return dy
    if entries is not None:
        return sum_entries(pooling_backward(dy, entries), bag, rows)
    n = bag.text_lengths()[:, None]
    dx = spread(dy / (n + (n == 0)).astype(dy.dtype), bag.offsets, bag.entry_count())
    return sum_entries(dx if bag.counts is None else dx * bag.counts[:, None].astype(dy.dtype), bag, rows)
