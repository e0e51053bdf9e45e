"""E24 by kernels (sigmoid_cross_entropy_cuda.cu). Kept for backward: the logits and the targets, shared."""

import numbers
from typing import Any, NamedTuple

from engine.arrays.backend import array_module
from engine.cuda.kernels import KernelFile
from engine.cuda.segments import finish_columns
from engine.types import Bools, Floats, Floats2d
from layers.standard.sigmoid_cross_entropy import check_arguments

TEXT_THREADS = 128
KERNELS = KernelFile(__file__, TEXT_THREADS=TEXT_THREADS)


class Cache(NamedTuple):
    logits: Floats2d
    targets: Bools
    smoothing: float
    weights: Floats2d | None = None


def supports(z: Floats2d, targets: Bools, smoothing: float = 0.0, weights: Floats2d | None = None) -> bool:
    return len(z) > 0


def forward(
    z: Floats2d, targets: Bools, smoothing: float = 0.0, weights: Floats2d | None = None
) -> tuple[Floats, Cache]:
    check_arguments(z, targets, smoothing, weights)
    xp, texts, classes = array_module(z, targets), *z.shape
    losses = xp.empty((texts, 1))
    arguments = (z, targets, weights, losses, classes, float(smoothing))
    KERNELS.launch("sigmoid_cross_entropy_forward", z, (texts,), (TEXT_THREADS,), *arguments)
    return finish_columns(losses, z.dtype).reshape(()), Cache(z, targets, smoothing, weights)


def backward(dL: Any, cache: Cache) -> Floats2d:
    z, targets, smoothing, weights = cache
    texts, classes = z.shape
    dz: Floats2d = array_module(z).empty_like(z)
    number = isinstance(dL, numbers.Real)
    factor = float(dL) / texts if number else 1 / texts
    arguments = (z, targets, weights, dz, classes, float(smoothing), factor)
    KERNELS.launch("sigmoid_cross_entropy_backward", z, (texts,), (TEXT_THREADS,), *arguments)
    if number:
        return dz
    dz *= array_module(z, dL).asarray(dL, dz.dtype)
    return dz
