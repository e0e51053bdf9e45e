"""E6: the product of two waves."""

import numpy as np
import pytest
from hypothesis import given

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
    caught,
    examples,
    of_float32,
    ragged,
    random_rows,
    random_waves,
)

WAVE = Wave(ROWS, ROWS)


def times(dz, z):
    """dz·z, without a conjugate."""
    product = dz.as_complex() * z.as_complex()
    return Wave(product.real.copy(), product.imag.copy())


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


def test_products_out_of_range_have_right_gradients():
    one = of_float32(1, 1)
    for size, expected in ((1e20, (np.nan, np.inf)), (1e-23, (0, 0))):
        a = of_float32(size, size)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            z, cache = modulation_forward(a, a)
        np.testing.assert_array_equal([z.re, z.im], np.reshape(expected, (2, 1, 1)))
        for da in modulation_backward(one, cache):
            assert_equal((da.re, da.im), (2 * a.re, 0 * a.re))


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
