"""A Transformer block as in BERT: attention and feed-forward, each added to its input and normalised afterwards.

    x ← LayerNorm(x + dropout(Attention(x·W_q + b_q, x·W_k + b_k, x·W_v + b_v)·W_o + b_o))
    y ← LayerNorm(x + dropout(GELU(x·U₁ + c₁)·U₂ + c₂))

A composition: no mathematics of its own, only caches passed along. The attention's weights are not dropped.
Source: Vaswani et al., arXiv 1706.03762; Devlin et al., arXiv 1810.04805.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.types import Floats2d, Offsets
from layers.networks.configs import TransformerConfig
from layers.networks.parts import FeedForward, LayerNorm, Linear, Part


class Cache(NamedTuple):
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
    """One block of a TransformerConfig."""

    def __init__(self, config: TransformerConfig, rng: Any, dtype: Any = np.float32):
        d = config.dimension
        self.heads, self.dropout = config.heads, config.dropout
        self.query, self.key, self.value, self.output = (Linear(d, d, rng, dtype) for _ in range(4))
        self.attention_norm = LayerNorm(d, dtype, config.norm_epsilon)
        self.feed_forward = FeedForward(d, config.hidden, "gelu", 0.0, rng, dtype)
        self.feed_forward_norm = LayerNorm(d, dtype, config.norm_epsilon)

    def forward(self, x: Floats2d, offsets: Offsets, rng: Any = None) -> tuple[Floats2d, Cache]:
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
        return y, Cache(
            query, key, value, attention, output, attention_dropout, attention_norm,
            feed_forward, feed_forward_dropout, feed_forward_norm,
        )  # fmt: skip

    def backward(self, dy: Floats2d, cache: Cache) -> Floats2d:
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
