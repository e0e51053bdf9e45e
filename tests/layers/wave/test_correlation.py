"""E20: the product of a wave and the conjugate of another."""

import math

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
    modulation_backward,
    modulation_forward,
    readout_forward,
    token2wave_forward,
)
from tests.support.layer_laws import (
    LENGTHS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    ragged,
    random_rows,
)


def random_waves(seed, rows, count=2):
    rng = np.random.default_rng(seed)
    return [Wave(random_rows(rng, rows), random_rows(rng, rows)) for _ in range(count)]


def conjugate(z):
    return Wave(z.re, -z.im)


@given(st.integers(1, 6), SEEDS)
@examples()
def test_gradient(rows, seed):
    assert_exact_gradients(correlation_forward, correlation_backward, *random_waves(seed, rows))
    assert_five_point_gradients(correlation_forward, correlation_backward, *random_waves(seed, rows))


@given(st.integers(0, 6), SEEDS)
@examples()
def test_agrees_with_complex_multiplication(rows, seed):
    a, b, dz = (w.as_complex() for w in random_waves(seed, rows, 3))
    z, cache = correlation_forward(*random_waves(seed, rows))
    da, db = correlation_backward(Wave(dz.real, dz.imag), cache)
    actual = (z.as_complex(), da.as_complex(), db.as_complex())
    assert_equal(actual, (a * np.conj(b), dz * b, np.conj(dz) * a), 1e-15)


@given(st.integers(0, 6), SEEDS)
@examples()
def test_it_is_the_modulation_with_the_conjugate(rows, seed):
    a, b, dz = random_waves(seed, rows, 3)
    z, cache = correlation_forward(a, b)
    expected, expected_cache = modulation_forward(a, conjugate(b))
    da, db = modulation_backward(dz, expected_cache)
    assert_equal(z, expected, 1e-15)
    assert_equal(correlation_backward(dz, cache), (da, conjugate(db)), 1e-15)


@given(LENGTHS, SEEDS)
@examples()
def test_its_phase_is_the_angle_of_the_interference_term(lengths, seed):
    """The real part is half of 2·G_A·G_B·cos(α_A − α_B)."""
    rng, w, offsets = ragged(lengths, seed)
    other = random_rows(rng, len(w))
    a, b = token2wave_forward(w, offsets)[0], token2wave_forward(other, offsets)[0]
    z, _ = correlation_forward(a, b)
    (G_A, _), (G_B, _) = global_magnitude_forward(w, offsets), global_magnitude_forward(other, offsets)
    for t, (start, stop) in enumerate(zip(offsets, offsets[1:])):
        for j in range(start, stop):
            for k in range(3):
                difference = math.acos(w[j, k] / G_A[t, k]) - math.acos(other[j, k] / G_B[t, k])
                product = G_A[t, k] * G_B[t, k]
                assert abs(z.re[j, k] - product * math.cos(difference)) <= 1e-13 * product
                assert abs(z.im[j, k] - product * math.sin(difference)) <= 1e-13 * product


@pytest.mark.parametrize("scope", SCOPES)
@given(LENGTHS, SEEDS)
@examples()
def test_its_magnitude_is_that_of_the_modulation(scope, lengths, seed):
    rng, w, offsets = ragged(lengths, seed)
    waves = token2wave_forward(w, offsets, scope)[0], token2wave_forward(random_rows(rng, len(w)), offsets, scope)[0]
    found, expected = (readout_forward(f(*waves)[0], "magnitude")[0] for f in (correlation_forward, modulation_forward))
    assert_equal(found, expected, 1e-14)


def test_a_wave_with_itself_is_its_squared_magnitude():
    a, dz = Wave(np.array([[3.0]]), np.array([[4.0]])), Wave(np.array([[1.0]]), np.array([[2.0]]))
    z, cache = correlation_forward(a, a)
    assert z == (25, 0)
    assert correlation_backward(dz, cache) == ((-5, 10), (11, -2))


@pytest.mark.parametrize(
    "corrupted",
    [
        lambda dz, cache: modulation_backward(dz, cache),  # conj(B) for B
        lambda dz, cache: correlation_backward(dz, cache)[::-1],  # swapped
        lambda dz, cache: (correlation_backward(dz, cache)[0], conjugate(correlation_backward(dz, cache)[1])),
        lambda dz, cache: correlation_backward(Wave(dz.re, 0 * dz.im), cache),  # a missing term
    ],
    ids=["modulation", "swapped", "conjugate", "a part"],
)
def test_a_corrupted_backward_is_caught(corrupted):
    assert caught(correlation_forward, corrupted, *random_waves(0, 3))
