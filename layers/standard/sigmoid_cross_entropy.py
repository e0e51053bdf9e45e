"""E24  Sigmoid cross-entropy with label smoothing: several labels a text, summed over classes, the mean over the texts.

    q̂ = σ(z) = 1/(1 + exp(−z))        q = (1 − λ)·y + λ/2        y = 1 where a text has the label, else 0
    L = −(1/B)·Σ_t Σ_k ω_yk·[q_tk·log q̂_tk + (1 − q_tk)·log(1 − q̂_tk)]        dz = ω_yk·(q̂ − q)·dL/B

ω has a row for no and one for yes; all are 1 where none are given.
Each class is a decision of its own, so a text may have any number of labels, and none. With the logit u of the right
decision, z where y = 1 and −z where y = 0, a term of L is max(−u, 0) + log1p(exp(−|z|)) + (λ/2)·u: no overflow, no log
of a rounded 0, and a certain decision keeps its digits of L and dz. Smooth everywhere. Unit: nat.
Derivation: sigmoid_cross_entropy.md.
"""

from typing import Any, NamedTuple

from engine.arrays.backend import accumulator_dtype, array_module
from engine.arrays.checks import check_floats
from engine.types import Bools, Floats, Floats2d
from layers.standard.softmax_cross_entropy import check_weights


class Cache(NamedTuple):
    logits: Floats2d
    targets: Bools
    smoothing: float
    decision_weights: Floats2d | None = None


def distance(z: Floats) -> Floats:
    """|z|, without the absolute value, which complex step cannot pass."""
    size: Floats = array_module(z).where(z.real < 0, -z, z)
    return size


def sigmoid(z: Floats) -> Floats:
    """z: any shape → σ(z), which keeps its relative precision in the lower tail."""
    xp = array_module(z)
    tail = xp.exp(-distance(z))
    p: Floats = xp.where(z.real < 0, tail, 1) / (1 + tail)
    return p


def check_targets(targets: Any, texts: int, classes: int) -> None:
    """Raise ValueError unless `targets` is a (texts, classes) array of booleans."""
    found = f"{targets.dtype} of shape {targets.shape}" if hasattr(targets, "dtype") else type(targets).__name__
    if not hasattr(targets, "dtype") or targets.dtype != bool or targets.shape != (texts, classes):
        raise ValueError(f"targets: expected a boolean array of shape ({texts}, {classes}), got {found}")


def check_arguments(z: Floats2d, targets: Bools, smoothing: float = 0.0, weights: Floats2d | None = None) -> None:
    """Raise ValueError for arguments that sigmoid_cross_entropy_forward refuses."""
    check_floats("z", z, ("B", "K"))
    check_targets(targets, *z.shape)
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing: must lie in [0, 1), got {smoothing}")
    check_weights(weights, (2, *z.shape[1:]), z.dtype)


def sigmoid_cross_entropy_forward(
    z: Floats2d, targets: Bools, smoothing: float = 0.0, weights: Floats2d | None = None
) -> tuple[Floats, Cache]:
    """z: (B, K) logits, targets: (B, K) booleans y, smoothing λ in [0, 1) → L: 0-d of z's dtype, and the cache.

    weights: (2, K) positive ω of z's dtype, row 0 of a no, row 1 of a yes; or None for 1. An empty batch has L = 0.
    Raises ValueError for a wrong dtype or shape, λ outside [0, 1), or a weight that is not positive and finite.
    """
    check_arguments(z, targets, smoothing, weights)
    xp, total, size = array_module(z), accumulator_dtype(z.dtype), distance(z)
    wrong = (z.real < 0) == targets
    decision_weights = None if weights is None else xp.where(targets, weights[1], weights[0])
    terms = xp.where(wrong, size, 0) + xp.log1p(xp.exp(-size))
    loss = (terms if decision_weights is None else decision_weights * terms).sum(dtype=total)
    if smoothing:
        right = xp.where(wrong, -size, size)
        right = right if decision_weights is None else decision_weights * right
        loss += smoothing / 2 * right.sum(dtype=total)
    return (loss / max(1, len(z))).astype(z.dtype), Cache(z, targets, smoothing, decision_weights)


def sigmoid_cross_entropy_backward(dL: Any, cache: Cache) -> Floats2d:
    """dL: scalar → dz: (B, K). Targets and weights have no gradient."""
    z, targets, smoothing, decision_weights = cache
    xp = array_module(z)
    tail = xp.exp(-distance(z))
    missed = xp.where((z.real < 0) == targets, 1, tail) / (1 + tail)  # probability of the wrong decision
    missed -= z.dtype.type(smoothing / 2)
    dz: Floats2d = xp.where(targets, -missed, missed)
    if decision_weights is not None:
        dz *= decision_weights
    dz *= xp.asarray(dL, dz.dtype) / z.dtype.type(max(1, len(z)))
    return dz
