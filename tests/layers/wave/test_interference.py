"""E5: the sum of two waves."""

import math

import numpy as np
import pytest
from hypothesis import given

from layers.wave import Wave, global_magnitude_forward, interference_backward, interference_forward, token2wave_forward
from tests.support.layer_laws import (
    LENGTHS,
    ROWS,
    SEEDS,
    assert_equal,
    caught,
    examples,
    ragged,
    random_rows,
    random_waves,
)

WAVE = Wave(ROWS, ROWS)


@given(LENGTHS, SEEDS)
@examples()
def test_squared_magnitude_is_that_of_two_waves_that_meet(lengths, seed):
    """|Z|² = G_A² + G_B² + 2·G_A·G_B·cos(α_A − α_B)."""
    rng, w, offsets = ragged(lengths, seed)
    other = random_rows(rng, len(w))
    z, _ = interference_forward(token2wave_forward(w, offsets)[0], token2wave_forward(other, offsets)[0])
    (G_A, _), (G_B, _) = global_magnitude_forward(w, offsets), global_magnitude_forward(other, offsets)
    for t, (start, stop) in enumerate(zip(offsets, offsets[1:])):
        for j in range(start, stop):
            for k in range(3):
                difference = math.acos(w[j, k] / G_A[t, k]) - math.acos(other[j, k] / G_B[t, k])
                a, b = G_A[t, k], G_B[t, k]
                expected = a * a + b * b + 2 * a * b * math.cos(difference)
                assert abs(z.re[j, k] ** 2 + z.im[j, k] ** 2 - expected) <= 1e-13 * (a + b) ** 2


def test_a_wave_cancels_its_opposite():
    a = random_waves(0, 3)[0]
    z, _ = interference_forward(a, Wave(-a.re, -a.im))
    assert not z.re.any() and not z.im.any()


def test_parts_that_nearly_cancel_lose_nothing_more():
    """The difference of two near numbers is exact; what is left is the rounding that they came with."""
    a, b = np.float32([[1.0]]), np.float32([[-1.0000001]])
    z, _ = interference_forward(Wave(a, a), Wave(b, b))
    assert z.re == -(2.0**-23)


def test_a_sum_beyond_the_range_has_the_right_gradient():
    a, dz = (Wave(np.full((1, 1), size, np.float32), np.ones((1, 1), np.float32)) for size in (3e38, 2.0))
    with np.errstate(over="ignore"):
        z, cache = interference_forward(a, a)
    assert z.re == np.inf and z.im == 2
    assert_equal(interference_backward(dz, cache), (dz, dz))


@pytest.mark.parametrize("corrupt", [lambda dz: (dz, Wave(-dz.re, dz.im)), lambda dz: (Wave(dz.im, dz.re), dz)])
def test_a_wrong_sign_and_swapped_parts_are_caught(corrupt):
    assert caught(interference_forward, lambda dz, cache: corrupt(dz), *random_waves(0, 3))
