"""E2  Phase: how a token relates to its text.

    c = w_jk / G_tk,   s = sqrt(1 − c²),   α_jk = atan2(s, c) ∈ [0, π]          (α = π/2 where G_tk = 0)

With w and G as independent inputs:

    dw_jk = −dα_jk / (s·G_tk)          dG_tk = Σ_j dα_jk · w_jk / (s·G_tk²)      (0 where s = 0 or G_tk = 0)

Unbounded as s → 0, that is when one token carries the whole dimension. This pair exists to be read and checked;
training uses the closed form E4 (token2wave.py), in which the divergent terms cancel. Unit: radians.
It refuses complex128: atan2 is not defined there, so it is checked by five-point differences.
Source: Zhang & Sheng, arXiv 2411.02674, "local semantics". Derivation: phase.md.
"""

from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.checks import REAL, check_floats, check_offsets
from engine.arrays.ragged import segment_sum, spread
from engine.types import Floats2d, Offsets
from layers.wave.wave import divide_or_zero


class Cache(NamedTuple):
    c: Floats2d
    s: Floats2d
    G: Floats2d
    offsets: Offsets


def phase_forward(w: Floats2d, G: Floats2d, offsets: Offsets) -> tuple[Floats2d, Cache]:
    """w: (T, d) with |w| ≤ G, G: (B, d) or (B, 1) → α: (T, d), and the cache. Where rounding left |w| > G, s is 0.

    Raises ValueError for a wrong dtype, shape or offsets.
    """
    check_floats("w", w, ("T", "d"))
    if w.dtype not in REAL:
        raise ValueError(f"w: expected dtype float32 or float64, got {w.dtype} (atan2 has no complex form)")
    check_offsets(offsets, len(w))
    texts, d = len(offsets) - 1, w.shape[1]
    check_floats("G", G, (texts, "d or 1"))
    check_floats("G", G, (texts, 1 if G.shape == (texts, 1) else d), like=w)
    xp = array_module(w, G)
    c = divide_or_zero(w, spread(G, offsets, len(w)))
    s = xp.sqrt(xp.maximum((1 - c) * (1 + c), 0))  # the product form keeps the digits that 1 − c² loses near |c| = 1
    return xp.arctan2(s, c), Cache(c, s, G, offsets)


def phase_backward(dalpha: Floats2d, cache: Cache) -> tuple[Floats2d, Floats2d]:
    """dα: (T, d) → (dw (T, d), dG of the shape of G).

    Finite everywhere unless dα / (s·G) leaves the range of the dtype.
    """
    check_floats("dalpha", dalpha, cache.c.shape, like=cache.c)
    over_s = divide_or_zero(dalpha, cache.s)
    dw = -divide_or_zero(over_s, spread(cache.G, cache.offsets, len(over_s)))
    dG = segment_sum(-dw * cache.c, cache.offsets)
    if cache.G.shape != dG.shape:  # one magnitude per text collects all dimensions
        dG = dG.sum(axis=1, keepdims=True)
    return dw, dG
