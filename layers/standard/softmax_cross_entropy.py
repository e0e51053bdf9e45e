"""E15  Softmax cross-entropy with label smoothing and weights of classes, the mean over the texts of a batch.

    q̂ = softmax(z)        q = (1 − λ)·onehot(label) + λ/K
    L = −(1/B)·Σ_t ω_label(t)·Σ_k q_tk·log q̂_tk                  dz = ω_label(t)·(q̂ − q)·dL/B

All ω are 1 where none are given. L is divided by B, not by the sum of the weights: the loss of a batch is then the mean
of those of its parts, whatever their labels.
log q̂ = z − max z − log(1 + Σ exp(z − max z)), the sum over all but one of the largest: no log of a rounded 0, no
overflow while logits of a text lie within the range of the dtype of each other, and where a text is all but certain
both L and q̂ − 1 keep their digits, as log1p and expm1. Smooth everywhere. Unit: nat.
Source: Szegedy et al., arXiv 1512.00567 (smoothing).
Derivation: softmax_cross_entropy.md.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import accumulator_dtype, array_module
from engine.arrays.checks import check_floats
from engine.types import Floats, Floats1d, Floats2d, Ints1d


class Cache(NamedTuple):
    log_probabilities: Floats2d
    labels: Ints1d
    smoothing: float
    text_weights: Floats1d | None = None


def log_softmax(z: Floats2d) -> Floats2d:
    """z: (B, K) → log q̂: (B, K)."""
    xp = array_module(z)
    largest = (xp.arange(len(z)), z.real.argmax(axis=1))
    shifted = z - z.real[largest][:, None]  # a constant per row; taken from the real part for complex step
    others = xp.exp(shifted)
    at_largest = others[largest]  # 1, or for complex step what varies about it
    others[largest] = 0
    log_p: Floats2d = shifted - xp.log1p(others.sum(axis=1, keepdims=True) + (at_largest - 1)[:, None])
    return log_p


def check_labels(labels: Any, texts: int, classes: int) -> None:
    """Raise ValueError unless `labels` is a (texts,) array of integers in [0, classes).

    Only host arrays are looked into.
    """
    if not hasattr(labels, "dtype"):
        raise ValueError(f"labels: expected an integer array of shape ({texts},), got {type(labels).__name__}")
    if labels.dtype.kind not in "iu" or labels.shape != (texts,):
        raise ValueError(
            f"labels: expected an integer array of shape ({texts},), got {labels.dtype} of shape {labels.shape}"
        )
    if isinstance(labels, np.ndarray) and texts and not (0 <= labels.min() and labels.max() < classes):
        raise ValueError(f"labels: must lie in [0, {classes}), got {labels.min()} to {labels.max()}")


def check_weights(weights: Any, shape: tuple[int, ...], dtype: Any) -> None:
    """Raise ValueError unless `weights` is None or positive and finite, of this shape and the real part of this dtype.

    Only host arrays are looked into.
    """
    if weights is None:
        return
    real = np.zeros(0, dtype).real.dtype
    found = f"{weights.dtype} of shape {weights.shape}" if hasattr(weights, "dtype") else type(weights).__name__
    if not hasattr(weights, "dtype") or weights.dtype != real or weights.shape != shape:
        raise ValueError(f"weights: expected {real} of shape {shape}, got {found}")
    if isinstance(weights, np.ndarray) and not ((weights > 0) & np.isfinite(weights)).all():
        raise ValueError(f"weights: must be positive and finite, got {weights.min()} to {weights.max()}")


def check_arguments(z: Floats2d, labels: Ints1d, smoothing: float = 0.0, weights: Floats1d | None = None) -> None:
    """Raise ValueError for arguments that softmax_cross_entropy_forward refuses."""
    check_floats("z", z, ("B", "K"))
    check_labels(labels, *z.shape)
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing: must lie in [0, 1), got {smoothing}")
    check_weights(weights, z.shape[1:], z.dtype)


def softmax_cross_entropy_forward(
    z: Floats2d, labels: Ints1d, smoothing: float = 0.0, weights: Floats1d | None = None
) -> tuple[Floats, Cache]:
    """z: (B, K) logits, labels: (B,) integers in [0, K), smoothing λ in [0, 1) → L: 0-d of z's dtype, and the cache.

    weights: (K,) positive ω of z's dtype, or None for 1. An empty batch has L = 0. Raises ValueError for a wrong dtype
    or shape, a label outside [0, K), λ outside [0, 1), or a weight that is not positive and finite.
    """
    check_arguments(z, labels, smoothing, weights)
    if not len(z):
        return z.sum(), Cache(z, labels, smoothing)
    log_p = log_softmax(z)
    total = accumulator_dtype(z.dtype)
    of_label, of_all = log_p[array_module(z).arange(len(z)), labels], log_p
    text_weights = None if weights is None else weights[labels]
    if text_weights is not None:
        of_label = text_weights * of_label
        of_all = text_weights[:, None] * log_p if smoothing else log_p
    loss = -(1 - smoothing) * of_label.sum(dtype=total) / len(z)
    if smoothing:  # not 0·Σ: a class that is out of reach has log q̂ = −∞
        loss -= smoothing * of_all.sum(dtype=total) / (z.shape[1] * len(z))
    return loss.astype(z.dtype), Cache(log_p, labels, smoothing, text_weights)


def softmax_cross_entropy_backward(dL: Any, cache: Cache) -> Floats2d:
    """dL: scalar → dz: (B, K). Labels and weights have no gradient."""
    log_p, labels, smoothing, text_weights = cache
    if not len(log_p):
        return log_p
    xp = array_module(log_p)
    real, of_labels = log_p.dtype.type, (xp.arange(len(log_p)), labels)
    dz: Floats2d = xp.exp(log_p)
    dz[of_labels] = xp.expm1(log_p[of_labels]) + real(smoothing)
    dz -= real(smoothing / log_p.shape[1])
    if text_weights is not None:
        dz *= text_weights[:, None]
    dz *= xp.asarray(dL, dz.dtype) / dz.dtype.type(len(dz))
    return dz
