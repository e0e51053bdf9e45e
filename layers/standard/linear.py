"""E8  Linear map.

    y = x·W + b

    dx = dy·Wᵀ          dW = xᵀ·dy          db = Σ_t dy_t

Smooth everywhere. Derivation: layers/README.md, E8.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.checks import check_floats
from engine.arrays.matmul import add_product, product
from engine.arrays.ragged import column_sums
from engine.layer import Layer, Parameter
from layers.costs import Flops


class Cache(NamedTuple):
    x: np.ndarray
    weight: np.ndarray


def linear_forward(x, weight, bias):
    """x: (T, p), weight: (p, q), bias: (q,) or None → y: (T, q), and the cache. ValueError for a wrong dtype or shape."""
    check_floats("weight", weight, ("p", "q"))
    check_floats("x", x, ("T", weight.shape[0]), like=weight)
    y = product(x, weight)
    if bias is not None:
        check_floats("bias", bias, (weight.shape[1],), like=weight)
        y += bias
    return y, Cache(x, weight)


def linear_backward(dy, cache, onto=None):
    """dy: (T, q) → (dx (T, p), dweight (p, q), dbias (q,)).

    onto: (T, p), to which dx is added: on a device perhaps in place, so that nobody else may read it any more. It may be dy.
    """
    x, weight = cache
    check_floats("dy", dy, (len(x), weight.shape[1]), like=weight)
    if onto is not None:
        check_floats("onto", onto, x.shape, like=weight)
    dweight, dbias = product(x.T, dy), column_sums(dy)
    return product(dy, weight.T) if onto is None else add_product(onto, dy, weight.T), dweight, dbias


def linear_flops(rows, inputs, outputs, bias=True):
    """Flops of one product forward and two backward. bias: whether forward adds one; its gradient is formed in any case."""
    product = 2 * rows * inputs * outputs
    return Flops(product + bias * rows * outputs, 2 * product + rows * outputs)


class Linear(Layer):
    """y = x·W + b with W: (p, q) drawn from N(0, 1/p), so that y has the scale of x, and b = 0 (or none)."""

    def __init__(self, inputs, outputs, rng, dtype=np.float32, bias=True):
        self.weight = Parameter((rng.standard_normal((inputs, outputs)) / np.sqrt(inputs)).astype(dtype))
        self.bias = Parameter(np.zeros(outputs, dtype), decay=False) if bias else None

    def forward(self, x, add_bias=True):
        """add_bias: False where whoever takes y adds the bias; its gradient is the same."""
        return linear_forward(x, self.weight.value, None if self.bias is None or not add_bias else self.bias.value)

    def backward(self, dy, cache, onto=None):
        """onto: as in linear_backward."""
        dx, dweight, dbias = linear_backward(dy, cache, onto)
        self.weight.accumulate(dweight)
        if self.bias is not None:
            self.bias.accumulate(dbias)
        return dx

    def flops(self, rows, add_bias=True):
        """Flops of forward(x, add_bias) and backward for (rows, p)."""
        return linear_flops(rows, *self.weight.value.shape, add_bias and self.bias is not None)
