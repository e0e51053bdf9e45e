"""E3: from magnitude and phase to real and imaginary part."""

import cmath

import numpy as np
import pytest
from hypothesis import given

from layers.wave import SCOPES, Wave, polar_to_wave_backward, polar_to_wave_forward
from tests.support.layer_laws import (
    LENGTHS,
    OFFSETS,
    ROWS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    groups,
    offsets_of,
    random_rows,
)

both_scopes = pytest.mark.parametrize("scope", SCOPES)
G = np.array([[2.0, 1.0], [0.0, 3.0], [0.5, 4.0]])


def random_polar(lengths, seed, scope):
    """(rng, G, α, offsets) with α all around the circle."""
    rng = np.random.default_rng(seed)
    offsets = offsets_of(lengths)
    return (
        rng,
        random_rows(rng, len(lengths), 3 if scope == "dimension" else 1),
        rng.uniform(-4, 4, (offsets[-1], 3)),
        offsets,
    )


def by_loops(G, alpha, dz, offsets, scope):
    """(Z, dG, dα) with Z complex: dG = Re(dz·conj(e^{iα})), dα = Re(dz·conj(i·Z))."""
    z, dG, dalpha = np.zeros(alpha.shape, complex), np.zeros_like(G), np.zeros_like(alpha)
    for at, entries in groups(offsets, alpha.shape[1], scope):
        for e in entries:
            direction = cmath.exp(1j * alpha[e])
            z[e] = G[at] * direction
            dG[at] += (dz[e] * direction.conjugate()).real
            dalpha[e] = (dz[e] * (1j * z[e]).conjugate()).real
    return z, dG, dalpha


@both_scopes
@given(LENGTHS, SEEDS)
@examples()
def test_gradient(scope, lengths, seed):
    _, G, alpha, offsets = random_polar(lengths, seed, scope)
    assert_exact_gradients(polar_to_wave_forward, polar_to_wave_backward, G, alpha, offsets)
    assert_five_point_gradients(polar_to_wave_forward, polar_to_wave_backward, G, alpha, offsets)


@both_scopes
@given(LENGTHS, SEEDS)
@examples()
def test_agrees_with_the_complex_exponential_in_loops(scope, lengths, seed):
    rng, G, alpha, offsets = random_polar(lengths, seed, scope)
    z, cache = polar_to_wave_forward(G, alpha, offsets)
    dz = Wave(rng.standard_normal(alpha.shape), rng.standard_normal(alpha.shape))
    dG, dalpha = polar_to_wave_backward(dz, cache)
    expected_z, expected_dG, expected_dalpha = by_loops(G, alpha, dz.as_complex(), offsets, scope)
    assert_equal((z.as_complex(), dalpha), (expected_z, expected_dalpha), 1e-14)
    assert (
        np.abs(dG - expected_dG).max(initial=0.0) <= 1e-15 * np.abs(dz.as_complex()).sum()
    )  # terms of a sum may cancel


@pytest.mark.parametrize("shape", [(4, 3), (4, 1), (1, 3), (1, 1)])
def test_without_offsets_magnitudes_broadcast(shape):
    rng = np.random.default_rng(0)
    G, alpha = random_rows(rng, *shape), rng.uniform(0, np.pi, (4, 3))
    z, _ = polar_to_wave_forward(G, alpha)
    assert_equal(z.as_complex(), G * np.exp(1j * alpha), 1e-15)
    assert_exact_gradients(polar_to_wave_forward, polar_to_wave_backward, G, alpha)


def test_a_magnitude_of_zero_gives_zero_and_still_has_a_gradient():
    z, cache = polar_to_wave_forward(np.zeros((1, 1)), np.zeros((2, 1)), np.array([0, 2]))
    dG, dalpha = polar_to_wave_backward(Wave(np.ones((2, 1)), np.ones((2, 1))), cache)
    assert not z.re.any() and not z.im.any() and not dalpha.any()
    assert dG == 2.0


@pytest.mark.parametrize("dtype, sine", [(np.float32, -8.742278e-08), (np.float64, 1.2246467991473532e-16)])
def test_the_sine_of_the_rounded_pi_is_not_zero(dtype, sine):
    z, cache = polar_to_wave_forward(np.array([[3.0]], dtype), np.array([[np.pi]], dtype), np.array([0, 1]))
    assert z.re == -3 and z.im[0, 0] == pytest.approx(3 * sine, rel=1e-6)
    dG, dalpha = polar_to_wave_backward(Wave(np.ones((1, 1), dtype), np.ones((1, 1), dtype)), cache)
    np.testing.assert_allclose([dG, dalpha], [[[-1.0]], [[-3.0]]], rtol=2e-7)


def test_a_missing_conjugate_is_caught():
    def corrupted(dz, cache):
        return polar_to_wave_backward(Wave(dz.re, -dz.im), cache)

    assert caught(polar_to_wave_forward, corrupted, G, ROWS, OFFSETS)
