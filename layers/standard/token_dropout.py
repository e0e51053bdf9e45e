"""E16  Token dropout: whole tokens are left out of a training text.

    S_t → {first of S_t} ∪ {j ∈ S_t: kept},    P(kept) = 1 − θ·max(0, 1 − K/n_t)

n_t tokens in text t; with K = 0 all texts lose the share θ, otherwise short ones less, and those of up to K tokens
nothing.

A choice of rows, not a function of real numbers: it has no gradient. The first token ([CLS]) stays, so no text gets
empty. Derivation and use: token_dropout.md.
"""

from typing import Any

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.ragged import RaggedBatch, lengths, spread
from engine.types import Bools, Offsets


def kept_tokens(offsets: Offsets, rate: float, rng: Any, spared: int = 0) -> Bools | None:
    """offsets: (B + 1,), rate θ in [0, 1), spared K ≥ 0 → (T,) whether a token is kept; None if all are.

    rng: a generator on their device, None to keep all tokens.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate: must lie in [0, 1), got {rate}")
    if spared < 0:
        raise ValueError(f"spared: must be at least 0, got {spared}")
    if rng is None or rate == 0:
        return None
    xp, tokens = array_module(offsets), int(offsets[-1])
    rates: Any = rate  # of each token
    if spared:
        rates = spread(rate * xp.maximum(0, 1 - spared / xp.maximum(lengths(offsets), 1)), offsets, tokens)
    kept: Bools = rng.random(tokens, dtype=np.float32) >= rates
    kept[offsets[:-1][lengths(offsets) > 0]] = True
    return kept


def drop_tokens(batch: RaggedBatch, kept: Bools | None) -> RaggedBatch:
    """The batch of the tokens that are kept, with their places in the whole texts. kept: from kept_tokens()."""
    if kept is None:
        return batch
    xp = array_module(kept)
    tokens = xp.flatnonzero(kept)
    offsets = xp.searchsorted(tokens, batch.offsets).astype(np.int64)  # as many are kept before each bound
    sentences = batch.sentence_offsets
    return batch._replace(
        ids=batch.ids[tokens],
        offsets=offsets,
        sentence_offsets=None if sentences is None else xp.searchsorted(tokens, sentences).astype(np.int64),
        places=tokens - spread(batch.offsets[:-1], offsets, len(tokens)),
    )
