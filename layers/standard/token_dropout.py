"""E16  Token dropout: whole tokens are left out of a training text.

    S_t → {first of S_t} ∪ {j ∈ S_t: kept},    P(kept) = 1 − p·max(0, 1 − K/n_t)

n_t tokens in text t; with K = 0 all texts lose the share p, otherwise short ones less, and those of up to K tokens
nothing.

A choice of rows, not a function of real numbers: it has no gradient. The first token ([CLS]) stays, so no text gets
empty. Derivation and use: token_dropout.md.
"""

from typing import Any

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.ragged import lengths, segment_sum, spread
from engine.types import Ints1d, Offsets


def drop_tokens(ids: Ints1d, offsets: Offsets, rate: float, rng: Any, spared: int = 0) -> tuple[Ints1d, Offsets]:
    """ids: (T,), offsets: (B + 1,), rate p in [0, 1), spared K ≥ 0 → the kept ids and their offsets.

    rng: a generator on their device, None to keep all tokens.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate: must lie in [0, 1), got {rate}")
    if spared < 0:
        raise ValueError(f"spared: must be at least 0, got {spared}")
    if rng is None or rate == 0:
        return ids, offsets
    xp = array_module(ids)
    rates: Any = rate  # of each token
    if spared:
        rates = spread(rate * xp.maximum(0, 1 - spared / xp.maximum(lengths(offsets), 1)), offsets, len(ids))
    kept = rng.random(len(ids), dtype=np.float32) >= rates
    kept[offsets[:-1][lengths(offsets) > 0]] = True
    counts = segment_sum(kept.astype(np.int64), offsets)
    return ids[kept], xp.concatenate([xp.zeros(1, np.int64), xp.cumsum(counts)])
