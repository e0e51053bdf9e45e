"""E20: the product of a wave and the conjugate of another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.wave import (
    SCOPES,
    Wave,
    correlation_backward,
    correlation_forward,
    global_magnitude_forward,
    interference_forward,
    modulation_backward,
    modulation_forward,
    readout_forward,
    token2wave_forward,
)
from tests.support.layer_laws import (
    LENGTHS,
    SEEDS,
    assert_equal,
    caught,
    examples,
    of_float32,
    ragged,
    random_rows,
    random_waves,
)


def conjugate(z):
    return Wave(z.re, -z.im)


def waves_of_texts(lengths, seed, scope="dimension"):
    """(A, B, G_A, G_B) of random texts; the magnitudes have a row for each token."""
    rng, a, offsets = ragged(lengths, seed)
    rows = (a, random_rows(rng, len(a)))
    waves = [token2wave_forward(w, offsets, scope)[0] for w in rows]
    magnitudes = [np.repeat(global_magnitude_forward(w, offsets, scope)[0], np.diff(offsets), axis=0) for w in rows]
    return *waves, *magnitudes


@given(st.integers(1, 6), SEEDS)
@examples()
def test_is_the_modulation_with_the_conjugate(rows, seed):
    a, b, dz = random_waves(seed, rows, 3)
    (z, cache), (expected, modulated) = correlation_forward(a, b), modulation_forward(a, conjugate(b))
    da, db = modulation_backward(dz, modulated)
    assert_equal((z, correlation_backward(dz, cache)), (expected, (da, conjugate(db))))


@pytest.mark.parametrize("scope", SCOPES)
@given(LENGTHS, SEEDS)
@examples()
def test_magnitudes_multiply_for_every_token(scope, lengths, seed):
    a, b, G_a, G_b = waves_of_texts(lengths, seed, scope)
    z = correlation_forward(a, b)[0].as_complex()
    np.testing.assert_allclose(abs(z), np.broadcast_to(G_a * G_b, z.shape), rtol=1e-14)


@given(LENGTHS, SEEDS)
@examples()
def test_the_real_part_is_half_the_interference_term(lengths, seed):
    """|A + B|² = G_A² + G_B² + 2·Re(A·conj(B))."""
    a, b, G_a, G_b = waves_of_texts(lengths, seed)
    squared = abs(interference_forward(a, b)[0].as_complex()) ** 2
    expected = G_a**2 + G_b**2 + 2 * correlation_forward(a, b)[0].re
    assert np.all(abs(squared - expected) <= 1e-14 * (G_a + G_b) ** 2)


def test_phases_are_subtracted():
    a, b = (Wave(np.cos([[angle]]), np.sin([[angle]])) for angle in (0.4, 1.1))
    np.testing.assert_allclose(np.angle(correlation_forward(a, b)[0].as_complex()), -0.7, rtol=1e-15)


@given(SEEDS)
@examples()
def test_the_phase_is_a_difference_and_crosses_no_jump(seed):
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, np.pi, (2, 4, 3))
    z, _ = correlation_forward(*(Wave(np.cos(x), np.sin(x)) for x in angles))
    np.testing.assert_allclose(readout_forward(z, "phase")[0], angles[0] - angles[1], rtol=0, atol=1e-14)


@given(st.integers(1, 6), SEEDS)
@examples()
def test_a_wave_with_itself_is_its_square(rows, seed):
    a, dz = random_waves(seed, rows, 2)
    z, cache = correlation_forward(a, a)
    assert_equal(z, Wave(a.re**2 + a.im**2, 0 * a.re))
    da, db = correlation_backward(dz, cache)
    actual, expected = (da.re + db.re, da.im + db.im), (2 * dz.re * a.re, 2 * dz.re * a.im)
    for x, y in zip(actual, expected):
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-13 * abs(dz.as_complex()).max() * abs(a.as_complex()).max())


def test_products_out_of_range_have_right_gradients():
    one = of_float32(1, 1)
    for size, expected in ((1e20, (np.inf, np.nan)), (1e-23, (0, 0))):
        a = of_float32(size, size)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            z, cache = correlation_forward(a, a)
        np.testing.assert_array_equal([z.re, z.im], np.reshape(expected, (2, 1, 1)))
        da, db = correlation_backward(one, cache)
        assert_equal((da.re, da.im, db.re, db.im), (0 * a.re, 2 * a.re, 2 * a.re, 0 * a.re))


@pytest.mark.parametrize(
    "corrupted",
    [
        lambda dz, cache: modulation_backward(dz, cache),  # dZ·conj(B), dZ·conj(A)
        lambda dz, cache: correlation_backward(conjugate(dz), cache),
        lambda dz, cache: correlation_backward(dz, cache)[::-1],  # swapped
        lambda dz, cache: correlation_backward(Wave(dz.re, 0 * dz.im), cache),  # a missing term
    ],
    ids=["modulation", "conjugate", "swapped", "missing"],
)
def test_a_corrupted_backward_is_caught(corrupted):
    assert caught(correlation_forward, corrupted, *random_waves(0, 3))
