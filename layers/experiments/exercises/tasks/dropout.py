"""Exercise dropout (E13): entries are dropped with probability θ, and the rest scaled up.

    y = x·m/(1 − θ)        m: 0 for a dropped entry, 1 for a kept one

Write backward. Then: wave-network exercise --check THIS_FILE
"""

import numpy as np


def forward(x, mask, rate):
    """x: (T, d), mask m: (T, d) of zeros and ones, rate θ in [0, 1) → y: (T, d), and the cache."""
    return x * mask / (1 - rate), (mask, rate)


def backward(dy, cache):
    """dy: (T, d) → dx: (T, d). The mask and the rate have no gradient."""
    mask, rate = cache
    raise NotImplementedError("return dx")


# --- not in the learner's file ---


def draw(random):
    x = random.rows(random.size(4), random.size(3))
    mask = np.asarray(random.integers(0, 2, x.shape), float)
    mask[0, :2] = 0, 1
    return x, mask, random.size(1) / 10


def sizes(dy, x, mask, rate):
    return {"1 − θ": 1 - rate}


def terms(dy, x, mask, rate):
    return {
        "dx": [
            ("dy·m/(1 − θ)", dy * mask / (1 - rate), {
                "m is left out": dy / (1 - rate),
                "m and 1/(1 − θ) are left out": dy,
                "1 − m stands in the place of m": dy * (1 - mask) / (1 - rate),
                "it is divided by θ, not by 1 − θ": dy * mask / rate,
                "x stands in the place of dy": x * mask / (1 - rate),
                "dy is left out": mask / (1 - rate),
            }),
        ],
    }  # fmt: skip
