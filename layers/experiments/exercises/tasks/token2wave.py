"""Exercise token2wave (E4): the wave of every token, from the rows of its text.

    re_jk = w_jk        im_jk = v_jk = sqrt(Σ_{l∈S_t, l≠j} w_lk²)        the norm of the other tokens of the text

The texts lie one after another: text t owns the rows offsets[t] … offsets[t + 1] − 1. A text may be empty.
The wave is a complex array, and so is its gradient: dZ = ∂L/∂re + i·∂L/∂im.
w_l moves its own re, and the im of every other token of its text. v is the tip of a cone where it is 0, as in a text of
one token: let h = dim/v be 0 there.
Write backward. Then: wave-network exercise --check THIS_FILE
"""

import numpy as np


def forward(w, offsets):
    """w: (T, d), offsets: (B + 1,) integers → Z: complex (T, d), and the cache."""
    v = np.zeros_like(w)
    for start, stop in zip(offsets[:-1], offsets[1:]):
        squares = w[start:stop] ** 2
        v[start:stop] = np.sqrt(squares.sum(axis=0) - squares)
    return w + 1j * v, (w, v, offsets)


def backward(dz, cache):
    """dz: complex (T, d) → dw: (T, d), real."""
    w, v, offsets = cache
    raise NotImplementedError("return dw")


# --- not in the learner's file ---


def draw(random):
    offsets = random.offsets()
    return random.rows(offsets[-1], random.size(2)), offsets


def singular(random):
    w = random.rows(3, 2)
    w[1:, 0] = 0
    return "all other tokens are 0: h is 0 there by convention", (w, np.array([0, 3]))


def terms(dz, w, offsets):
    n, v = np.diff(offsets), forward(w, offsets)[1][1]
    G = np.sqrt(v**2 + w**2)

    def quotient(divisor):
        return dz.imag * (divisor > 0) / (divisor + (divisor == 0))

    def of_text(h):
        return np.repeat([h[start:stop].sum(axis=0) for start, stop in zip(offsets[:-1], offsets[1:])], n, axis=0)

    h = quotient(v)
    mistakes_of_sum = {
        "the sum runs over all texts, not over the token's own": w * h.sum(axis=0),
        "1/v is left out, h = dim": w * of_text(dz.imag),
        "v is replaced by G, h = dim/G": w * of_text(quotient(G)),
        "w is left out": of_text(h),
        "a mean in place of the sum": w * of_text(h) / np.repeat(n, n)[:, None],
        "w stands within the sum, not before it": of_text(w * h),
    }
    mistakes_of_token = {
        "1/v is left out, h = dim": -w * dz.imag,
        "v is replaced by G, h = dim/G": -w * quotient(G),
        "w is left out": -h,
    }
    return {
        "dw": [
            ("dre", dz.real, {"dim stands in the place of dre": dz.imag}),
            ("w·Σh, the path through G to all tokens of the text", w * of_text(h), mistakes_of_sum),
            ("−w·h, the token's own part of it", -w * h, mistakes_of_token),
        ]
    }
