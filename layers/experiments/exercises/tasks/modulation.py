"""Exercise modulation (E6): the product of two waves.

    Z = A·B

A wave is a complex array, Z = re + i·im, and so is its gradient: dZ = ∂L/∂re + i·∂L/∂im.
Write backward. Then: wave-network exercise --check THIS_FILE
"""

import numpy as np


def forward(a, b):
    """a, b: complex (T, d) → Z: complex (T, d), and the cache."""
    return a * b, (a, b)


def backward(dz, cache):
    """dz: complex (T, d) → (da, db), each complex (T, d)."""
    a, b = cache
    raise NotImplementedError("return da, db")


# --- not in the learner's file ---


def draw(random):
    tokens, d = random.size(3), random.size(2)
    return random.wave(tokens, d), random.wave(tokens, d)


def terms(dz, a, b):
    def terms_of(w, other, A, B):
        return [
            (f"dZ·conj({B})", dz * np.conj(other), {
                f"the conjugate of {B} is forgotten": dz * other,
                f"dZ is conjugated in place of {B}": np.conj(dz) * other,
                f"dZ is conjugated as well as {B}": np.conj(dz * other),
                f"{A} stands in the place of {B}": dz * np.conj(w),
                f"{A} stands in the place of {B}, and is not conjugated": dz * w,
                f"{B} is left out": dz,
            }),
        ]  # fmt: skip

    return {"da": terms_of(a, b, "A", "B"), "db": terms_of(b, a, "B", "A")}
