"""E3  Polar to Cartesian: Z = G·e^{iα}.

    re_jk = G_tk·cos α_jk                        im_jk = G_tk·sin α_jk

    dG_tk  = Σ_j (dre_jk·cos α_jk + dim_jk·sin α_jk)
    dα_jk  = G_tk·(−dre_jk·sin α_jk + dim_jk·cos α_jk)

Smooth everywhere. Units: Z that of G, α radians.
Source: Zhang & Sheng, arXiv 2411.02674. Derivation: polar_to_wave.md.
"""

from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.checks import check_floats, check_offsets
from engine.arrays.ragged import segment_sum, spread
from engine.types import Floats2d, Offsets
from layers.wave.wave import Wave, check_wave


class Cache(NamedTuple):
    G: Floats2d
    cos: Floats2d
    sin: Floats2d
    offsets: Offsets | None


def polar_to_wave_forward(G: Floats2d, alpha: Floats2d, offsets: Offsets | None = None) -> tuple[Wave, Cache]:
    """α: (T, d) → Z: Wave of (T, d), and the cache.

    With offsets (B + 1,), G is (B, d) or (B, 1) and every token takes that of its text. Without, G is (T, d), or one
    text's (1, d) or (1, 1). Raises ValueError for a wrong dtype, shape or offsets.
    """
    check_floats("alpha", alpha, ("T", "d"))
    T, d = alpha.shape
    if offsets is not None:
        check_offsets(offsets, T)
    check_floats("G", G, ("B", "d or 1") if offsets is not None else ("T or 1", "d or 1"))
    rows = len(offsets) - 1 if offsets is not None else (T if len(G) == T else 1)
    check_floats("G", G, (rows, 1 if G.shape[-1] == 1 else d), like=alpha)
    xp = array_module(G, alpha)
    cos, sin = xp.cos(alpha), xp.sin(alpha)
    of_token = G if offsets is None else spread(G, offsets, len(alpha))
    return Wave(of_token * cos, of_token * sin), Cache(G, cos, sin, offsets)


def polar_to_wave_backward(dz: Wave, cache: Cache) -> tuple[Floats2d, Floats2d]:
    """dz: Wave of (T, d) → (dG of the shape of G, dα (T, d))."""
    G, cos, sin, offsets = cache
    check_wave("dz", dz, cos)
    of_token = G if offsets is None else spread(G, offsets, len(cos))
    dalpha = of_token * (dz.im * cos - dz.re * sin)
    dG: Floats2d = dz.re * cos + dz.im * sin
    if offsets is not None:
        dG = segment_sum(dG, offsets)
    shared = tuple(axis for axis in (0, 1) if G.shape[axis] != dG.shape[axis])
    return dG.sum(axis=shared, keepdims=True) if shared else dG, dalpha
