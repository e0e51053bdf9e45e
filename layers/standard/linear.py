"""E8  Linear map.

    y = x·W + b

    dx = dy·Wᵀ          dW = xᵀ·dy          db = Σ_j dy_j

Smooth everywhere. Derivation: linear.md.
"""

from typing import NamedTuple

from engine.arrays.checks import check_floats
from engine.arrays.matmul import add_product, product
from engine.arrays.ragged import column_sums
from engine.types import Floats1d, Floats2d


class Cache(NamedTuple):
    x: Floats2d
    weight: Floats2d


def linear_forward(x: Floats2d, weight: Floats2d, bias: Floats1d | None = None) -> tuple[Floats2d, Cache]:
    """x: (T, m), weight: (m, h), bias: (h,) or None → y: (T, h), and the cache.

    Raises ValueError for a wrong dtype or shape.
    """
    check_floats("weight", weight, ("m", "h"))
    check_floats("x", x, ("T", weight.shape[0]), like=weight)
    y = product(x, weight)
    if bias is not None:
        check_floats("bias", bias, (weight.shape[1],), like=weight)
        y += bias
    return y, Cache(x, weight)


def linear_backward(
    dy: Floats2d, cache: Cache, accumulate: Floats2d | None = None
) -> tuple[Floats2d, Floats2d, Floats1d]:
    """dy: (T, h) → (dx (T, m), dweight (m, h), dbias (h,)).

    accumulate: (T, m), another share of dx that is added to it, on a device perhaps in place.
    """
    x, weight = cache
    check_floats("dy", dy, (len(x), weight.shape[1]), like=weight)
    dweight, dbias = product(x.T, dy), column_sums(dy)
    if accumulate is None:
        return product(dy, weight.T), dweight, dbias
    check_floats("accumulate", accumulate, x.shape, like=weight)
    return add_product(accumulate, dy, weight.T), dweight, dbias
