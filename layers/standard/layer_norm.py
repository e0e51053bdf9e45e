"""E10  Layer norm: every row centred and scaled to unit variance, then to a learned gain and bias.

    μ = mean_k x_k      σ² = mean_k (x_k − μ)²      r = 1/sqrt(σ² + ε)      x̂ = (x − μ)·r      y = γ·x̂ + β

    g = dy·γ
    dx = r·(g − mean_k g − x̂·mean_k(g·x̂))          dγ = Σ_j dy_j·x̂_j          dβ = Σ_j dy_j

A constant row has σ² = 0: ε > 0 keeps it smooth there (x̂ = 0, dx = r·(g − mean g)). The sum of squares d·σ² must stay
finite: |x| below 1.8e19/√d in float32.
Source: Ba et al., arXiv 1607.06450.
Derivation: layer_norm.md.
"""

from typing import NamedTuple

from engine.arrays.backend import accumulator_dtype, array_module
from engine.arrays.checks import check_floats
from engine.types import Floats1d, Floats2d

EPSILON = 1e-5


class Cache(NamedTuple):
    normalized: Floats2d
    rstd: Floats2d  # (T, 1)
    gain: Floats1d


def layer_norm_forward(x: Floats2d, gain: Floats1d, bias: Floats1d, epsilon: float = EPSILON) -> tuple[Floats2d, Cache]:
    """x: (T, d), gain and bias: (d,) → y: (T, d), and the cache. Raises ValueError for a wrong dtype or shape."""
    check_floats("x", x, ("T", "d"))
    check_floats("gain", gain, (x.shape[1],), like=x)
    check_floats("bias", bias, (x.shape[1],), like=x)
    normalized = x - x.mean(axis=1, keepdims=True)
    variance = row_dots(normalized, normalized) / x.shape[1]
    rstd = 1 / array_module(x).sqrt(variance + variance.dtype.type(epsilon))
    normalized *= rstd
    return normalized * gain + bias, Cache(normalized, rstd, gain)


def layer_norm_backward(dy: Floats2d, cache: Cache) -> tuple[Floats2d, Floats1d, Floats1d]:
    """dy: (T, d) → (dx (T, d), dgain (d,), dbias (d,))."""
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


def row_dots(a: Floats2d, b: Floats2d) -> Floats2d:
    """(T, 1): the sum of a·b along each row, without the (T, d) product in memory."""
    dots: Floats2d = array_module(a).einsum("td,td->t", a, b)[:, None]
    return dots
