"""Exercise gelu (E11): x times the normal distribution function.

    y = x·Φ(x)        Φ′(x) = φ(x) = exp(−x²/2)/√(2π)

Write backward. Then: wave-network exercise --check THIS_FILE
"""

import math

import numpy as np


def forward(x):
    """x: (T, d) → y: (T, d), and the cache."""
    distribution = 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))
    return x * distribution, (x, distribution)


def backward(dy, cache):
    """dy: (T, d) → dx: (T, d)."""
    x, distribution = cache
    raise NotImplementedError("return dx")


# --- not in the learner's file ---


def draw(random):
    return (random.rows(random.size(3), random.size(2)),)


def sizes(dy, x):
    return {"√(2π)": math.sqrt(2 * math.pi)}


def terms(dy, x):
    distribution = forward(x)[1][1]
    root = math.sqrt(2 * math.pi)
    density = np.exp(-x * x / 2) / root
    return {
        "dx": [
            ("dy·Φ(x)", dy * distribution, {
                "dy is left out": distribution,
                "x is multiplied into it": dy * x * distribution,
            }),
            ("dy·x·φ(x)", dy * x * density, {
                "dy is left out": x * density,
                "x is left out": dy * density,
                "the exponent is −x², not −x²/2": dy * x * np.exp(-x * x) / root,
                "the exponent has the wrong sign": dy * x * np.exp(x * x / 2) / root,
                "the slope of φ stands there, not φ": -dy * x * x * density,
            }),
        ],
    }  # fmt: skip
