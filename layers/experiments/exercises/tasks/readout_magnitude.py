"""Exercise readout_magnitude (E7): the modulus of a wave.

    y = ρ = sqrt(re² + im²)

A wave is a complex array, Z = re + i·im, and so is its gradient: dZ = ∂L/∂re + i·∂L/∂im.
ρ has the tip of a cone at Z = 0: let the gradient be 0 there.
Write backward. Then: wave-network exercise --check THIS_FILE
"""

import numpy as np


def forward(z):
    """z: complex (T, d) → y: (T, d), and the cache."""
    y = np.sqrt(z.real**2 + z.imag**2)
    return y, (z, y)


def backward(dy, cache):
    """dy: (T, d) → dz: complex (T, d)."""
    z, y = cache
    raise NotImplementedError("return dz")


# --- not in the learner's file ---


def draw(random):
    return (random.wave(random.size(3), random.size(2)),)


def singular(random):
    z = random.wave(3, 2)
    z[1, 0] = 0
    return "Z = 0: the gradient is 0 there by convention", (z,)


def terms(dy, z):
    rho = np.abs(z) + (z == 0)  # the numerators are 0 there

    def term(name, part):
        return (f"d{name} = dy·{name}/ρ", dy * part / rho, {
            "1/ρ is left out": dy * part,
            "it is divided by ρ², not by ρ": dy * part / rho**2,
            "dy is left out": part / rho,
        })  # fmt: skip

    return {"dz": [term("re", z.real + 0j), term("im", 1j * z.imag)]}
