"""E25  Naive-Bayes shortcut: log-count ratios of the distinct tokens of a text, added up.

    y_tc = g_c·e_tc            e_tc = s/√n_t · Σ_{j∈S_t} r_jc            dg_c = Σ_t dy_tc·e_tc

S_t: the n_t distinct tokens of text t; y: (B, C), added to the logits of C classes; g: the gain of each class, trained;
s = 20.
The ratios are constants, those of each class against the rest. With n_jc of the n_j training texts that hold token j
labelled c, and π_c = Σ_j n_jc / Σ_j n_j:

    r_jc = log [n_jc/π_c + α] − log [(n_j − n_jc)/(1 − π_c) + α]            α = 2

A training text is left out of its own ratios: n_j is less by 1, and so is n_jc where it has label c. Else a token that
no other text holds tells its label.

Singular: r = 0 for a token that no (other) text holds, and for a class that no text or every one has; an empty text
gives 0. Units: nat; g is a number. Derivation, choices and cost: naive_bayes.md. Source: Wang & Manning, ACL 2012.
"""

from typing import NamedTuple

from engine.arrays.backend import accumulator_dtype, array_module
from engine.arrays.checks import check_floats, check_offsets
from engine.arrays.ragged import lengths, segment_sum
from engine.types import Bools, Floats1d, Floats2d, Ints2d, Offsets

SHORTCUTS = ("none", "naive-bayes")
SCALE = 20.0  # s: steps of a learning rate for all parameters move the product s·g so many times as far
GAIN = 0.7 / SCALE  # g of every class at the start
ALPHA = 2.0  # α: how many texts, labelled as all are on average, are added to those that hold a token


class Cache(NamedTuple):
    """evidence: (B, C), e."""

    evidence: Floats2d


def log_count_ratios(counts: Ints2d, shares: Floats1d, labelled: Bools | None = None) -> Floats2d:
    """counts: (P, C + 1), n_jc of C classes and last n_j, shares: (C,), π → r: (P, C), in the dtype of shares.

    labelled: (P, C), whether the text of each entry has the label; it is then left out. None leaves out nothing.
    """
    xp, real = array_module(counts), shares.dtype
    within = counts[:, :-1].astype(real)
    rest = counts[:, -1:].astype(real) - within
    if labelled is not None:
        own = labelled.astype(real)
        within -= own
        rest += own
        rest -= 1
        xp.maximum(within, 0, out=within)  # where a text was not counted
        xp.maximum(rest, 0, out=rest)
    divides = (shares > 0) & (shares < 1)
    share = xp.where(divides, shares, real.type(0.5))
    within *= 1 / share
    within += real.type(ALPHA)
    rest *= 1 / (1 - share)
    rest += real.type(ALPHA)
    within /= rest
    r: Floats2d = xp.log(within, out=within)
    r *= divides
    return r


def naive_bayes_forward(gain: Floats1d, ratios: Floats2d, offsets: Offsets) -> tuple[Floats2d, Cache]:
    """gain: (C,), g, ratios: (P, C), r of the distinct tokens of B texts, offsets: (B + 1,) → y: (B, C), and the cache.

    Raises ValueError for a wrong dtype, shape or offsets.
    """
    check_floats("ratios", ratios, ("P", "C"))
    check_floats("gain", gain, (ratios.shape[1],), like=ratios)
    check_offsets(offsets, len(ratios))
    xp = array_module(gain)
    evidence = segment_sum(ratios, offsets)
    evidence *= (SCALE / xp.sqrt(xp.maximum(lengths(offsets), 1).astype(ratios.dtype)))[:, None]
    return evidence * gain, Cache(evidence)


def naive_bayes_backward(dy: Floats2d, cache: Cache) -> Floats1d:
    """dy: (B, C) → dg: (C,). Ratios are constants."""
    evidence = cache.evidence
    check_floats("dy", dy, evidence.shape, like=evidence)
    total = accumulator_dtype(dy.dtype)
    dgain: Floats1d = (dy * evidence).sum(axis=0, dtype=total).astype(dy.dtype, copy=False)
    return dgain
