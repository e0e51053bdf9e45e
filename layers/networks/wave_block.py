"""A wave block: two linear variants of the same rows → two waves → interference or modulation → readout → feed-forward.

    A = Token2Wave(x·W₁ + b₁)        B = Token2Wave(x·W₂ + b₂)        Z = A + B  or  A·B
    y ← LayerNorm(readout(Z) + x)                           + x if wave_residual; "both" first goes through a linear map
    y ← LayerNorm(y + FeedForward(y))                       left out when hidden = 0

All of it is done once for each distinct token of a text (engine/arrays/bag.py), the linear variants once for each of the batch.
A composition: no mathematics of its own, only caches passed along. Source: Zhang & Sheng, arXiv 2411.02674, section 3.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.bag import Bag, sum_entries
from engine.arrays.ragged import gather_rows, segment_sum
from engine.cuda.kernels import run_on
from engine.layer import Layer
from layers.costs import Flops
from layers.networks.feed_forward import FeedForward
from layers.standard.dropout import dropout_backward, dropout_forward
from layers.standard.layer_norm import LayerNorm
from layers.standard.linear import Linear
from layers.wave import (
    modulated_magnitude_backward,
    modulated_magnitude_flops,
    modulated_magnitude_forward,
    wave_pair_backward,
    wave_pair_flops,
    wave_pair_forward,
)


class Cache(NamedTuple):
    """Caches in the order of computation; parts that the config leaves out are None. bag, output_bag: of x and of y."""

    bag: Bag
    rows: int
    output_bag: Bag
    first_variant: tuple
    second_variant: tuple
    waves: tuple
    projection: tuple | None
    dropout: tuple
    wave_norm: tuple
    feed_forward: tuple | None
    feed_forward_dropout: tuple | None
    feed_forward_norm: tuple | None


class WaveBlock(Layer):
    """One block of a WaveNetworkConfig. forward: x (U, d) → y (P, d), a row for each entry of a Bag over the rows of x.

    The magnitude of a modulation is one row for a whole text (E17). Where nothing sets its tokens apart again, the block
    goes on with that row alone: cache.output_bag tells what the rows of y are.
    """

    def __init__(self, config, rng, dtype=np.float32):
        d = config.dimension
        self.config = config
        self.first_variant = Linear(d, d, rng, dtype)
        self.second_variant = Linear(d, d, rng, dtype)
        self.projection = Linear(2 * d, d, rng, dtype) if config.readout == "both" else None
        self.wave_norm = LayerNorm(d, dtype)
        has_feed_forward = config.hidden > 0
        self.feed_forward = (
            FeedForward(d, config.hidden, config.activation, config.dropout, rng, dtype) if has_feed_forward else None
        )
        self.feed_forward_norm = LayerNorm(d, dtype) if has_feed_forward else None
        self.is_alike = (config.operation, config.readout, config.scope) == ("modulation", "magnitude", "dimension")

    def forward(self, x, bag, rng=None):
        """x: (U, d), bag: P entries over these rows; rng: dropout's generator, None to predict → y: (P, d), and the cache."""
        config, on_device = self.config, run_on(x)
        fold = (
            on_device and self.is_alike
        )  # kernels that read the variants add their biases, which saves a pass over them
        a, first_variant = self.first_variant.forward(x, not fold)
        b, second_variant = self.second_variant.forward(x, not fold)
        output_bag, y_rows = bag.of_own_rows(), None
        if self.is_alike:
            y, waves = modulated_magnitude_forward(
                a, b, bag, *((self.first_variant.bias.value, self.second_variant.bias.value) if fold else ())
            )
            if rng is not None and config.dropout:
                y = gather_rows(y, bag.texts())
            elif config.wave_residual:
                y_rows = bag.texts()
            else:
                output_bag = bag.one_row_per_text()
        else:
            y, waves = wave_pair_forward(a, b, bag, config.operation, config.readout, config.scope)
        y, projection = self.projection.forward(y) if self.projection else (y, None)
        y, dropout = dropout_forward(y, config.dropout, rng)
        y, wave_norm = self.wave_norm.forward(y, *((x, y_rows, bag.places) if config.wave_residual else ()))
        feed_forward = feed_forward_dropout = feed_forward_norm = None
        if self.feed_forward:
            fold = on_device and (rng is None or not config.dropout)
            f, feed_forward = self.feed_forward.forward(y, rng, not fold)
            f, feed_forward_dropout = dropout_forward(f, config.dropout, rng)
            y, feed_forward_norm = self.feed_forward_norm.forward(
                f, y, x_bias=self.feed_forward.contract.bias.value if fold else None
            )
        return y, Cache(
            bag, len(x), output_bag, first_variant, second_variant, waves, projection, dropout, wave_norm,
            feed_forward, feed_forward_dropout, feed_forward_norm,
        )  # fmt: skip

    def backward(self, dy, cache):
        """dy: (P, d), for each entry the sum over its tokens → dx: (U, d)."""
        if self.feed_forward:
            dy = self.feed_forward_norm.backward(dy, cache.feed_forward_norm)
            df = dropout_backward(dy, cache.feed_forward_dropout)
            dy = self.feed_forward.backward(df, cache.feed_forward, onto=dy)  # which nothing else holds
        dy = self.wave_norm.backward(dy, cache.wave_norm)
        residual = dy
        if cache.dropout.scaled_mask is not None:  # else y may have a row for each text where dy has one for each entry
            dy = dropout_backward(dy, cache.dropout)
        if self.projection:
            dy = self.projection.backward(dy, cache.projection)
        if self.is_alike:
            of_texts = dy if cache.output_bag.places is not None else segment_sum(dy, cache.bag.offsets)
            da, db = modulated_magnitude_backward(of_texts, cache.waves)
        else:
            da, db = wave_pair_backward(dy, cache.waves)
        dx = self.first_variant.backward(da, cache.first_variant)
        dx = self.second_variant.backward(db, cache.second_variant, onto=dx)
        return sum_entries(residual, cache.bag, cache.rows, onto=dx) if self.config.wave_residual else dx

    def flops(self, rows, entries, texts, tokens, own_rows=False):
        """Flops of forward and backward without dropout: U rows, P entries that stand for T tokens, B texts.

        own_rows: entry p is row p itself, as in every block but the first.
        """
        config, d, after = self.config, self.config.dimension, entries
        parts = [
            self.first_variant.flops(rows),
            self.second_variant.flops(rows),
            Flops(0, rows * d),
        ]  # the two gradients of x added
        if self.is_alike and config.wave_residual:
            parts.append(Flops(0, entries * d))  # summed over the entries of each text
        elif self.is_alike:
            after = texts
        if self.projection:
            parts.append(self.projection.flops(after))
        parts.append(self.wave_norm.flops(after, config.wave_residual))
        if config.wave_residual:
            parts.append(
                Flops(0, (rows if own_rows else rows + entries) * d)
            )  # summed over the entries of each row, and added
        if self.feed_forward:
            parts += [
                self.feed_forward.flops(after),
                self.feed_forward_norm.flops(after, residual=True),
                Flops(0, after * d),
            ]
        return sum(parts, start=self.mixing_flops(rows, entries, texts, tokens, own_rows))

    def mixing_flops(self, rows, entries, texts, tokens, own_rows=False):
        """Those of the part in which tokens see one another: the waves (E4 to E7, or E17)."""
        config = self.config
        if self.is_alike:
            return modulated_magnitude_flops(rows, texts, config.dimension)
        return wave_pair_flops(
            entries, tokens, texts, config.dimension, config.operation, config.readout, config.scope, own_rows
        )
