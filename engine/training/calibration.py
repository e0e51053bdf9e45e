"""Calibration: whether probabilities are as often right as they say, and one temperature that makes them so.

**Error.** The N predictions are sorted by p, the probability of the predicted class, into B = BINS bins of equal width:
bin b holds those with (b − 1)/B < p ≤ b/B. In a bin of n_b predictions a_b is the share that is right, and p_b the mean
of p. The expected calibration error is

    ECE = Σ_b n_b/N · |a_b − p_b|

in [0, 1]; empty bins add nothing. Source: M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining Well Calibrated
Probabilities Using Bayesian Binning", AAAI 2015; C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern
Neural Networks", ICML 2017 (arXiv:1706.04599, equations 2, 3 and 5), whose 15 bins of equal width are taken here. The
error depends on the bins, so that only errors of equal bins can be compared.

**Temperature.** p(c) ∝ exp(z_c/T), by one number T for all texts; T = 1/β minimises on the N validation texts

    f(β) = −(1/N)·Σ_t log softmax(β·z_t)[y_t] + (β − 1)²/(2·N)
    f′(β) = (1/N)·Σ_t (E_t[z] − z_t[y_t]) + (β − 1)/N        f″(β) = (1/N)·Σ_t Var_t[z] + 1/N > 0

E_t and Var_t over the classes with the probabilities softmax(β·z_t): of log Σ exp(β·z_c) the derivative by β is the
mean of z, and that of the mean of z its variance. f is therefore strictly convex. The last term, which weighs as much
as one text, keeps β finite where all labels are right. The minimum is found by Newton's steps from β = 1, and bisection
where a step would leave the interval in which the sign of f′ has put it; T stays within 1/LARGEST and LARGEST. An
increasing function of all logits of a text leaves their order as it is, and so the predicted class. Where a text may
have several labels, each decision is the softmax of the two logits 0 and z. A constant a text added to z changes
nothing, so that log p does for it.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.arrays.backend import array_module
from engine.types import Array, Floats1d, Floats2d

BINS = 15
CALIBRATIONS = ("none", "temperature")
LARGEST = 64.0
NEWTON_STEPS, PRECISION = 100, 1e-10
TINY, CERTAIN = float(np.finfo(np.float32).tiny), 1 - 2.0**-24


class Bin(NamedTuple):
    """Predictions with low < p ≤ high. probability: mean of p; accuracy: share that is right; both 0 without texts."""

    low: float
    high: float
    texts: int
    probability: float
    accuracy: float


class Calibration(NamedTuple):
    """Calibration of N predictions.

    probability, accuracy: over all of them. error: the expected calibration error. All are 0 without predictions.
    """

    bins: list[Bin]
    probability: float
    accuracy: float
    error: float


def calibrate(right: npt.NDArray[np.bool_], probability: Floats1d) -> Calibration:
    """Measure the calibration of N predictions.

    right: (N,) whether each is right; probability: (N,) that of the predicted class, in [0, 1].
    """
    index = np.clip(np.ceil(probability * BINS).astype(np.int64) - 1, 0, BINS - 1)
    texts = np.bincount(index, minlength=BINS)
    count = np.maximum(texts, 1)
    mean = np.bincount(index, probability, BINS) / count
    share = np.bincount(index, right, BINS) / count
    total = max(1, len(right))
    error = float((texts * np.abs(share - mean)).sum()) / total
    edges = [number / BINS for number in range(BINS + 1)]
    bins = [Bin(*row) for row in zip(edges, edges[1:], texts.tolist(), mean.tolist(), share.tolist())]
    return Calibration(bins, float(probability.sum()) / total, float(right.sum()) / total, error)


def logits_of(probabilities: Floats2d, several: bool) -> Floats2d:
    """(N, C) float64 logits, up to a constant a text, of probabilities. several: of independent decisions."""
    p = np.maximum(probabilities.astype(np.float64), TINY)
    if not several:
        logits: Floats2d = np.log(p)
        return logits
    p = np.minimum(p, CERTAIN)
    return np.log(p) - np.log1p(-p)


def sigmoid(z: Floats2d) -> Floats2d:
    """σ(z) = 1/(1 + exp(−z)), which does not overflow."""
    p: Floats2d = (1 + np.tanh(z / 2)) / 2
    return p


def softmax(z: Floats2d) -> Floats2d:
    """softmax over the last axis."""
    exponentials = array_module(z).exp(z - z.max(axis=-1, keepdims=True))
    p: Floats2d = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return p


def tempered(probabilities: Floats2d, temperature: float, several: bool) -> Floats2d:
    """(N, C) probabilities at a temperature, from those at temperature 1. several: of independent decisions."""
    z = logits_of(probabilities, several) / temperature
    return sigmoid(z) if several else softmax(z)


def derivatives(labels: Array, z: Floats2d, beta: float) -> tuple[float, float]:
    """(f′, f″) at β. labels: (N,) classes, or (N, C) booleans. z: (N, C) logits."""
    if labels.ndim == 2:
        p = sigmoid(beta * z)
        slopes, curvatures = (z * (p - labels)).sum(axis=1), (z**2 * p * (1 - p)).sum(axis=1)
    else:
        p = softmax(beta * z)
        mean = (p * z).sum(axis=1)
        slopes = mean - z[np.arange(len(z)), labels]
        curvatures = (p * (z - mean[:, None]) ** 2).sum(axis=1)
    count = len(z)
    return float(slopes.sum() + beta - 1) / count, float(curvatures.sum() + 1) / count


def fit_temperature(labels: Array, probabilities: Floats2d) -> float:
    """T of the lowest f on N texts; 1 without texts. labels: (N,) classes, or (N, C) booleans."""
    if not len(labels):
        return 1.0
    z, low, high, beta = logits_of(probabilities, labels.ndim == 2), 1 / LARGEST, LARGEST, 1.0
    for _ in range(NEWTON_STEPS):
        slope, curvature = derivatives(labels, z, beta)
        low, high = (low, beta) if slope > 0 else (beta, high)
        following = beta - slope / curvature
        if not low < following < high:
            following = (low + high) / 2
        step, beta = abs(following - beta), following
        if step <= PRECISION * beta:
            break
    return 1 / beta
