"""E14's mean by kernels (pooling.cu). Kept for backward: offsets and counts, which others hold too."""

from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.checks import check_floats
from engine.cuda.kernels import COLUMNS, KernelFile, blocks_of
from engine.cuda.segments import THREADS

KERNELS = KernelFile(__file__)


class Cache(NamedTuple):
    counts: object
    offsets: object
    shape: tuple
    dtype: object


def applies(x, offsets, kind="mean", counts=None):
    return kind == "mean"


def forward(x, offsets, kind="mean", counts=None):
    texts, d = len(offsets) - 1, x.shape[1]
    y = array_module(x, offsets).empty((texts, d), x.dtype)
    KERNELS.launch("mean_pooling_forward", x, (texts, blocks_of(d, COLUMNS)), THREADS, x, offsets, counts, y, d)
    return y, Cache(counts, offsets, x.shape, x.dtype)


def backward(dy, cache):
    counts, offsets, shape, _ = cache
    check_floats("dy", dy, (len(offsets) - 1, shape[1]), like=cache)
    dx = array_module(dy, offsets).empty(shape, dy.dtype)
    KERNELS.launch(
        "mean_pooling_backward",
        dy,
        (len(dy) + 1, blocks_of(shape[1], COLUMNS)),
        THREADS,
        dy,
        offsets,
        counts,
        dx,
        len(dy),
        *shape,
    )
    return dx
