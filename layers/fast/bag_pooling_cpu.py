"""Pooling (E14) over a bag by weighted sums, on NumPy or CuPy: each entry once, times the number of its tokens."""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.bag import Bag, sum_entries
from engine.arrays.checks import check_choice, check_floats
from engine.arrays.ragged import segment_sum, spread
from engine.types import Floats2d
from layers.standard.pooling import POOLINGS, pooling_backward, pooling_forward


class Cache(NamedTuple):
    """entries: the cache of E14 over the entries; None for the mean."""

    bag: Bag
    shape: tuple[int, ...]  # of x
    dtype: np.dtype[Any]
    entries: Any


def supports(*arguments: Any, **named: Any) -> bool:
    return True


def forward(x: Floats2d, bag: Bag, kind: str = "mean") -> tuple[Floats2d, Cache]:
    check_choice("kind", kind, POOLINGS)
    check_floats("x", x, ("U", "d"))
    rows = bag.entries(x)
    if kind != "mean":  # equal tokens change neither a maximum nor the first row
        y, cache = pooling_forward(rows, bag.offsets, kind)
        return y, Cache(bag, x.shape, x.dtype, cache)
    n = bag.text_lengths()[:, None]
    weighted = rows if bag.counts is None else rows * bag.counts[:, None].astype(x.real.dtype)
    return segment_sum(weighted, bag.offsets) / (n + (n == 0)).astype(x.real.dtype), Cache(bag, x.shape, x.dtype, None)


def backward(dy: Floats2d, cache: Cache) -> Floats2d:
    bag, (rows, d), _, entries = cache
    check_floats("dy", dy, (len(bag.offsets) - 1, d), like=cache)
    if entries is not None:
        return sum_entries(pooling_backward(dy, entries), bag, rows)
    n = bag.text_lengths()[:, None]
    dx = spread(dy / (n + (n == 0)).astype(dy.dtype), bag.offsets, bag.entry_count())
    return sum_entries(dx if bag.counts is None else dx * bag.counts[:, None].astype(dy.dtype), bag, rows)
