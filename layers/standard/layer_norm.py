"""E10  Layer norm: every row centred and scaled to unit variance, then to a learned gain and bias.

    μ = mean_k x_k      σ² = mean_k (x_k − μ)²      r = 1/sqrt(σ² + ε)      x̂ = (x − μ)·r      y = γ·x̂ + β

    g = dy·γ
    dx = r·(g − mean_k g − x̂·mean_k(g·x̂))          dγ = Σ_t dy·x̂          dβ = Σ_t dy

x may be a sum of two arrays with rows of their own, x_t = u_i(t) + r_j(t): dx_t is then the gradient of both.
A constant row has σ² = 0: ε > 0 keeps it smooth there (x̂ = 0, dx = r·(g − mean g)). The sum of squares d·σ² must
stay finite: |x| below 1.8e19/√d in float32. On a device one kernel does all of it, with sums in float64
(layer_norm.cu). Source: Ba et al., arXiv 1607.06450. Derivation: layers/README.md, E10.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.backend import accumulator_dtype, array_module
from engine.arrays.checks import check_floats
from engine.cuda.kernels import with_kernels
from engine.layer import Layer, Parameter
from layers.costs import Flops
from layers.fast import layer_norm_cuda as layer_norm_fused
from layers.fast.layer_norm_cuda import EPSILON


class Cache(NamedTuple):
    normalized: np.ndarray
    rstd: np.ndarray
    gain: np.ndarray


def check_arguments(x, gain, bias, epsilon=EPSILON, residual=None, x_rows=None, residual_rows=None, x_bias=None):
    check_floats("x", x, ("T", "d"))
    check_floats("gain", gain, (x.shape[1],), like=x)
    check_floats("bias", bias, (x.shape[1],), like=x)
    if x_bias is not None:
        check_floats("x_bias", x_bias, (x.shape[1],), like=x)
    rows = len(x) if x_rows is None else len(x_rows)
    if residual is not None:
        check_floats("residual", residual, (rows if residual_rows is None else "T", x.shape[1]), like=x)
    if residual_rows is not None and len(residual_rows) != rows:
        raise ValueError(f"residual_rows: expected {rows} integers, got {len(residual_rows)}")


def layer_norm_forward(x, gain, bias, epsilon=EPSILON, residual=None, x_rows=None, residual_rows=None, x_bias=None):
    """x: (T, d), gain and bias: (d,) → y: (T, d), and the cache. Raises ValueError for a wrong dtype or shape.

    residual: (T, d), added to x first. x_rows, residual_rows: (T,) integers, where row t of the sum is x[x_rows[t]] +
    residual[residual_rows[t]] and either array may have another number of rows. x_bias: (d,), added to every row of x too; its
    gradient is the sum of the rows of dx.
    """
    check_arguments(x, gain, bias, epsilon, residual, x_rows, residual_rows, x_bias)
    xp = array_module(x)
    x = x if x_rows is None else x[x_rows]
    x = x if x_bias is None else x + x_bias
    if residual is not None:
        x = x + (residual if residual_rows is None else residual[residual_rows])
    normalized = x - x.mean(axis=1, keepdims=True)
    variance = row_dots(normalized, normalized) / x.shape[1]
    rstd = 1 / xp.sqrt(variance + variance.dtype.type(epsilon))
    normalized *= rstd
    return normalized * gain + bias, Cache(normalized, rstd, gain)


def layer_norm_backward(dy, cache):
    """dy: (T, d) → (dx (T, d), dgain (d,), dbias (d,)). dx is the gradient of every row of the sum: of x and of the residual."""
    normalized, rstd, gain = cache
    check_floats("dy", dy, normalized.shape, like=normalized)
    total = accumulator_dtype(dy.dtype)
    dgain = (dy * normalized).sum(axis=0, dtype=total).astype(dy.dtype, copy=False)
    dbias = dy.sum(axis=0, dtype=total).astype(dy.dtype, copy=False)
    g = dy * gain
    slope = row_dots(g, normalized) / dy.shape[1]
    g -= g.mean(axis=1, keepdims=True)
    g -= normalized * slope
    g *= rstd
    return g, dgain, dbias


def row_dots(a, b):
    """(T, 1): the sum of a·b along each row, without the (T, d) product in memory."""
    return array_module(a).einsum("td,td->t", a, b)[:, None]


layer_norm_forward, layer_norm_backward = with_kernels(
    layer_norm_forward, layer_norm_backward, layer_norm_fused, check_arguments
)


def layer_norm_flops(rows, dimension, residual=False):
    """Flops for (T, d): 7 and 11 per entry, 5 and 2 per row. residual: whether forward adds one first."""
    return Flops((7 + residual) * rows * dimension + 5 * rows, 11 * rows * dimension + 2 * rows)


class LayerNorm(Layer):
    """Layer norm over d features, with gain 1 and bias 0 at the start."""

    def __init__(self, dimension, dtype=np.float32, epsilon=EPSILON):
        self.epsilon = epsilon
        self.gain = Parameter(np.ones(dimension, dtype), decay=False)
        self.bias = Parameter(np.zeros(dimension, dtype), decay=False)

    def forward(self, x, residual=None, x_rows=None, residual_rows=None, x_bias=None):
        return layer_norm_forward(
            x, self.gain.value, self.bias.value, self.epsilon, residual, x_rows, residual_rows, x_bias
        )

    def backward(self, dy, cache):
        dx, dgain, dbias = layer_norm_backward(dy, cache)
        self.gain.accumulate(dgain)
        self.bias.accumulate(dbias)
        return dx

    def flops(self, rows, residual=False):
        """Flops of forward and backward for (rows, d). residual: whether forward is given one."""
        return layer_norm_flops(rows, len(self.gain.value), residual)
