"""E16  Token dropout: whole tokens are left out of a training text.

    S_t → {first of S_t} ∪ {j ∈ S_t: kept},    P(kept) = 1 − p

A choice of rows, not a function of real numbers: it has no gradient. The first token ([CLS]) stays, so no text gets empty.
Derivation and use: layers/README.md, E16.
"""

import numpy as np

from engine.backend import array_module
from engine.ragged import lengths, segment_sum


def drop_tokens(ids, offsets, rate, rng):
    """ids: (T,), offsets: (B + 1,), rate p in [0, 1), rng on their device → the kept ids and their offsets."""
    if not 0 <= rate < 1:
        raise ValueError(f"rate: must lie in [0, 1), got {rate}")
    if rng is None or rate == 0:
        return ids, offsets
    xp = array_module(ids)
    kept = rng.random(len(ids), dtype=np.float32) >= rate
    kept[offsets[:-1][lengths(offsets) > 0]] = True
    counts = segment_sum(kept.astype(np.int64), offsets)
    return ids[kept], xp.concatenate([xp.zeros(1, np.int64), xp.cumsum(counts)])
