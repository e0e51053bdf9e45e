"""E26  Weighted log-count ratios: a linear classifier whose weights of tokens begin with naive Bayes.

    z_tc = s·b_c + 1/√n_t · Σ_{j∈S_t} r_jc·(w₀ + s·v_jc)

    db_c = s·Σ_t dz_tc            dv_jc = s·Σ_{t: j∈S_t} r_jc·dz_tc/√n_t

S_t: the n_t distinct tokens of text t; r: the log-count ratios of E25, constants; z: (B, C), logits; b and v: trained
from 0; w₀ = 0.7, s = 80. In training r leaves its text out, as in E25, so that it is another for each text; the rows of
dv are given entry by entry, those of equal tokens are yet to be added up.

Singular: an empty text has z = s·b. Units: nat; w₀ and s·v are numbers. Derivation and choices: weighted_ratios.md.
Source: Wang & Manning, ACL 2012.
"""

from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.checks import check_floats, check_offsets
from engine.arrays.ragged import column_sums, lengths, segment_sum, spread
from engine.types import Floats1d, Floats2d, Offsets

SCALE = 80.0  # s: steps of a learning rate for all parameters move the products s·v and s·b so many times as far
START = 0.7  # w₀


class Cache(NamedTuple):
    """ratios: (P, C), r/√n of each entry."""

    ratios: Floats2d
    offsets: Offsets


def weighted_ratios_forward(
    bias: Floats1d, weights: Floats2d, ratios: Floats2d, offsets: Offsets
) -> tuple[Floats2d, Cache]:
    """bias: (C,), b, weights, ratios: (P, C), v and r of the distinct tokens of B texts, offsets: (B + 1,) → z: (B, C).

    Returns the cache, too. Raises ValueError for a wrong dtype, shape or offsets.
    """
    check_floats("ratios", ratios, ("P", "C"))
    check_floats("weights", weights, ratios.shape, like=ratios)
    check_floats("bias", bias, (ratios.shape[1],), like=ratios)
    check_offsets(offsets, len(ratios))
    xp, real = array_module(ratios), ratios.dtype.type
    root = xp.sqrt(xp.maximum(lengths(offsets), 1).astype(ratios.dtype))[:, None]
    ratios = ratios / spread(root, offsets, len(ratios))
    z = segment_sum(ratios * (real(START) + real(SCALE) * weights), offsets)
    return z + real(SCALE) * bias, Cache(ratios, offsets)


def weighted_ratios_backward(dz: Floats2d, cache: Cache) -> tuple[Floats1d, Floats2d]:
    """dz: (B, C) → (dbias (C,), dweights (P, C) of each entry). Ratios are constants."""
    ratios, offsets = cache
    check_floats("dz", dz, (len(offsets) - 1, ratios.shape[1]), like=ratios)
    slope = dz * dz.dtype.type(SCALE)
    return column_sums(slope), ratios * spread(slope, offsets, len(ratios))
