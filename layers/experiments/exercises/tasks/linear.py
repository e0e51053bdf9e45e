"""Exercise linear (E8): a linear map with a bias.

    y = x·W + b

Write backward. Then: python train.py exercise --check THIS_FILE
"""

import numpy as np


def forward(x, weight, bias):
    """x: (T, p), weight: (p, q), bias: (q,) → y: (T, q), and the cache. The check takes p = q."""
    return x @ weight + bias, (x, weight)


def backward(dy, cache):
    """dy: (T, q) → (dx: (T, p), dweight: (p, q), dbias: (q,))."""
    x, weight = cache
    raise NotImplementedError("return dx, dweight, dbias")


# --- not in the learner's file ---


def draw(random):
    d = random.size(4)
    return random.rows(random.size(3), d), random.rows(d, d), random.rows(1, d)[0]


def sizes(dy, x, weight, bias):
    return {"T, the number of rows": len(x), "q, the number of columns": len(bias)}


def terms(dy, x, weight, bias):
    return {
        "dx": [("dy·Wᵀ", dy @ weight.T, {"W is not transposed": dy @ weight})],
        "dweight": [("xᵀ·dy", x.T @ dy, {"it is transposed": dy.T @ x})],
        "dbias": [
            ("Σ_t dy", np.sum(dy, axis=0), {
                "only the first row is taken": dy[0],
                "only the last row is taken": dy[-1],
            }),
        ],
    }  # fmt: skip
