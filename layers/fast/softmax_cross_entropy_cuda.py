"""E15 by kernels (softmax_cross_entropy_cuda.cu). Kept for backward: log p, 4·C bytes a text in float32."""

import numbers
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.cuda.kernels import KernelFile
from engine.cuda.segments import finish_columns
from engine.types import Floats, Floats1d, Floats2d, Ints1d
from layers.standard.softmax_cross_entropy import check_arguments

TEXT_THREADS = 128
KERNELS = KernelFile(__file__, TEXT_THREADS=TEXT_THREADS)


class Cache(NamedTuple):
    log_probabilities: Floats2d
    labels: Ints1d
    smoothing: float
    weights: Floats1d | None = None


def supports(z: Floats2d, labels: Ints1d, smoothing: float = 0.0, weights: Floats1d | None = None) -> bool:
    return len(z) > 0


def forward(
    z: Floats2d, labels: Ints1d, smoothing: float = 0.0, weights: Floats1d | None = None
) -> tuple[Floats, Cache]:
    check_arguments(z, labels, smoothing, weights)
    xp, texts, classes = array_module(z, labels), *z.shape
    labels = labels.astype(np.int64, copy=False)
    log_p, losses = xp.empty_like(z), xp.empty((texts, 1))
    arguments = (z, labels, weights, log_p, losses, classes, float(smoothing))
    KERNELS.launch("softmax_cross_entropy_forward", z, (texts,), (TEXT_THREADS,), *arguments)
    return finish_columns(losses, z.dtype).reshape(()), Cache(log_p, labels, smoothing, weights)


def backward(dL: Any, cache: Cache) -> Floats2d:
    log_p, labels, smoothing, weights = cache
    texts, classes = log_p.shape
    dz: Floats2d = array_module(log_p).empty_like(log_p)
    number = isinstance(dL, numbers.Real)
    factor = float(dL) / texts if number else 1 / texts
    arguments = (log_p, labels, weights, dz, classes, float(smoothing), factor)
    KERNELS.launch("softmax_cross_entropy_backward", log_p, (texts,), (TEXT_THREADS,), *arguments)
    if number:
        return dz
    dz *= array_module(log_p, dL).asarray(dL, dz.dtype)
    return dz
