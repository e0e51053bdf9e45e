"""Exercise readout_phase (E7): the angle of a wave, in radians.

    y = atan2(im, re)

A wave is a complex array, Z = re + i·im, and so is its gradient: dZ = ∂L/∂re + i·∂L/∂im.
The angle has no derivative at Z = 0: let the gradient be 0 there. ρ = sqrt(re² + im²) is of use.
Write backward. Then: wave-network exercise --check THIS_FILE
"""

import numpy as np


def forward(z):
    """z: complex (T, d) → y: (T, d), and the cache."""
    return np.arctan2(z.imag, z.real), z


def backward(dy, cache):
    """dy: (T, d) → dz: complex (T, d)."""
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
    return {
        "dz": [
            ("dre = −dy·im/ρ²", -dy * z.imag / rho**2 + 0j, {
                "it is divided by ρ, not by ρ²": -dy * z.imag / rho + 0j,
                "1/ρ² is left out": -dy * z.imag + 0j,
                "dy is left out": -z.imag / rho**2 + 0j,
                "re stands in the place of im": -dy * z.real / rho**2 + 0j,
            }),
            ("dim = dy·re/ρ²", 1j * dy * z.real / rho**2, {
                "it is divided by ρ, not by ρ²": 1j * dy * z.real / rho,
                "1/ρ² is left out": 1j * dy * z.real,
                "dy is left out": 1j * z.real / rho**2,
                "im stands in the place of re": 1j * dy * z.imag / rho**2,
            }),
        ],
    }  # fmt: skip
