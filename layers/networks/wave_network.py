"""The Wave Network: embedding → wave blocks → pooling → classifier.

Token by token, one line an equation, forward and backward as mirror images. No mathematics of its own.
planned_wave_network.py computes the same, each distinct row once. Source: Zhang & Sheng, arXiv 2411.02674.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import host_generator, move_together
from engine.arrays.checks import check_ids, check_offsets
from engine.arrays.ragged import RaggedBatch, cut_in_segments, lengths, places_of
from engine.types import Floats2d, Offsets
from layers.networks.configs import LEVELS, WaveNetworkConfig
from layers.networks.parts import Embedding, FeedForward, LayerNorm, Linear, Part, PositionEncoding, initial_generator
from layers.networks.shortcut import DistinctTokens, NaiveBayes, distinct_per_text, left_out
from layers.networks.text_classifier import TextClassifier
from layers.standard.token_dropout import drop_tokens, kept_tokens
from layers.wave import READOUTS, Wave


class BlockCache(NamedTuple):
    """Caches in the order of computation; those of parts that the config leaves out are None."""

    first_variant: Any
    second_variant: Any
    first_wave: Any
    second_wave: Any
    combined: Any
    wave_sum: Any
    readout: Any
    projection: Any
    dropout: Any
    row_sum: Any
    wave_norm: Any
    feed_forward: Any
    feed_forward_dropout: Any
    feed_forward_sum: Any
    feed_forward_norm: Any


class WaveBlock(Part):
    """Two linear variants of the same rows → two waves → one wave → real numbers → feed-forward.

        a = x·W₁ + b₁          A = Token2Wave(a)          of the sentence or of the text
        b = x·W₂ + b₂          B = Token2Wave(b)          Z = operation(A, B)
        normed    y ← LayerNorm(readout(Z) + x)           + x if wave_residual
        eq8       y ← readout(Z) + x
        fig6b     y ← readout(Z + x)                      the readout "both" first goes through a linear map
        y ← LayerNorm(y + FeedForward(y))                 left out when hidden = 0; eq8, fig6b: in the last block alone

    variants = wave: A = Token2Wave(x)·W₁ + b₁; none: without maps. Source: section 3, Eq. 8, Fig. 6.
    """

    def __init__(self, config: WaveNetworkConfig, rng: Any, dtype: Any = np.float32, last: bool = True):
        d = config.dimension
        self.config = config
        self.first_variant = Linear(d, d, rng, dtype) if config.variants != "none" else None
        self.second_variant = Linear(d, d, rng, dtype) if config.variants != "none" else None
        width = READOUTS[config.readout].width
        self.projection = Linear(width * d, d, rng, dtype) if width > 1 else None
        self.wave_norm = LayerNorm(d, dtype) if config.block_form == "normed" else None
        self.feed_forward: FeedForward | None = None
        self.feed_forward_norm: LayerNorm | None = None
        if config.hidden and (last or config.block_form == "normed"):
            self.feed_forward = FeedForward(d, config.hidden, config.activation, config.dropout, rng, dtype)
            self.feed_forward_norm = LayerNorm(d, dtype)

    def forward(
        self, x: Floats2d, offsets: Offsets, rng: Any = None, second_offsets: Offsets | None = None
    ) -> tuple[Floats2d, BlockCache]:
        """x: (T, d) → y: (T, d), and the cache. rng: dropout's generator, None to predict.

        offsets: (number of texts or sentences + 1,), of which the first branch takes the magnitudes; second_offsets:
        of which the second does, by default the same.
        """
        f, config = self.functions, self.config
        wave_sum = projection = row_sum = wave_norm = None
        feed_forward = feed_forward_dropout = feed_forward_sum = feed_forward_norm = None
        second_offsets = offsets if second_offsets is None else second_offsets
        A, first_variant, first_wave = self.branch_forward(self.first_variant, x, offsets)  # E8 and E4
        B, second_variant, second_wave = self.branch_forward(self.second_variant, x, second_offsets)  # E8 and E4
        Z, combined = f.operation_forward(A, B, config.operation)  # E5, E6, E20
        if config.block_form == "fig6b":
            re, wave_sum = f.residual_forward(Z.re, x)  # E21
            Z = Wave(re, Z.im)
        y, readout = f.readout_forward(Z, config.readout)  # E7
        if self.projection:
            y, projection = self.projection.forward(y)  # E8
        y, dropout = f.dropout_forward(y, config.dropout, rng)  # E13
        if config.adds_input():
            y, row_sum = f.residual_forward(y, x)  # E21
        if self.wave_norm:
            y, wave_norm = self.wave_norm.forward(y)  # E10
        if self.feed_forward and self.feed_forward_norm:
            z, feed_forward = self.feed_forward.forward(y, rng)  # E8, E11 or E12, E13, E8
            z, feed_forward_dropout = f.dropout_forward(z, config.dropout, rng)  # E13
            y, feed_forward_sum = f.residual_forward(z, y)  # E21
            y, feed_forward_norm = self.feed_forward_norm.forward(y)  # E10
        return y, BlockCache(
            first_variant, second_variant, first_wave, second_wave, combined, wave_sum, readout, projection, dropout,
            row_sum, wave_norm, feed_forward, feed_forward_dropout, feed_forward_sum, feed_forward_norm,
        )  # fmt: skip

    def backward(self, dy: Floats2d, cache: BlockCache) -> Floats2d:
        """dy: (T, d) → dx: (T, d)."""
        f, dx = self.functions, None
        if self.feed_forward and self.feed_forward_norm:
            dy = self.feed_forward_norm.backward(dy, cache.feed_forward_norm)  # E10
            dz, dy = f.residual_backward(dy, cache.feed_forward_sum)  # E21
            dz = f.dropout_backward(dz, cache.feed_forward_dropout)  # E13
            dy = dy + self.feed_forward.backward(dz, cache.feed_forward)  # E8, E13, E11 or E12, E8; branches add
        if self.wave_norm:
            dy = self.wave_norm.backward(dy, cache.wave_norm)  # E10
        if self.config.adds_input():
            dy, dx = f.residual_backward(dy, cache.row_sum)  # E21
        dy = f.dropout_backward(dy, cache.dropout)  # E13
        if self.projection:
            dy = self.projection.backward(dy, cache.projection)  # E8
        dZ = f.readout_backward(dy, cache.readout)  # E7
        if self.config.block_form == "fig6b":
            dre, dx = f.residual_backward(dZ.re, cache.wave_sum)  # E21
            dZ = Wave(dre, dZ.im)
        dA, dB = f.operation_backward(dZ, cache.combined)  # E5, E6, E20; below E4 and E8, and the branches add
        db = self.branch_backward(self.second_variant, dB, cache.second_variant, cache.second_wave)
        da = self.branch_backward(self.first_variant, dA, cache.first_variant, cache.first_wave)
        dx = self.variant_backward(self.second_variant, db, cache.second_variant, dx)
        return self.variant_backward(self.first_variant, da, cache.first_variant, dx)

    def branch_forward(self, variant: Linear | None, x: Floats2d, offsets: Offsets) -> tuple[Wave, Any, Any]:
        """x: (T, d), offsets: (S + 1,) → the wave of a branch (T, d), and the caches of map and wave."""
        f, config, mapped = self.functions, self.config, None
        if variant and config.variants == "embeddings":
            x, mapped = variant.forward(x)
        A, wave = f.wave_forward(x, offsets, config.scope, config.wave)
        if variant and config.variants == "wave":
            A, mapped = variant.wave_forward(A)
        return A, mapped, wave

    def branch_backward(self, variant: Linear | None, dA: Wave, mapped: Any, wave: Any) -> Floats2d:
        """dA: Wave of (T, d) → (T, d): the gradient of what the wave was made of."""
        if variant and self.config.variants == "wave":
            dA = variant.wave_backward(dA, mapped)
        da: Floats2d = self.functions.wave_backward(dA, wave)
        return da

    def variant_backward(self, variant: Linear | None, da: Floats2d, mapped: Any, accumulate: Any) -> Floats2d:
        """da: (T, d), of branch_backward → dx: (T, d). accumulate: another share of dx, added to it; or None."""
        if variant and self.config.variants == "embeddings":
            return variant.backward(da, mapped, accumulate)
        return da if accumulate is None else accumulate + da


def offsets_of(batch: RaggedBatch, level: str) -> Offsets:
    """The offsets of the texts, or of the sentences, of a batch."""
    offsets = {"text": batch.offsets, "sentence": batch.sentence_offsets}[level]
    assert offsets is not None
    return offsets


# Fields that a heading mentions only where they differ from the default.
UNUSUAL = {
    name: WaveNetworkConfig.fields()[name].default
    for name in ("position_encoding", "variants", "levels", "wave", "block_form", "shortcut", "labels")
}


class Cache(NamedTuple):
    """Caches in the order of computation."""

    embedding: Any
    position_encoding: Any
    embedding_dropout: Any
    blocks: tuple[Any, ...]
    pooling: Any
    classifier_dropout: Any
    classifier: Any
    shortcut: Any
    shortcut_sum: Any


class WaveNetwork(TextClassifier):
    """A Wave Network of a WaveNetworkConfig, for V token ids and C classes.

    Equal seeds give equal initial parameters.
    """

    config: WaveNetworkConfig

    def __init__(
        self, config: WaveNetworkConfig, vocabulary: int, classes: int, seed: int | None = 0, dtype: Any = np.float32
    ):
        rng = initial_generator(seed)
        self.config = config
        self.embedding = Embedding(vocabulary, config.dimension, rng, dtype, config.embedding_scale)
        self.position_encoding: PositionEncoding | None = None
        if config.position_encoding != "none":
            self.position_encoding = PositionEncoding(
                config.position_encoding, config.positions, config.dimension, config.position_scale, rng, dtype
            )
        self.blocks = [WaveBlock(config, rng, dtype, last=n == config.blocks) for n in range(1, config.blocks + 1)]
        self.classifier = Linear(config.dimension, classes, rng, dtype)
        self.shortcut = NaiveBayes(vocabulary, classes, dtype) if config.shortcut == "naive-bayes" else None

    def forward(self, batch: Any, train: bool = False, rng: Any = None) -> tuple[Floats2d, Any]:
        """batch: RaggedBatch of B texts → logits (B, C), and the Cache. Dropout acts only with train and an rng.

        Raises ValueError for invalid ids or offsets.
        """
        f, config, rng = self.functions, self.config, rng if train else None
        tokens = move_together(self.kept_tokens(batch, rng), self.embedding.table.value)  # E16; to the parameters
        counted = self.shortcut_tokens(batch, rng)
        first, second = (offsets_of(tokens, level) for level in LEVELS[config.levels])
        x, embedding = self.embedding.forward(tokens.ids)  # E9
        position_encoding = None
        if self.position_encoding:
            x, position_encoding = self.position_encoding.forward(x, places_of(tokens))  # E22
        x, embedding_dropout = f.dropout_forward(x, config.embedding_dropout, rng)  # E13
        blocks = []
        for block in self.blocks:
            x, cache = block.forward(x, first, rng, second)
            blocks.append(cache)
        x, pooling = f.pooling_forward(x, tokens.offsets, config.pooling)  # E14
        x, classifier_dropout = f.dropout_forward(x, config.classifier_dropout, rng)  # E13
        logits, classifier = self.classifier.forward(x)  # E8
        shortcut = shortcut_sum = None
        if self.shortcut and counted:
            counted = move_together(counted, self.embedding.table.value)
            y, shortcut = self.shortcut.forward(counted, tokens.labels if train else None)  # E25
            logits, shortcut_sum = f.residual_forward(logits, y)  # E21
        return logits, Cache(
            embedding, position_encoding, embedding_dropout, tuple(blocks), pooling, classifier_dropout, classifier,
            shortcut, shortcut_sum,
        )  # fmt: skip

    def backward(self, dlogits: Floats2d, cache: Any) -> None:
        """dlogits: (B, C). Adds to every parameter's gradient; token ids have none, so nothing is returned."""
        f = self.functions
        if self.shortcut:
            dlogits, dy = f.residual_backward(dlogits, cache.shortcut_sum)  # E21
            self.shortcut.backward(dy, cache.shortcut)  # E25
        dx = self.classifier.backward(dlogits, cache.classifier)  # E8
        dx = f.dropout_backward(dx, cache.classifier_dropout)  # E13
        dx = f.pooling_backward(dx, cache.pooling)  # E14
        for block, block_cache in zip(reversed(self.blocks), reversed(cache.blocks)):
            dx = block.backward(dx, block_cache)
        dx = f.dropout_backward(dx, cache.embedding_dropout)  # E13
        if self.position_encoding:
            dx = self.position_encoding.backward(dx, cache.position_encoding)  # E22
        self.embedding.backward(dx, cache.embedding)  # E9

    def learn_counts(self, texts: RaggedBatch, counted: int | None = None) -> None:
        """Count the labels of all training texts for the ratios of E25, where the config asks for it.

        counted: token ids from there on are left out (of a word's many n-grams the sum would be far too sure).
        """
        if self.shortcut:
            self.shortcut.learn(texts, counted)

    def shortcut_tokens(self, batch: RaggedBatch, rng: Any = None) -> DistinctTokens | None:
        """The tokens of the shortcut, E16 or not, where the batch lies: none of texts that do without it, by an rng.

        None without a shortcut.
        """
        if self.config.shortcut == "none":
            return None
        distinct = distinct_per_text(batch, len(self.embedding.table.value))
        return left_out(distinct, self.config.shortcut_dropout, host_generator(rng, batch.ids))

    def kept_tokens(self, batch: RaggedBatch, rng: Any) -> RaggedBatch:
        """The batch, in training without the tokens that are dropped.

        Raises ValueError for wrong ids or offsets, and for a text of more tokens than there are positions.
        """
        config = self.config
        check_ids(batch.ids, len(self.embedding.table.value))
        check_offsets(batch.offsets, len(batch.ids))
        if config.levels != "text":
            if batch.sentence_offsets is None:
                raise ValueError(f"batch: levels {config.levels} need sentence_offsets, got None")
            check_offsets(batch.sentence_offsets, len(batch.ids))
            cut_in_segments(batch.sentence_offsets, batch.offsets)  # texts end where sentences end
        longest = int(lengths(batch.offsets).max(initial=0)) if self.position_encoding else 0
        if longest > config.positions:
            raise ValueError(f"batch: a text has {longest} tokens, the network has {config.positions} positions")
        host = host_generator(rng, batch.ids) if config.token_dropout else None
        kept = kept_tokens(batch.offsets, config.token_dropout, host, config.spared_tokens)
        return drop_tokens(batch, kept)

    def heading(self) -> str:
        """The kind of network and its choices, in a line."""
        config = self.config
        unusual = [f"{name} {getattr(config, name)}" for name in UNUSUAL if getattr(config, name) != UNUSUAL[name]]
        choices = [config.operation, f"{config.readout} readout", f"magnitude per {config.scope}"]
        return "Wave Network: " + ", ".join([*choices, *unusual, f"{config.pooling} pooling"]).replace("_", " ")
