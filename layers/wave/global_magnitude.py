"""E1  Global magnitude: the L2 norm over the tokens of a text.

    G_tk = sqrt(Σ_{j∈S_t} w_jk²)                scope "dimension": (B, d)
    G_t  = sqrt(Σ_{j∈S_t} Σ_k w_jk²)            scope "text":      (B, 1)

    dw_jk = dG_tk · w_jk / G_tk                 (0 where G_tk = 0, the tip of a cone)

Unit: that of w.
Source: Zhang & Sheng, arXiv 2411.02674, "global semantics".
Derivation: global_magnitude.md.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.checks import check_floats, check_offsets
from engine.arrays.ragged import scale_of_columns, segment_sum, spread
from engine.types import Floats2d, Offsets
from layers.wave.wave import divide_or_zero, in_scope


class Cache(NamedTuple):
    w: Floats2d
    G: Floats2d
    offsets: Offsets
    scope: str


def global_magnitude_forward(w: Floats2d, offsets: Offsets, scope: str = "dimension") -> tuple[Floats2d, Cache]:
    """w: (T, d), offsets: (B + 1,) → G: (B, d) or (B, 1), and the cache. An empty text has G = 0.

    Raises ValueError for a wrong dtype, shape, offsets or scope.
    """
    check_floats("w", w, ("T", "d"))
    check_offsets(offsets, len(w))
    x, cuts = in_scope(w, offsets, scope)
    scale = scale_of_columns(x, cuts)
    ratio = x if scale is None else x / spread(scale, cuts, len(x))
    squares = ratio.astype(np.float64) ** 2 if x.dtype == np.float32 else ratio * ratio
    G = array_module(x).sqrt(segment_sum(squares, cuts))
    G = (G if scale is None else G * scale).astype(w.dtype, copy=False)
    return G, Cache(w, G, offsets, scope)


def global_magnitude_backward(dG: Floats2d, cache: Cache) -> Floats2d:
    """dG: (B, d) or (B, 1) → dw: (T, d)."""
    check_floats("dG", dG, cache.G.shape, like=cache.w)
    w, cuts = in_scope(cache.w, cache.offsets, cache.scope)
    unit = divide_or_zero(w, spread(cache.G, cuts, len(w)))  # in [−1, 1]; formed first, so that tiny G cannot overflow
    dw: Floats2d = (spread(dG, cuts, len(w)) * unit).reshape(cache.w.shape)
    return dw
