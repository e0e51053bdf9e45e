"""Exercise layer_norm (E10): every row centred and scaled to unit variance, then to a learned gain and bias.

    μ = mean_k x_k      r = 1/sqrt(mean_k (x_k − μ)² + ε)      x̂ = (x − μ)·r      y = γ·x̂ + β

With g = dy·γ, the gradient of x̂, dx has three terms: μ and r depend on x, too.
Write backward. Then: wave-network exercise --check THIS_FILE
"""

import numpy as np

EPSILON = 1e-5


def forward(x, gain, bias):
    """x: (T, d), gain γ and bias β: (d,) → y: (T, d), and the cache: x̂ (T, d), r (T, 1), γ."""
    centred = x - x.mean(axis=1, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).mean(axis=1, keepdims=True) + EPSILON)
    normalized = centred * rstd
    return gain * normalized + bias, (normalized, rstd, gain)


def backward(dy, cache):
    """dy: (T, d) → (dx: (T, d), dgain: (d,), dbias: (d,))."""
    normalized, rstd, gain = cache
    raise NotImplementedError("return dx, dgain, dbias")


# --- not in the learner's file ---


def draw(random):
    d = random.size(4)
    return random.rows(random.size(3), d), random.rows(1, d)[0], random.rows(1, d)[0]


def sizes(dy, x, gain, bias):
    return {"T, the number of rows": len(x), "d, the number of columns": x.shape[1]}


def terms(dy, x, gain, bias):
    x_hat, r, _ = forward(x, gain, bias)[1]
    g = dy * gain

    def mean(array):
        return array.mean(axis=1, keepdims=True)

    return {
        "dx": [
            ("r·g", r * g, {"γ is left out, g = dy": r * dy, "r is left out": g}),
            ("−r·mean(g)", -r * mean(g) * np.ones_like(x), {
                "γ is left out, g = dy": -r * mean(dy) * np.ones_like(x),
                "r is left out": -mean(g) * np.ones_like(x),
                "the mean runs over the rows, not over the columns": -r * g.mean(axis=0),
            }),
            ("−r·x̂·mean(g·x̂)", -r * x_hat * mean(g * x_hat), {
                "γ is left out, g = dy": -r * x_hat * mean(dy * x_hat),
                "r is left out": -x_hat * mean(g * x_hat),
                "the mean runs over the rows, not over the columns": -r * x_hat * (g * x_hat).mean(axis=0),
                "x̂ outside of the mean is left out": -r * mean(g * x_hat) * np.ones_like(x),
                "x̂ in the mean is left out": -r * x_hat * mean(g),
                "x stands in the place of x̂": -r * x * mean(g * x),
            }),
        ],
        "dgain": [
            ("Σ_j dy_j·x̂_j", (dy * x_hat).sum(axis=0), {
                "g stands in the place of dy": (g * x_hat).sum(axis=0),
                "x stands in the place of x̂": (dy * x).sum(axis=0),
                "x̂ is left out": dy.sum(axis=0),
            }),
        ],
        "dbias": [
            ("Σ_j dy_j", dy.sum(axis=0), {
                "g stands in the place of dy": g.sum(axis=0),
                "only the first row is taken": dy[0],
            }),
        ],
    }  # fmt: skip
