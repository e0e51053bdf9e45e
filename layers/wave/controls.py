"""E23  Controls: the same network without what makes a wave of it.

    full         Z = Token2Wave(w)        E4
    real         Z_jk = w_jk              dw = dre                                      the imaginary part left out
    phase-free   Z_jk = G_tk              dw_jk = (Σ_{l∈S_t} dre_lk) · w_jk/G_tk        all phases 0, by E1

The parameters are the same, so that a difference in accuracy is that of the wave. The imaginary part of both controls
is 0, and its gradient is not asked for. Singular points: phase-free those of E1; real none. Unit: that of w.
Source: ours; the papers have no such control.
Derivation: controls.md, with the cells of operation, readout and level in which they agree.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.checks import check_choice, check_floats, check_offsets
from engine.arrays.ragged import segment_sum, spread
from engine.types import Floats2d, Offsets
from layers.wave.global_magnitude import global_magnitude_backward, global_magnitude_forward
from layers.wave.token2wave import token2wave_backward, token2wave_forward
from layers.wave.wave import SCOPES, Wave, check_wave, in_scope


class Cache(NamedTuple):
    kind: str
    inner: Any  # the cache of the kind


class PhaseFreeCache(NamedTuple):
    w: Floats2d
    offsets: Offsets
    magnitude: Any  # the cache of E1


def wave_forward(w: Floats2d, offsets: Offsets, scope: str = "dimension", kind: str = "full") -> tuple[Wave, Cache]:
    """w: (T, d), offsets: (B + 1,), kind: a key of WAVES → Z: Wave of (T, d), and the cache.

    Raises ValueError for a wrong dtype, shape, offsets, scope or kind.
    """
    check_choice("kind", kind, WAVES)
    z, inner = WAVES[kind][0](w, offsets, scope)
    return z, Cache(kind, inner)


def wave_backward(dz: Wave, cache: Cache) -> Floats2d:
    """dz: Wave of (T, d) → dw: (T, d)."""
    return WAVES[cache.kind][1](dz, cache.inner)


def real_forward(w: Floats2d, offsets: Offsets, scope: str) -> tuple[Wave, Floats2d]:
    check_floats("w", w, ("T", "d"))
    check_offsets(offsets, len(w))  # of no use here, but a control refuses what the network refuses
    check_choice("scope", scope, SCOPES)
    return Wave(w, array_module(w).zeros(w.shape, w.dtype)), w


def real_backward(dz: Wave, w: Floats2d) -> Floats2d:
    check_wave("dz", dz, w)
    return dz.re


def phase_free_forward(w: Floats2d, offsets: Offsets, scope: str) -> tuple[Wave, PhaseFreeCache]:
    G, cache = global_magnitude_forward(w, offsets, scope)
    xp = array_module(w)
    re = xp.empty(w.shape, w.dtype)
    re[...] = spread(G, offsets, len(w))  # one number for all dimensions in scope "text"
    return Wave(re, xp.zeros(w.shape, w.dtype)), PhaseFreeCache(w, offsets, cache)


def phase_free_backward(dz: Wave, cache: PhaseFreeCache) -> Floats2d:
    check_wave("dz", dz, cache.w)
    dre, cuts = in_scope(dz.re, cache.offsets, cache.magnitude.scope)
    return global_magnitude_backward(segment_sum(dre, cuts), cache.magnitude)


WAVES: dict[str, tuple[Callable[..., tuple[Wave, Any]], Callable[..., Floats2d]]] = {
    "full": (token2wave_forward, token2wave_backward),
    "real": (real_forward, real_backward),
    "phase-free": (phase_free_forward, phase_free_backward),
}
