"""The Wave Network: embedding → wave blocks → pooling → classifier.

Token by token, one line an equation, forward and backward as mirror images. No mathematics of its own.
planned_wave_network.py computes the same, each distinct row once. Source: Zhang & Sheng, arXiv 2411.02674.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import host_generator, move_together, random_generator
from engine.arrays.checks import check_ids, check_offsets
from engine.arrays.ragged import RaggedBatch
from engine.types import Floats2d, Ints1d, Offsets
from layers.networks.configs import WaveNetworkConfig
from layers.networks.parts import INITIAL_VALUES, Embedding, FeedForward, LayerNorm, Linear, Part, TextClassifier
from layers.standard.token_dropout import drop_tokens
from layers.wave import READOUTS


class BlockCache(NamedTuple):
    """Caches in the order of computation; those of parts that the config leaves out are None."""

    first_variant: Any
    second_variant: Any
    first_wave: Any
    second_wave: Any
    combined: Any
    readout: Any
    projection: Any
    dropout: Any
    wave_sum: Any
    wave_norm: Any
    feed_forward: Any
    feed_forward_dropout: Any
    feed_forward_sum: Any
    feed_forward_norm: Any


class WaveBlock(Part):
    """Two linear variants of the same rows → two waves → one wave → real numbers → feed-forward.

        a = x·W₁ + b₁          A = Token2Wave(a)
        b = x·W₂ + b₂          B = Token2Wave(b)          Z = A ∘ B, the operation
        y ← LayerNorm(readout(Z) + x)                     + x if wave_residual; "both" first goes through a linear map
        y ← LayerNorm(y + FeedForward(y))                 left out when hidden = 0

    Source: section 3.
    """

    def __init__(self, config: WaveNetworkConfig, rng: Any, dtype: Any = np.float32):
        d = config.dimension
        self.config = config
        self.first_variant = Linear(d, d, rng, dtype)
        self.second_variant = Linear(d, d, rng, dtype)
        width = READOUTS[config.readout].width
        self.projection = Linear(width * d, d, rng, dtype) if width > 1 else None
        self.wave_norm = LayerNorm(d, dtype)
        self.feed_forward: FeedForward | None = None
        self.feed_forward_norm: LayerNorm | None = None
        if config.hidden:
            self.feed_forward = FeedForward(d, config.hidden, config.activation, config.dropout, rng, dtype)
            self.feed_forward_norm = LayerNorm(d, dtype)

    def forward(self, x: Floats2d, offsets: Offsets, rng: Any = None) -> tuple[Floats2d, BlockCache]:
        """x: (T, d), offsets: (B + 1,); rng: dropout's generator, None to predict → y: (T, d), and the cache."""
        f, config = self.functions, self.config
        projection = wave_sum = feed_forward = feed_forward_dropout = feed_forward_sum = feed_forward_norm = None
        a, first_variant = self.first_variant.forward(x)  # E8
        b, second_variant = self.second_variant.forward(x)  # E8
        A, first_wave = f.token2wave_forward(a, offsets, config.scope)  # E4
        B, second_wave = f.token2wave_forward(b, offsets, config.scope)  # E4
        Z, combined = f.operation_forward(A, B, config.operation)  # E5, E6, E20
        y, readout = f.readout_forward(Z, config.readout)  # E7
        if self.projection:
            y, projection = self.projection.forward(y)  # E8
        y, dropout = f.dropout_forward(y, config.dropout, rng)  # E13
        if config.wave_residual:
            y, wave_sum = f.residual_forward(y, x)  # E21
        y, wave_norm = self.wave_norm.forward(y)  # E10
        if self.feed_forward and self.feed_forward_norm:
            z, feed_forward = self.feed_forward.forward(y, rng)  # E8, E11 or E12, E13, E8
            z, feed_forward_dropout = f.dropout_forward(z, config.dropout, rng)  # E13
            y, feed_forward_sum = f.residual_forward(z, y)  # E21
            y, feed_forward_norm = self.feed_forward_norm.forward(y)  # E10
        return y, BlockCache(
            first_variant, second_variant, first_wave, second_wave, combined, readout, projection, dropout, wave_sum,
            wave_norm, feed_forward, feed_forward_dropout, feed_forward_sum, feed_forward_norm,
        )  # fmt: skip

    def backward(self, dy: Floats2d, cache: BlockCache) -> Floats2d:
        """dy: (T, d) → dx: (T, d)."""
        f = self.functions
        if self.feed_forward and self.feed_forward_norm:
            dy = self.feed_forward_norm.backward(dy, cache.feed_forward_norm)
            dz, dy = f.residual_backward(dy, cache.feed_forward_sum)
            dz = f.dropout_backward(dz, cache.feed_forward_dropout)
            dy = dy + self.feed_forward.backward(dz, cache.feed_forward)
        dy = self.wave_norm.backward(dy, cache.wave_norm)
        dx = None
        if self.config.wave_residual:
            dy, dx = f.residual_backward(dy, cache.wave_sum)
        dy = f.dropout_backward(dy, cache.dropout)
        if self.projection:
            dy = self.projection.backward(dy, cache.projection)
        dZ = f.readout_backward(dy, cache.readout)
        dA, dB = f.operation_backward(dZ, cache.combined)
        db = f.token2wave_backward(dB, cache.second_wave)
        da = f.token2wave_backward(dA, cache.first_wave)
        dx = self.second_variant.backward(db, cache.second_variant, dx)
        return self.first_variant.backward(da, cache.first_variant, dx)


class Cache(NamedTuple):
    """Caches in the order of computation."""

    embedding: Any
    embedding_dropout: Any
    blocks: tuple[Any, ...]
    pooling: Any
    classifier_dropout: Any
    classifier: Any


class WaveNetwork(TextClassifier):
    """A Wave Network of a WaveNetworkConfig, for V token ids and C classes.

    Equal seeds give equal initial parameters.
    """

    config: WaveNetworkConfig

    def __init__(
        self, config: WaveNetworkConfig, vocabulary: int, classes: int, seed: int = 0, dtype: Any = np.float32
    ):
        rng = random_generator(seed, INITIAL_VALUES)
        self.config = config
        self.embedding = Embedding(vocabulary, config.dimension, rng, dtype, config.embedding_scale)
        self.blocks = [WaveBlock(config, rng, dtype) for _ in range(config.blocks)]
        self.classifier = Linear(config.dimension, classes, rng, dtype)

    def forward(self, batch: Any, train: bool = False, rng: Any = None) -> tuple[Floats2d, Any]:
        """batch: RaggedBatch of B texts → logits (B, C), and the Cache. Dropout acts only with train and an rng.

        Raises ValueError for ids or offsets that are none.
        """
        f, config, rng = self.functions, self.config, rng if train else None
        ids, offsets = self.kept_tokens(batch, rng)  # E16
        ids, offsets = move_together((ids, offsets), self.embedding.table.value)  # to where the parameters are
        x, embedding = self.embedding.forward(ids)  # E9
        x, embedding_dropout = f.dropout_forward(x, config.embedding_dropout, rng)  # E13
        blocks = []
        for block in self.blocks:
            x, cache = block.forward(x, offsets, rng)  # E4 to E8
            blocks.append(cache)
        x, pooling = f.pooling_forward(x, offsets, config.pooling)  # E14
        x, classifier_dropout = f.dropout_forward(x, config.classifier_dropout, rng)  # E13
        logits, classifier = self.classifier.forward(x)  # E8
        return logits, Cache(embedding, embedding_dropout, tuple(blocks), pooling, classifier_dropout, classifier)

    def backward(self, dlogits: Floats2d, cache: Any) -> None:
        """dlogits: (B, C). Adds to every parameter's gradient; token ids have none, so nothing is returned."""
        f = self.functions
        dx = self.classifier.backward(dlogits, cache.classifier)
        dx = f.dropout_backward(dx, cache.classifier_dropout)
        dx = f.pooling_backward(dx, cache.pooling)
        for block, block_cache in zip(reversed(self.blocks), reversed(cache.blocks)):
            dx = block.backward(dx, block_cache)
        dx = f.dropout_backward(dx, cache.embedding_dropout)
        self.embedding.backward(dx, cache.embedding)

    def kept_tokens(self, batch: RaggedBatch, rng: Any) -> tuple[Ints1d, Offsets]:
        """(ids, offsets) of a batch, in training without the tokens that are dropped.

        Raises ValueError for wrong ids or offsets.
        """
        config = self.config
        check_ids(batch.ids, len(self.embedding.table.value))
        check_offsets(batch.offsets, len(batch.ids))
        host = host_generator(rng, batch.ids) if config.token_dropout else None
        return drop_tokens(batch.ids, batch.offsets, config.token_dropout, host, config.spared_tokens)

    def heading(self) -> str:
        """The kind of network and its choices, in a line."""
        config = self.config
        return (
            f"Wave Network: {config.operation}, {config.readout} readout, magnitude per {config.scope}, "
            f"{config.pooling} pooling"
        )
