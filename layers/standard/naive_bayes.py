"""E25  Naive-Bayes shortcut: weighted log-count ratios of the distinct tokens of a text, added up.

    y_tc = s_t Σ_{p∈S_t} r_pc (1 + w_pc)            s_t = 1/√n_t

    dw_pc = s_t r_pc dy_tc

S_t: the n_t distinct tokens of text t; y: (B, C), added to the logits of C classes. At w = 0 it is what naive Bayes
says, over √n_t. The ratios are constants, those of each class against the rest. With n_jc of the n_j training texts
that hold token j labelled c, and π_c = Σ_j n_jc / Σ_j n_j:

    r_jc = log [n_jc/π_c + α] − log [(n_j − n_jc)/(1 − π_c) + α]            α = 2

A training text is left out of its own ratios: n_j is less by 1, and so is n_jc where it has label c. Else a token that
no other text holds tells its label.

Singular: r = 0 for a token that no (other) text holds, and for a class that no text or every one has; an empty text
gives 0. Units: nat. Derivation, choices and cost: naive_bayes.md. Source: Wang & Manning, ACL 2012 (NB-SVM).
"""

from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.checks import check_floats, check_offsets
from engine.arrays.ragged import lengths, segment_sum, spread
from engine.types import Bools, Floats1d, Floats2d, Ints2d, Offsets

SHORTCUTS = ("none", "naive-bayes")
ALPHA = 2.0  # α: how many texts, labelled as all are on average, are added to those that hold a token


class Cache(NamedTuple):
    """scaled: (P, C), s·r."""

    scaled: Floats2d
    offsets: Offsets


def log_count_ratios(counts: Ints2d, shares: Floats1d, labelled: Bools | None = None) -> Floats2d:
    """counts: (P, C + 1), n_jc of C classes and last n_j, shares: (C,), π → r: (P, C), in the dtype of shares.

    labelled: (P, C), whether the text of each entry has the label; it is then left out. None leaves out nothing.
    """
    xp, real = array_module(counts), shares.dtype.type
    within, rest = counts[:, :-1], counts[:, -1:] - counts[:, :-1]
    if labelled is not None:  # of texts that were not counted nothing falls below 0
        within, rest = xp.maximum(within - labelled, 0), xp.maximum(rest - ~labelled, 0)
    divides = (shares > 0) & (shares < 1)
    share = xp.where(divides, shares, real(0.5))
    r = xp.log(within.astype(share.dtype) / share + real(ALPHA))
    r -= xp.log(rest.astype(share.dtype) / (1 - share) + real(ALPHA))
    r *= divides
    return r


def naive_bayes_forward(weight: Floats2d, ratios: Floats2d, offsets: Offsets) -> tuple[Floats2d, Cache]:
    """weight, ratios: (P, C), w and r of the distinct tokens of B texts, offsets: (B + 1,) → y: (B, C), and the cache.

    Raises ValueError for a wrong dtype, shape or offsets.
    """
    check_floats("weight", weight, ("P", "C"))
    check_floats("ratios", ratios, weight.shape, like=weight)
    check_offsets(offsets, len(weight))
    xp = array_module(weight)
    s = 1 / xp.sqrt(xp.maximum(lengths(offsets), 1).astype(ratios.dtype))
    scaled = ratios * spread(s, offsets, len(ratios))[:, None]
    return segment_sum(scaled + scaled * weight, offsets), Cache(scaled, offsets)


def naive_bayes_backward(dy: Floats2d, cache: Cache) -> Floats2d:
    """dy: (B, C) → dw: (P, C). Ratios are constants."""
    scaled, offsets = cache
    check_floats("dy", dy, (len(offsets) - 1, scaled.shape[1]), like=scaled)
    return scaled * spread(dy, offsets, len(scaled))
