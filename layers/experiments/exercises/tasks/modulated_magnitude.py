"""Exercise modulated_magnitude (E17): the magnitude of a modulation, one row for each text.

    y_tk = G_A,tk·G_B,tk        G_A,tk = sqrt(Σ_{j∈S_t} a_jk²), G_B likewise of b

The texts lie one after another: text t owns the rows offsets[t] … offsets[t + 1] − 1. An empty text has G = 0.
G has the tip of a cone where all tokens of a text are 0 in a dimension: let its gradient be 0 there.
Write backward. Then: wave-network exercise --check THIS_FILE
"""

import numpy as np


def magnitude(w, offsets):
    """w: (T, d), offsets: (B + 1,) → G: (B, d)."""
    return np.sqrt(np.array([(w[start:stop] ** 2).sum(axis=0) for start, stop in zip(offsets[:-1], offsets[1:])]))


def forward(a, b, offsets):
    """a, b: (T, d), offsets: (B + 1,) integers → y: (B, d), and the cache."""
    G_a, G_b = magnitude(a, offsets), magnitude(b, offsets)
    return G_a * G_b, (a, b, G_a, G_b, offsets)


def backward(dy, cache):
    """dy: (B, d) → (da, db), each (T, d)."""
    a, b, G_a, G_b, offsets = cache
    raise NotImplementedError("return da, db")


# --- not in the learner's file ---


def draw(random):
    offsets = random.offsets()
    d = random.size(2)
    return random.rows(offsets[-1], d), random.rows(offsets[-1], d), offsets


def singular(random):
    a, b = random.rows(3, 2), random.rows(3, 2)
    a[:, 1] = b[:, 0] = 0
    return "all tokens of a text are 0: the gradient is 0 there by convention", (a, b, np.array([0, 3]))


def terms(dy, a, b, offsets):
    n = np.diff(offsets)
    dy_t, G_a, G_b = (np.repeat(x, n, axis=0) for x in (dy, magnitude(a, offsets), magnitude(b, offsets)))

    def terms_of(w, other, G_w, G_other, a, A, B):
        divisor = G_w + (G_w == 0)  # the numerators are 0 there
        quotient = dy_t * w / divisor
        return [
            (f"{a}_j·dy_t·G_{B}/G_{A}", quotient * G_other, {
                f"1/G_{A} is left out": w * dy_t * G_other,
                f"it is divided by G_{A}², not by G_{A}": quotient * G_other / divisor,
                f"G_{B} is left out": quotient,
                f"G_{A} stands in the place of G_{B}": quotient * G_w,
                f"G_{A} and G_{B} are exchanged": w * dy_t * G_w / (G_other + (G_other == 0)),
                f"{a}_j is left out": dy_t * G_other / divisor,
                f"the other array stands in the place of {a}_j": other * dy_t * G_other / divisor,
                f"{a}_j is divided by its own size, not by G_{A}": np.sign(w) * dy_t * G_other,
                "it is divided by the number of tokens of the text": quotient * G_other / np.repeat(n, n)[:, None],
            }),
        ]  # fmt: skip

    return {"da": terms_of(a, b, G_a, G_b, "a", "A", "B"), "db": terms_of(b, a, G_b, G_a, "b", "B", "A")}
