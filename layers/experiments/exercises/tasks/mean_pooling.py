"""Exercise mean_pooling (E14): the mean over the tokens of each text.

    y_t = (1/n_t)·Σ_{j∈S_t} x_j        n_t: the number of tokens of text t

The texts lie one after another: text t owns the rows offsets[t] … offsets[t + 1] − 1. An empty text has y = 0.
Write backward. Then: wave-network exercise --check THIS_FILE
"""

import numpy as np


def forward(x, offsets):
    """x: (T, d), offsets: (B + 1,) integers → y: (B, d), and the cache."""
    y = np.zeros((len(offsets) - 1, x.shape[1]), x.dtype)
    for t, (start, stop) in enumerate(zip(offsets[:-1], offsets[1:])):
        if start < stop:
            y[t] = x[start:stop].mean(axis=0)
    return y, (offsets, x.shape)


def backward(dy, cache):
    """dy: (B, d) → dx: (T, d)."""
    offsets, shape = cache
    raise NotImplementedError("return dx")


# --- not in the learner's file ---


def draw(random):
    offsets = random.offsets()
    return random.rows(offsets[-1], random.size(2)), offsets


def sizes(dy, x, offsets):
    return {"d, the number of columns": x.shape[1]}


def terms(dy, x, offsets):
    n = np.diff(offsets)
    copies, lengths = np.repeat(dy, n, axis=0), np.repeat(n, n)[:, None]
    is_first = np.isin(np.arange(len(x)), offsets[:-1])[:, None]
    return {
        "dx": [
            ("dy_t/n_t", copies / lengths, {
                "1/n_t is left out": copies,
                "it is divided by T, the number of tokens of all texts, not by n_t": copies / len(x),
                "it is divided by B, the number of texts, not by n_t": copies / len(dy),
                "it is multiplied by n_t, not divided": copies * lengths,
                "it is divided by n_t twice": copies / lengths**2,
                "only the first token of a text receives it, undivided": copies * is_first,
                "only the first token of a text receives it": copies * is_first / lengths,
                "dy is summed over the texts": np.repeat(dy.sum(axis=0, keepdims=True), len(x), axis=0) / lengths,
            }),
        ],
    }  # fmt: skip
