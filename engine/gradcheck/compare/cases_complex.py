"""Complex numbers, where dz = ∂L/∂re + i·∂L/∂im: conjugates, moduli, holomorphic functions, Fourier transforms."""

import numpy as np

from ..arrays import Array
from .case import Result, complex_normal, family, normal


def imaginary_doubled(dz: Array) -> Array:
    return np.asarray(dz.real + 2j * dz.imag)


def product(a: Array, b: Array) -> Result:
    return a * b, (a, b)


def half_spectrum_backward(dy: Array, n: int) -> Array:
    """Return the transpose of rfft: the sum over the n/2 + 1 frequencies, each once."""
    full = np.zeros(n, complex)
    full[: len(dy)] = dy
    return np.asarray((n * np.fft.ifft(full)).real)


CASES = [
    *family(
        "conjugate",
        lambda z: (np.conj(z), None),
        lambda: (complex_normal(120, 5),),
        (lambda dy, _: np.conj(dy), "not holomorphic"),
        {"conjugate missing": (lambda dy, _: dy, "wrong in the imaginary part alone")},
    ),
    *family(
        "modulus",
        lambda z: (np.abs(z), z),
        lambda: (complex_normal(121, 5),),
        (lambda dy, z: dy * z / np.abs(z), "complex in, real out"),
        {
            "conjugated": (lambda dy, z: dy * np.conj(z) / np.abs(z), "of the other convention"),
            "real part only": (lambda dy, z: dy * z.real / np.abs(z) + 0j, "wrong in the imaginary part alone"),
        },
    ),
    *family(
        "squared modulus",
        lambda z: ((z * np.conj(z)).real, z),
        lambda: (complex_normal(122, 5),),
        (lambda dy, z: 2 * dy * z, "complex in, real out"),
        {"Wirtinger's half": (lambda dy, z: dy * z, "∂L/∂z̄ in place of twice that")},
    ),
    *family(
        "complex product",
        product,
        lambda: (complex_normal(123, 4), complex_normal(124, 4)),
        (lambda dy, c: (dy * np.conj(c[1]), dy * np.conj(c[0])), "each factor has a conjugate"),
        {
            "conjugate missing": (lambda dy, c: (dy * c[1], dy * c[0]), "as of real numbers"),
            "one conjugate missing": (lambda dy, c: (dy * np.conj(c[1]), dy * c[0]), "in one of two gradients"),
        },
    ),
    *family(
        "complex sine",
        lambda z: (np.sin(z), z),
        lambda: (complex_normal(125, 5),),
        (lambda dy, z: dy * np.conj(np.cos(z)), "holomorphic"),
        {
            "conjugate missing": (lambda dy, z: dy * np.cos(z), "dy·f′ in place of dy·conj(f′)"),
            "imaginary part only": (
                lambda dy, z: imaginary_doubled(dy * np.conj(np.cos(z))),
                "the real part is right",
            ),
        },
    ),
    *family(
        "phase factor",
        lambda x: (np.exp(1j * x), x),
        lambda: (normal(126, 5),),
        (lambda dy, x: (np.conj(dy) * 1j * np.exp(1j * x)).real, "real in, complex out"),
        {
            "conjugate missing": (lambda dy, x: (dy * 1j * np.exp(1j * x)).real, "one sign of two is wrong"),
            "imaginary part forgotten": (lambda dy, x: -dy.real * np.sin(x), "only the real output has a cotangent"),
        },
    ),
    *family(
        "angle",
        lambda z: (np.arctan2(z.imag, z.real), z),
        lambda: (complex_normal(127, 5),),
        (lambda dy, z: dy * 1j * z / np.abs(z) ** 2, "a jump at the negative real axis, away from the inputs"),
        {"sign": (lambda dy, z: -dy * 1j * z / np.abs(z) ** 2, "turns the wrong way")},
    ),
    *family(
        "real part",
        lambda z: (z.real * z.real, z),
        lambda: (complex_normal(128, 5),),
        (lambda dy, z: 2 * dy * z.real + 0j, "nothing depends on the imaginary part"),
        {"as of the square": (lambda dy, z: 2 * dy * np.conj(z), "an imaginary part where there is none")},
    ),
    *family(
        "complex matrix product",
        lambda a, b: (a @ b, (a, b)),
        lambda: (complex_normal(129, 3, 3), complex_normal(130, 3, 3)),
        (lambda dy, c: (dy @ np.conj(c[1]).T, np.conj(c[0]).T @ dy), "Hermitian transposes"),
        {"only transposed": (lambda dy, c: (dy @ c[1].T, c[0].T @ dy), "conjugates are forgotten")},
    ),
    *family(
        "Fourier transform",
        lambda z: (np.fft.fft(z), None),
        lambda: (complex_normal(131, 6),),
        (lambda dy, _: len(dy) * np.fft.ifft(dy), "the adjoint is the inverse without 1/n"),
        {
            "1/n": (lambda dy, _: np.fft.ifft(dy), "the inverse in place of the adjoint"),
            "not conjugated": (lambda dy, _: np.fft.fft(dy), "the transpose in place of the adjoint"),
        },
    ),
    *family(
        "Fourier transform of real numbers",
        lambda x: (np.fft.rfft(x), len(x)),
        lambda: (normal(132, 6),),
        (half_spectrum_backward, "half a spectrum"),
        {"by irfft": (lambda dy, n: n * np.fft.irfft(dy, n), "counts the inner frequencies twice")},
    ),
    *family(
        "power spectrum",
        lambda x: (np.abs(np.fft.fft(x)) ** 2, np.fft.fft(x)),
        lambda: (normal(133, 6),),
        (lambda dy, f: 2 * len(dy) * np.fft.ifft(dy * f).real, "complex only inside"),
        {"factor 2": (lambda dy, f: len(dy) * np.fft.ifft(dy * f).real, "Wirtinger's half")},
    ),
]
