"""Parts of several heads at a time: linear maps whose matrix is block-diagonal, and layer norms, head by head.

Rows hold the heads one after another, (T, K·d). Each part computes what K parts of parts.py would compute on the
columns of their heads. No mathematics of their own.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.ragged import column_sums, gather_rows
from engine.types import Array, Floats1d, Floats2d, Floats3d, Ints1d
from layers.networks.parts import FeedForward, LayerNorm, Linear, Part


def by_head(x: Floats2d, heads: int) -> Floats3d:
    """x: (T, K·m) → a view (K, T, m)."""
    view: Floats3d = x.reshape(len(x), heads, x.shape[1] // heads).transpose(1, 0, 2)
    return view


def products(x: Floats2d, weight: Floats3d) -> Floats2d:
    """x: (T, K·m), weight: (K, m, h) → (T, K·h): each head times its own matrix."""
    xp, (heads, _, h) = array_module(x), weight.shape
    y: Floats2d = xp.empty((len(x), heads * h), np.result_type(x, weight))
    xp.matmul(by_head(x, heads), weight, out=by_head(y, heads))
    return y


class HeadsLinear(Linear):
    """y_k = x_k·W_k + b_k with W: (K, m, h) and b: (K, h).

    parts: x is cut into so many parts, each of which holds all heads, (T, parts·K·m/parts).
    """

    parts: int = 1

    def values(self) -> tuple[Array, Floats1d | None]:
        """W, and b as one row."""
        return self.weight.value, None if self.bias is None else self.bias.value.reshape(-1)

    def forward(self, x: Floats2d, fuse_bias: bool = False) -> tuple[Floats2d, Any]:
        weight, bias = self.values()
        x = swapped(x, self.parts, len(weight))
        y = products(x, weight)
        if bias is not None and not fuse_bias:
            y += bias
        return y, x

    def backward(self, dy: Floats2d, cache: Any, accumulate: Floats2d | None = None) -> Floats2d:
        weight, _ = self.values()
        x, heads = cache, len(weight)
        dweight = array_module(x).matmul(by_head(x, heads).transpose(0, 2, 1), by_head(dy, heads))
        self.accumulate(dweight, column_sums(dy).reshape(heads, -1))
        dx = swapped(products(dy, weight.transpose(0, 2, 1)), heads, self.parts)
        if accumulate is not None:
            dx += accumulate
        return dx


def swapped(x: Floats2d, parts: int, others: int) -> Floats2d:
    """x: (T, parts·others·m) → (T, others·parts·m)."""
    if parts == 1 or others == 1:
        return x
    y: Floats2d = x.reshape(len(x), parts, others, -1).transpose(0, 2, 1, 3).reshape(x.shape)
    return y


class NormCache(NamedTuple):
    normalized: Floats2d
    norm: Any


class HeadsLayerNorm(LayerNorm):
    """The layer norm of each head, with gain and bias (K, d)."""

    def forward(
        self,
        x: Floats2d,
        residual: Floats2d | None = None,
        x_rows: Ints1d | None = None,
        residual_rows: Ints1d | None = None,
    ) -> tuple[Floats2d, Any]:
        x = x if x_rows is None else gather_rows(x, x_rows)
        if residual is not None:
            x = x + (residual if residual_rows is None else gather_rows(residual, residual_rows))
        gain, bias = self.gain.value, self.bias.value
        one, zero = (array_module(x).full(gain.shape[1], number, gain.dtype) for number in (1, 0))
        flat, norm = self.functions.layer_norm_sum_forward(x.reshape(-1, gain.shape[1]), one, zero, self.epsilon)
        normalized = flat.reshape(x.shape)
        return normalized * gain.reshape(-1) + bias.reshape(-1), NormCache(normalized, norm)

    def backward(self, dy: Floats2d, cache: Any) -> Floats2d:
        gain = self.gain.value
        self.gain.accumulate(column_sums(dy * cache.normalized).reshape(gain.shape))
        self.bias.accumulate(column_sums(dy).reshape(gain.shape))
        scaled = (dy * gain.reshape(-1)).reshape(-1, gain.shape[1])
        dx: Floats2d = self.functions.layer_norm_sum_backward(scaled, cache.norm)[0].reshape(dy.shape)
        return dx


class HeadsFeedForward(FeedForward):
    """The feed-forward layer of each head, without dropout."""

    def forward(self, x: Floats2d, rng: Any = None) -> tuple[Floats2d, Any]:
        y, expanded = self.expand.forward(x)
        y, activated = self.functions.pairs[self.activation][0](y)
        z, contracted = self.contract.forward(y)
        return z, (expanded, activated, contracted)

    def backward(self, dz: Floats2d, cache: Any) -> Floats2d:
        expanded, activated, contracted = cache
        dy = self.contract.backward(dz, contracted)
        return self.expand.backward(self.functions.pairs[self.activation][1](dy, activated), expanded)


WIDE: dict[type[Part], type[Part]] = {Linear: HeadsLinear, LayerNorm: HeadsLayerNorm, FeedForward: HeadsFeedForward}


def widened(part: Part) -> None:
    """Let the inner parts of a network whose parameters are those of several heads compute all of them."""
    for value in vars(part).values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Part):
                widened(inner)
                inner.__class__ = WIDE.get(type(inner), type(inner))
