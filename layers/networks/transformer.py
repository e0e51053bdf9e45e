"""A BERT-shaped Transformer: embeddings of tokens and positions → blocks → first token → pooler → classifier.

    x_t ← dropout(LayerNorm(E[id_t] + P[position of t in its text]))
    x ← blocks(x)
    logits ← dropout(tanh(x_first·W + b))·W_c + b_c

There are no token types: a sample is one text. Texts lie one after another, so nothing is padded and nothing masked.
A composition: no mathematics of its own, only caches passed along. Source: Devlin et al., arXiv 1810.04805.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import move_together
from engine.arrays.checks import check_ids, check_offsets
from engine.arrays.ragged import lengths, positions
from engine.types import Floats2d, Offsets
from layers.networks.configs import TransformerConfig
from layers.networks.parts import Embedding, FeedForward, LayerNorm, Linear, Part, initial_generator
from layers.networks.text_classifier import TextClassifier


class BlockCache(NamedTuple):
    """Caches in the order of computation."""

    query: Any
    key: Any
    value: Any
    attention: Any
    output: Any
    attention_dropout: Any
    attention_norm: Any
    feed_forward: Any
    feed_forward_dropout: Any
    feed_forward_norm: Any


class TransformerBlock(Part):
    """Attention and feed-forward, each added to its input and normalised afterwards.

        x ← LayerNorm(x + dropout(Attention(x·W_q + b_q, x·W_k + b_k, x·W_v + b_v)·W_o + b_o))
        y ← LayerNorm(x + dropout(GELU(x·U₁ + c₁)·U₂ + c₂))

    The attention's weights are not dropped. Source: Vaswani et al., arXiv 1706.03762.
    """

    def __init__(self, config: TransformerConfig, rng: Any, dtype: Any = np.float32):
        d = config.dimension
        self.heads, self.dropout = config.heads, config.dropout
        self.query, self.key, self.value, self.output = (Linear(d, d, rng, dtype) for _ in range(4))
        self.attention_norm = LayerNorm(d, dtype, config.norm_epsilon)
        self.feed_forward = FeedForward(d, config.hidden, "gelu", 0.0, rng, dtype)
        self.feed_forward_norm = LayerNorm(d, dtype, config.norm_epsilon)

    def forward(self, x: Floats2d, offsets: Offsets, rng: Any = None) -> tuple[Floats2d, BlockCache]:
        """x: (T, d), offsets: (B + 1,); rng: dropout's generator, None to predict → y: (T, d), and the cache."""
        q, query = self.query.forward(x)
        k, key = self.key.forward(x)
        v, value = self.value.forward(x)
        y, attention = self.functions.attention_forward(q, k, v, offsets, self.heads)
        y, output = self.output.forward(y)
        y, attention_dropout = self.functions.dropout_forward(y, self.dropout, rng)
        x, attention_norm = self.attention_norm.forward(y, x)
        y, feed_forward = self.feed_forward.forward(x)
        y, feed_forward_dropout = self.functions.dropout_forward(y, self.dropout, rng)
        y, feed_forward_norm = self.feed_forward_norm.forward(y, x)
        return y, BlockCache(
            query, key, value, attention, output, attention_dropout, attention_norm,
            feed_forward, feed_forward_dropout, feed_forward_norm,
        )  # fmt: skip

    def backward(self, dy: Floats2d, cache: BlockCache) -> Floats2d:
        """dy: (T, d) → dx: (T, d)."""
        dy = self.feed_forward_norm.backward(dy, cache.feed_forward_norm)
        df = self.functions.dropout_backward(dy, cache.feed_forward_dropout)
        dy = dy + self.feed_forward.backward(df, cache.feed_forward)
        dx = self.attention_norm.backward(dy, cache.attention_norm)
        dy = self.functions.dropout_backward(dx, cache.attention_dropout)
        dq, dk, dv = self.functions.attention_backward(self.output.backward(dy, cache.output), cache.attention)
        dx = dx + self.query.backward(dq, cache.query)
        dx += self.key.backward(dk, cache.key)
        dx += self.value.backward(dv, cache.value)
        return dx


class Cache(NamedTuple):
    """Caches in the order of computation."""

    embedding: Any
    positions: Any
    embedding_norm: Any
    embedding_dropout: Any
    blocks: tuple[Any, ...]
    pooling: Any
    pooler: Any
    tanh: Any
    classifier_dropout: Any
    classifier: Any


class Transformer(TextClassifier):
    """A Transformer of a TransformerConfig, for V token ids and C classes.

    Equal seeds give equal initial parameters.
    """

    config: TransformerConfig

    def __init__(
        self, config: TransformerConfig, vocabulary: int, classes: int, seed: int | None = 0, dtype: Any = np.float32
    ):
        rng, d = initial_generator(seed), config.dimension
        self.config = config
        self.embedding = Embedding(vocabulary, d, rng, dtype, config.embedding_scale)
        self.positions = Embedding(config.positions, d, rng, dtype, config.embedding_scale)
        self.embedding_norm = LayerNorm(d, dtype, config.norm_epsilon)
        self.blocks = [TransformerBlock(config, rng, dtype) for _ in range(config.blocks)]
        self.pooler = Linear(d, d, rng, dtype)
        self.classifier = Linear(d, classes, rng, dtype)

    def forward(self, batch: Any, train: bool = False, rng: Any = None) -> tuple[Floats2d, Any]:
        """batch: RaggedBatch of B texts, on the host or where the parameters are → logits (B, C), and the Cache.

        Dropout acts only with train and an rng. Raises ValueError for a text of more tokens than there are positions.
        """
        f, rng, rate = self.functions, rng if train else None, self.config.dropout
        check_ids(batch.ids, len(self.embedding.table.value))
        check_offsets(batch.offsets, len(batch.ids))
        longest = int(lengths(batch.offsets).max(initial=0))
        if longest > self.config.positions:
            raise ValueError(f"batch: a text has {longest} tokens, the network has {self.config.positions} positions")
        places = positions(batch.offsets, len(batch.ids))
        ids, places, offsets = move_together((batch.ids, places, batch.offsets), self.embedding.table.value)
        x, embedding = self.embedding.forward(ids)
        y, position = self.positions.forward(places)
        x, embedding_norm = self.embedding_norm.forward(x, y)
        x, embedding_dropout = f.dropout_forward(x, rate, rng)
        blocks = []
        for block in self.blocks:
            x, cache = block.forward(x, batch.offsets, rng)
            blocks.append(cache)
        x, pooling = f.pooling_forward(x, offsets, "cls")
        x, pooler = self.pooler.forward(x)
        x, tanh = f.tanh_forward(x)
        x, classifier_dropout = f.dropout_forward(x, rate, rng)
        logits, classifier = self.classifier.forward(x)
        return logits, Cache(
            embedding, position, embedding_norm, embedding_dropout, tuple(blocks), pooling, pooler, tanh,
            classifier_dropout, classifier,
        )  # fmt: skip

    def backward(self, dlogits: Floats2d, cache: Any) -> None:
        """dlogits: (B, C). Adds to every parameter's gradient; token ids have none, so nothing is returned."""
        f = self.functions
        dx = self.classifier.backward(dlogits, cache.classifier)
        dx = f.dropout_backward(dx, cache.classifier_dropout)
        dx = self.pooler.backward(f.tanh_backward(dx, cache.tanh), cache.pooler)
        dx = f.pooling_backward(dx, cache.pooling)
        for block, block_cache in zip(reversed(self.blocks), reversed(cache.blocks)):
            dx = block.backward(dx, block_cache)
        dx = f.dropout_backward(dx, cache.embedding_dropout)
        dx = self.embedding_norm.backward(dx, cache.embedding_norm)
        self.positions.backward(dx, cache.positions)
        self.embedding.backward(dx, cache.embedding)

    def heading(self) -> str:
        """The kind of network and its choices, in a line."""
        config = self.config
        return f"Transformer: blocks {config.blocks}, heads {config.heads}, at most {config.positions} tokens a text"
