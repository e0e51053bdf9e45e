"""E6: the product of two waves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.wave import (
    SCOPES,
    Wave,
    global_magnitude_forward,
    modulation_backward,
    modulation_forward,
    token2wave_forward,
)
from tests.support.layer_laws import (
    LENGTHS,
    ROWS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    ragged,
    random_rows,
)

WAVE = Wave(ROWS, ROWS)


def random_waves(seed, rows, count=2):
    rng = np.random.default_rng(seed)
    return [Wave(random_rows(rng, rows), random_rows(rng, rows)) for _ in range(count)]


def times(dz, z):
    """dz·z, without a conjugate."""
    product = dz.as_complex() * z.as_complex()
    return Wave(product.real.copy(), product.imag.copy())


@given(st.integers(1, 6), SEEDS)
@examples()
def test_gradient(rows, seed):
    assert_exact_gradients(modulation_forward, modulation_backward, *random_waves(seed, rows))
    assert_five_point_gradients(modulation_forward, modulation_backward, *random_waves(seed, rows))


@given(st.integers(0, 6), SEEDS)
@examples()
def test_agrees_with_complex_multiplication(rows, seed):
    a, b, dz = (w.as_complex() for w in random_waves(seed, rows, 3))
    z, cache = modulation_forward(*random_waves(seed, rows))
    da, db = modulation_backward(Wave(dz.real, dz.imag), cache)
    actual = (z.as_complex(), da.as_complex(), db.as_complex())
    assert_equal(actual, (a * b, dz * np.conj(b), dz * np.conj(a)), 1e-15)


@pytest.mark.parametrize("scope", SCOPES)
@given(LENGTHS, SEEDS)
@examples()
def test_magnitudes_multiply_and_are_the_same_for_every_token(scope, lengths, seed):
    rng, w, offsets = ragged(lengths, seed)
    other = random_rows(rng, len(w))
    z, _ = modulation_forward(token2wave_forward(w, offsets, scope)[0], token2wave_forward(other, offsets, scope)[0])
    product = global_magnitude_forward(w, offsets, scope)[0] * global_magnitude_forward(other, offsets, scope)[0]
    for t, (start, stop) in enumerate(zip(offsets, offsets[1:])):
        for j in range(start, stop):
            np.testing.assert_allclose(abs(z.as_complex()[j]), np.broadcast_to(product[t], 3), rtol=1e-14)


def test_phases_add():
    a, b = (Wave(np.cos([[angle]]), np.sin([[angle]])) for angle in (0.4, 1.1))
    z, _ = modulation_forward(a, b)
    np.testing.assert_allclose(np.angle(z.as_complex()), 1.5, rtol=1e-15)


def of_float32(re, im):
    return Wave(np.array([[re]], np.float32), np.array([[im]], np.float32))


def test_products_out_of_range_have_right_gradients():
    one = of_float32(1, 1)
    for size, expected in ((1e20, (np.nan, np.inf)), (1e-23, (0, 0))):
        a = of_float32(size, size)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            z, cache = modulation_forward(a, a)
        np.testing.assert_array_equal([z.re, z.im], np.reshape(expected, (2, 1, 1)))
        for da in modulation_backward(one, cache):
            assert_equal((da.re, da.im), (2 * a.re, 0 * a.re))


def test_moduli_up_to_the_root_of_the_range_are_safe():
    """1.8e19 is the root of float32's largest number."""
    assert modulation_forward(of_float32(1.8e19, 0), of_float32(1.8e19, 0))[0].re < np.inf
    with np.errstate(over="ignore"):
        assert modulation_forward(of_float32(1.9e19, 0), of_float32(1.9e19, 0))[0].re == np.inf


def test_a_part_that_cancels_errs_by_the_rounding_of_the_product():
    """re = (1 + e)(1 − e) − 1 = −e² is lost beside |A|·|B| = 2, and no part ever errs by more than 2u·|A|·|B|."""
    assert modulation_forward(of_float32(1.0001, 1), of_float32(0.9999, 1))[0].re == 0
    a, b = (Wave(*np.random.default_rng(seed).standard_normal((2, 5000, 2), dtype=np.float32)) for seed in (0, 1))
    exact = (a.re.astype(float) + 1j * a.im) * (b.re.astype(float) + 1j * b.im)
    z = modulation_forward(a, b)[0]
    for part, of_exact in ((z.re, exact.real), (z.im, exact.imag)):
        assert np.all(abs(part - of_exact) <= 2.01 * 2.0**-24 * abs(exact))


@pytest.mark.parametrize(
    "corrupted",
    [
        lambda dz, cache: (times(dz, cache.b), times(dz, cache.a)),  # no conjugate
        lambda dz, cache: modulation_backward(dz, cache)[::-1],  # swapped
        lambda dz, cache: modulation_backward(Wave(dz.re, 0 * dz.im), cache),  # a missing term
    ],
)
def test_a_corrupted_backward_is_caught(corrupted):
    assert caught(modulation_forward, corrupted, *random_waves(0, 3))
