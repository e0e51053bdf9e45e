"""Exercise linear (E8): a linear map with a bias.

    y = x·W + b

Write backward. Then: wave-network exercise --check THIS_FILE
"""

import numpy as np


def forward(x, weight, bias):
    """x: (T, m), weight: (m, h), bias: (h,) → y: (T, h), and the cache. The check takes m = h."""
    return x @ weight + bias, (x, weight)


def backward(dy, cache):
    """dy: (T, h) → (dx: (T, m), dweight: (m, h), dbias: (h,))."""
    x, weight = cache
    raise NotImplementedError("return dx, dweight, dbias")


# --- not in the learner's file ---


def draw(random):
    d = random.size(4)
    return random.rows(random.size(3), d), random.rows(d, d), random.rows(1, d)[0]


def sizes(dy, x, weight, bias):
    return {"T, the number of rows": len(x), "h, the number of columns": len(bias)}


def terms(dy, x, weight, bias):
    return {
        "dx": [("dy·Wᵀ", dy @ weight.T, {"W is not transposed": dy @ weight})],
        "dweight": [("xᵀ·dy", x.T @ dy, {"it is transposed": dy.T @ x})],
        "dbias": [
            ("Σ_j dy_j", np.sum(dy, axis=0), {
                "only the first row is taken": dy[0],
                "only the last row is taken": dy[-1],
            }),
        ],
    }  # fmt: skip
