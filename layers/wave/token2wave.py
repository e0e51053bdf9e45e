"""E4  Token2Wave in closed form: E1, E2 and E3 in one, with a gradient that is bounded where theirs is 0/0.

    re_jk = w_jk
    im_jk = v_jk = sqrt(Σ_{l∈S_t, l≠j} w_lk²)                  the norm of the *other* tokens of the text

    h_jk  = dim_jk / v_jk                                       (0 where v_jk = 0)
    dw_lk = dre_lk + w_lk · (Σ_{j∈S_t} h_jk − h_lk)             the sum of h over the *other* tokens

In scope "text" the others are all numbers of the text but w_jk itself, and the sum runs over all (j, k).
|∂im_j/∂w_l| = |w_l|/v_j ≤ 1. v_jk = 0 only where all other tokens are 0 in that dimension: the tip of a cone, where the
subgradient 0 is taken. A one-token text has im = 0 exactly and dw = dre exactly.

Errors in float32: im 1e-6 relative, entry by entry; dw 1e-6·(|dre_l| + |w_l|·Σ_{j≠l}|h_j|); only results beyond the
range of float32 become infinite. In float64 others below 1.5e-154 of the largest lose digits (their squares underflow),
and h is finite while |dim|/v is. Unit: that of w.
Source: Zhang & Sheng, arXiv 2411.02674, Fig. 4, Eq. 4 and 7, for the forward pass; the gradient is derived in
token2wave.md.
"""

from typing import NamedTuple

from engine.arrays.backend import accumulator_dtype, array_module
from engine.arrays.checks import check_floats, check_offsets
from engine.arrays.ragged import cache_blocks, exclusive_sum, scale_of_columns, spread
from engine.types import Floats2d, Offsets
from layers.wave.wave import Wave, check_wave, divide_or_zero, in_scope


class Cache(NamedTuple):
    w: Floats2d
    v: Floats2d
    offsets: Offsets
    scope: str


def token2wave_forward(w: Floats2d, offsets: Offsets, scope: str = "dimension") -> tuple[Wave, Cache]:
    """w: (T, d), offsets: (B + 1,) → Z: Wave of (T, d), and the cache. re is w itself, not a copy.

    Raises ValueError for a wrong dtype, shape, offsets or scope.
    """
    check_floats("w", w, ("T", "d"))
    check_offsets(offsets, len(w))
    x, cuts = in_scope(w, offsets, scope)
    v = array_module(w).empty(x.shape, x.dtype)
    for rows, block in cache_blocks(x, cuts):
        v[rows] = norm_of_others(x[rows], block)
    im = v.reshape(w.shape)
    return Wave(w, im), Cache(w, im, offsets, scope)


def norm_of_others(x: Floats2d, offsets: Offsets) -> Floats2d:
    """v: (T, d). No cancellation (see exclusive_sum); squares are scaled so that the large ones cannot overflow."""
    xp = array_module(x)
    scale = scale_of_columns(x, offsets)
    if scale is None:
        squares = x.astype(accumulator_dtype(x.dtype))
        squares *= squares
        v: Floats2d = xp.sqrt(exclusive_sum(squares, offsets))
        return v
    scale = spread(scale, offsets, len(x))
    v = scale * xp.sqrt(exclusive_sum((x / scale) ** 2, offsets))
    return v


def token2wave_backward(dz: Wave, cache: Cache) -> Floats2d:
    """dz: Wave of (T, d) → dw: (T, d)."""
    w, v, offsets, scope = cache
    check_wave("dz", dz, w)
    (x, cuts), (v, _), (dre, _), (dim, _) = (in_scope(a, offsets, scope) for a in (w, v, dz.re, dz.im))
    dw: Floats2d = array_module(w, dre).empty(x.shape, dre.dtype)
    for rows, block in cache_blocks(x, cuts):
        h = divide_or_zero(dim[rows].astype(accumulator_dtype(dim.dtype), copy=False), v[rows])
        dw[rows] = dre[rows] + x[rows] * exclusive_sum(h, block)
    return dw.reshape(w.shape)
