"""Exercise cross_entropy (E15): softmax cross-entropy with label smoothing, the mean over the texts.

    q̂ = softmax(z)        q = (1 − λ)·onehot(label) + λ/K        L = −(1/B)·Σ_t Σ_k q_tk·log q̂_tk

Write backward. Then: wave-network exercise --check THIS_FILE
"""

import numpy as np


def forward(z, labels, smoothing):
    """z: (B, K) logits, labels: (B,) integers in [0, K), smoothing λ in [0, 1) → L: a number, and the cache."""
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    q = np.full(z.shape, smoothing / z.shape[1])
    q[np.arange(len(z)), labels] += 1 - smoothing
    return -(q * log_p).sum() / len(z), (log_p, labels, smoothing)


def backward(dL, cache):
    """dL: a number, the gradient of L → dz: (B, K). Labels and smoothing have no gradient."""
    log_p, labels, smoothing = cache
    raise NotImplementedError("return dz")


# --- not in the learner's file ---


def draw(random):
    texts, classes = random.size(3), random.size(3)
    return random.rows(texts, classes), random.integers(0, classes, texts), random.size(1) / 10


def sizes(dL, z, labels, smoothing):
    texts, classes = {"B, the number of texts": len(z)}, {"K, the number of classes": z.shape[1]}
    return {**texts, **classes, "dL": float(dL), "1 − λ": 1 - smoothing}


def terms(dL, z, labels, smoothing):
    exponentials = np.exp(z)
    p = exponentials / exponentials.sum(axis=1, keepdims=True)
    onehot = (np.arange(z.shape[1]) == labels[:, None]) * 1.0
    factor, slope = dL / len(z), p * (1 - p)
    return {
        "dz": [
            ("q̂·dL/B", factor * p, {
                "log q̂ stands in the place of q̂": factor * np.log(p),
                "q̂·(1 − q̂) stands in the place of q̂": factor * slope,
                "exp(z) is not normalised": factor * exponentials,
                "1 stands in the place of q̂": factor * np.ones_like(p),
            }),
            ("−(1 − λ)·onehot·dL/B", -(1 - smoothing) * factor * onehot, {}),
            ("−(λ/K)·dL/B", np.full_like(p, -smoothing / z.shape[1] * factor), {}),
        ],
    }  # fmt: skip
