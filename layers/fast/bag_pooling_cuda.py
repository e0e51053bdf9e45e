"""Mean pooling (E14) over a bag by kernels (bag_pooling_cuda.cu). Kept for backward: arrays that others hold too."""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.bag import Bag, sum_entries
from engine.arrays.checks import check_floats
from engine.cuda.kernels import COLUMNS, KernelFile, blocks_of
from engine.cuda.segments import THREADS
from engine.types import Floats2d

KERNELS = KernelFile(__file__)


class Cache(NamedTuple):
    bag: Bag
    shape: tuple[int, ...]  # of x
    dtype: np.dtype[Any]


def supports(x: Floats2d, bag: Bag, kind: str = "mean") -> bool:
    return kind == "mean" and x.ndim == 2


def forward(x: Floats2d, bag: Bag, kind: str = "mean") -> tuple[Floats2d, Cache]:
    texts, d, rows = len(bag.offsets) - 1, x.shape[1], bag.entries(x)
    y: Floats2d = array_module(rows, bag.offsets).empty((texts, d), x.dtype)
    blocks = (texts, blocks_of(d, COLUMNS))
    KERNELS.launch("mean_pooling_forward", rows, blocks, THREADS, rows, bag.offsets, bag.counts, y, d)
    return y, Cache(bag, x.shape, x.dtype)


def backward(dy: Floats2d, cache: Cache) -> Floats2d:
    bag, (rows, d), _ = cache
    texts, entries = len(bag.offsets) - 1, bag.entry_count()
    check_floats("dy", dy, (texts, d), like=cache)
    dx = array_module(dy, bag.offsets).empty((entries, d), dy.dtype)
    blocks = (texts + 1, blocks_of(d, COLUMNS))
    KERNELS.launch("mean_pooling_backward", dy, blocks, THREADS, dy, bag.offsets, bag.counts, dx, texts, entries, d)
    return sum_entries(dx, bag, rows)
