"""Exercise interference (E5): the sum of two waves.

    Z = A + B

A wave is a complex array, Z = re + i·im, and so is its gradient: dZ = ∂L/∂re + i·∂L/∂im.
Write backward. Then: wave-network exercise --check THIS_FILE
"""

import numpy as np


def forward(a, b):
    """a, b: complex (T, d) → Z: complex (T, d), and a cache, of which nothing is needed here."""
    return a + b, None


def backward(dz, cache):
    """dz: complex (T, d) → (da, db), each complex (T, d)."""
    raise NotImplementedError("return da, db")


# --- not in the learner's file ---


def draw(random):
    tokens, d = random.size(3), random.size(2)
    return random.wave(tokens, d), random.wave(tokens, d)


def terms(dz, a, b):
    def terms_of(other):
        return [
            ("dZ", dz, {
                "its conjugate stands there": np.conj(dz),
                "only its real part is handed on": dz.real + 0j,
                "only its imaginary part is handed on": 1j * dz.imag,
                "it is multiplied by the conjugate of the other wave, which belongs to a product": dz * np.conj(other),
            }),
        ]  # fmt: skip

    return {"da": terms_of(b), "db": terms_of(a)}
