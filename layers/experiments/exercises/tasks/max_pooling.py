"""Exercise max_pooling (E14): the largest entry of each text, in every dimension.

    y_tk = max_{j∈S_t} x_jk

The texts lie one after another: text t owns the rows offsets[t] … offsets[t + 1] − 1. An empty text has y = 0.
Where several tokens have the largest entry, only the first of them receives the gradient.
Write backward. Then: wave-network exercise --check THIS_FILE
"""

import numpy as np


def forward(x, offsets):
    """x: (T, d), offsets: (B + 1,) integers → y: (B, d), and the cache."""
    y = np.zeros((len(offsets) - 1, x.shape[1]), x.dtype)
    for t, (start, stop) in enumerate(zip(offsets[:-1], offsets[1:])):
        if start < stop:
            y[t] = x[start:stop].max(axis=0)
    return y, (x, y, offsets)


def backward(dy, cache):
    """dy: (B, d) → dx: (T, d)."""
    x, y, offsets = cache
    raise NotImplementedError("return dx")


# --- not in the learner's file ---


def draw(random):
    offsets = random.offsets()
    return random.rows(offsets[-1], random.size(2)), offsets


def singular(random):
    x = random.rows(4, 2)
    x[1] = x[3] = 5.0
    return "two tokens have the largest entry: the first alone receives the gradient", (x, np.array([0, 4]))


def terms(dy, x, offsets):
    n, columns = np.diff(offsets), np.arange(x.shape[1])
    copies, lengths = np.repeat(dy, n, axis=0), np.repeat(n, n)[:, None]
    largest, smallest, whole = (np.zeros(x.shape, bool) for _ in range(3))
    for start, stop in zip(offsets[:-1], offsets[1:]):
        if start < stop:
            text = x[start:stop]
            largest[start + text.argmax(axis=0), columns] = True
            smallest[start + text.argmin(axis=0), columns] = True
            whole[start + np.unravel_index(text.argmax(), text.shape)[0]] = True
    return {
        "dx": [
            ("dy_tk at the largest entry", copies * largest, {
                "every token of the text receives it": copies,
                "every token of the text receives a share of 1/n_t, as of a mean": copies / lengths,
                "it is divided by n_t": copies * largest / lengths,
                "the smallest entry receives it": copies * smallest,
                "one token of a text receives it in all dimensions": copies * whole,
                "it is multiplied by the largest entry": copies * largest * x,
                "all entries but the largest receive it": copies * ~largest,
            }),
        ],
    }  # fmt: skip
