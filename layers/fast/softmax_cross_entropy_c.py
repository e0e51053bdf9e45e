"""E15 by functions in C, for float32 on the host: exponentials in float32, sums and logarithms in float64.

Kept for backward: the probabilities, and log q̂ of the labels in float64.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.compiled.c_file import CFile
from engine.types import Floats, Floats1d, Floats2d, Ints1d
from layers.standard.softmax_cross_entropy import check_arguments

FUNCTIONS = CFile(__file__, forward="FIFiiRfdd", backward="FIDFiiRRf")


class Cache(NamedTuple):
    probabilities: Floats2d
    labels: Ints1d
    of_labels: Floats1d
    smoothing: float
    weights: Floats1d | None


def supports(z: Floats2d, labels: Ints1d, smoothing: float = 0.0, weights: Floats1d | None = None) -> bool:
    """Whether these functions compute this. The equation reports what is wrong with wrong arguments."""
    return FUNCTIONS.takes(z, weights) and z.ndim == 2 and len(z) > 0


def forward(
    z: Floats2d, labels: Ints1d, smoothing: float = 0.0, weights: Floats1d | None = None
) -> tuple[Floats, Cache]:
    check_arguments(z, labels, smoothing, weights)
    labels = np.ascontiguousarray(labels, np.int64)
    p, of_labels, loss = np.empty_like(z), np.empty(len(z)), np.empty(1)
    FUNCTIONS.call("forward", z, labels, weights, *z.shape, smoothing, p, of_labels, loss)
    return loss.astype(z.dtype)[0], Cache(p, labels, of_labels, smoothing, weights)


def backward(dL: Any, cache: Cache) -> Floats2d:
    p, labels, of_labels, smoothing, weights = cache
    dz = np.empty_like(p)
    slope = float(dL) / len(p)
    FUNCTIONS.call("backward", p, labels, of_labels, weights, *p.shape, smoothing, slope, dz)
    return dz
