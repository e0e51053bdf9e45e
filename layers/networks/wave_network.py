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
from layers.networks.parts import Embedding, Linear
from layers.networks.text_classifier import INITIAL_VALUES, TextClassifier
from layers.networks.wave_block import WaveBlock
from layers.standard.token_dropout import drop_tokens


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
