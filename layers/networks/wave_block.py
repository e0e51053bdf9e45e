"""A wave block: two linear variants of the same rows → two waves → interference or modulation → readout → feed-forward.

    A = Token2Wave(x·W₁ + b₁)        B = Token2Wave(x·W₂ + b₂)        Z = A + B  or  A·B
    y ← LayerNorm(readout(Z) + x)                           + x if wave_residual; "both" first goes through a linear map
    y ← LayerNorm(y + FeedForward(y))                       left out when hidden = 0

A composition: no mathematics of its own, only caches passed along. Source: Zhang & Sheng, arXiv 2411.02674, section 3.
"""

from typing import NamedTuple

import numpy as np

from engine.layer import Layer
from layers.networks.feed_forward import FeedForward
from layers.standard.dropout import dropout_backward, dropout_forward
from layers.standard.layer_norm import LayerNorm
from layers.standard.linear import Linear
from layers.wave import (
    interference_backward,
    interference_forward,
    modulation_backward,
    modulation_forward,
    readout_backward,
    readout_forward,
    token2wave_backward,
    token2wave_forward,
)

COMBINE = {
    "interference": (interference_forward, interference_backward),
    "modulation": (modulation_forward, modulation_backward),
}


class Cache(NamedTuple):
    """Caches in the order of computation; parts that the config leaves out are None."""

    first_variant: tuple
    second_variant: tuple
    first_wave: tuple
    second_wave: tuple
    combined: tuple
    readout: tuple
    projection: tuple | None
    dropout: tuple
    wave_norm: tuple
    feed_forward: tuple | None
    feed_forward_dropout: tuple | None
    feed_forward_norm: tuple | None


class WaveBlock(Layer):
    """One block of a WaveNetworkConfig. forward: x (T, d) → y (T, d)."""

    def __init__(self, config, rng, dtype=np.float32):
        d = config.dimension
        self.config = config
        self.combine_forward, self.combine_backward = COMBINE[config.operation]
        self.first_variant = Linear(d, d, rng, dtype)
        self.second_variant = Linear(d, d, rng, dtype)
        self.projection = Linear(2 * d, d, rng, dtype) if config.readout == "both" else None
        self.wave_norm = LayerNorm(d, dtype)
        has_feed_forward = config.hidden > 0
        self.feed_forward = FeedForward(d, config.hidden, config.activation, config.dropout, rng, dtype) if has_feed_forward else None
        self.feed_forward_norm = LayerNorm(d, dtype) if has_feed_forward else None

    def forward(self, x, offsets, rng=None):
        """x: (T, d), offsets: (B + 1,); rng: dropout's generator, None to predict → y: (T, d), and the cache."""
        config = self.config
        a, first_variant = self.first_variant.forward(x)
        b, second_variant = self.second_variant.forward(x)
        a, first_wave = token2wave_forward(a, offsets, config.scope)
        b, second_wave = token2wave_forward(b, offsets, config.scope)
        z, combined = self.combine_forward(a, b)
        y, readout = readout_forward(z, config.readout)
        y, projection = self.projection.forward(y) if self.projection else (y, None)
        y, dropout = dropout_forward(y, config.dropout, rng)
        y, wave_norm = self.wave_norm.forward(y + x if config.wave_residual else y)
        feed_forward = feed_forward_dropout = feed_forward_norm = None
        if self.feed_forward:
            f, feed_forward = self.feed_forward.forward(y, rng)
            f, feed_forward_dropout = dropout_forward(f, config.dropout, rng)
            y, feed_forward_norm = self.feed_forward_norm.forward(y + f)
        return y, Cache(
            first_variant, second_variant, first_wave, second_wave, combined, readout, projection, dropout, wave_norm,
            feed_forward, feed_forward_dropout, feed_forward_norm,
        )  # fmt: skip

    def backward(self, dy, cache):
        """dy: (T, d), of the output → dx: (T, d)."""
        if self.feed_forward:
            dy = self.feed_forward_norm.backward(dy, cache.feed_forward_norm)
            df = dropout_backward(dy, cache.feed_forward_dropout)
            dy = dy + self.feed_forward.backward(df, cache.feed_forward)
        dy = self.wave_norm.backward(dy, cache.wave_norm)
        residual = dy
        dy = dropout_backward(dy, cache.dropout)
        if self.projection:
            dy = self.projection.backward(dy, cache.projection)
        dz = readout_backward(dy, cache.readout)
        da, db = self.combine_backward(dz, cache.combined)
        dx = self.first_variant.backward(token2wave_backward(da, cache.first_wave), cache.first_variant)
        dx = dx + self.second_variant.backward(token2wave_backward(db, cache.second_wave), cache.second_variant)
        return dx + residual if self.config.wave_residual else dx
