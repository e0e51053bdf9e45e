"""E7: a wave read back as real numbers."""

import cmath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.wave import READOUTS, Wave, readout_backward, readout_forward
from tests.support.device_stand_in import assert_computes_on_the_device, assert_refuses_two_devices
from tests.support.layer_laws import (
    ROWS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    random_rows,
)

every_kind = pytest.mark.parametrize("kind", READOUTS)
WAVE = Wave(ROWS, abs(ROWS))
ORIGIN = Wave(np.zeros((1, 1)), np.zeros((1, 1)))


def random_wave(seed, rows, decades=1.0):
    rng = np.random.default_rng(seed)
    return Wave(random_rows(rng, rows, decades=decades), random_rows(rng, rows, decades=decades))


def by_loops(z, dy, kind):
    """(y, dz) with complex numbers, one at a time."""
    y, dz = np.zeros(dy.shape), np.zeros(z.shape, complex)
    d = z.shape[1]
    for j in range(z.shape[0]):
        for k in range(d):
            value, rho = z[j, k], abs(z[j, k])
            if kind == "both":
                y[j, k], y[j, k + d] = value.real, value.imag
                dz[j, k] = complex(dy[j, k], dy[j, k + d])
                continue
            read = {"real": value.real, "imaginary": value.imag, "magnitude": rho, "phase": cmath.phase(value)}
            direction = {"real": 1, "imaginary": 1j, "magnitude": value / rho, "phase": 1j * value / rho**2}
            y[j, k], dz[j, k] = read[kind], dy[j, k] * direction[kind]
    return y, dz


@every_kind
@given(st.integers(1, 6), SEEDS)
@examples()
def test_gradient(kind, rows, seed):
    z = random_wave(seed, rows)
    assert_five_point_gradients(readout_forward, readout_backward, z, kind)
    if kind != "phase":
        assert_exact_gradients(readout_forward, readout_backward, z, kind)


@every_kind
@given(st.integers(0, 6), SEEDS)
@examples()
def test_agrees_with_complex_numbers_in_loops(kind, rows, seed):
    z = random_wave(seed, rows)
    y, cache = readout_forward(z, kind)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    assert_equal((y, readout_backward(dy, cache).as_complex()), by_loops(z.as_complex(), dy, kind), 1e-14)


@every_kind
def test_the_gradient_is_taken_on_the_device_of_the_wave(device, kind):
    y, cache = readout_forward(random_wave(0, 4), kind)
    dy = np.random.default_rng(0).standard_normal(y.shape)
    assert_computes_on_the_device(device, readout_backward, dy, cache)
    assert_refuses_two_devices(device, readout_backward, dy, cache)


@pytest.mark.parametrize("kind", ["magnitude", "phase"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_origin_has_value_and_gradient_zero(kind, dtype):
    z = Wave(*(part.astype(dtype) for part in ORIGIN))
    y, cache = readout_forward(z, kind)
    dz = readout_backward(np.ones((1, 1), dtype), cache)
    assert y == 0.0 and dz.re == 0.0 and dz.im == 0.0


@pytest.mark.parametrize("re, im, kind, value, dre, dim", [
    (0.0, 2.0, "magnitude", 2.0, 0.0, 1.0),
    (-2.0, 0.0, "magnitude", 2.0, -1.0, 0.0),
    (0.0, -2.0, "magnitude", 2.0, 0.0, -1.0),
    (3.0, 4.0, "magnitude", 5.0, 0.6, 0.8),
    (0.0, 2.0, "phase", np.pi / 2, -0.5, 0.0),
    (-2.0, 0.0, "phase", np.pi, 0.0, -0.5),
    (-2.0, -0.0, "phase", -np.pi, 0.0, -0.5),
])  # fmt: skip
def test_values_on_the_axes(re, im, kind, value, dre, dim):
    y, cache = readout_forward(Wave(np.array([[re]]), np.array([[im]])), kind)
    dz = readout_backward(np.ones((1, 1)), cache)
    assert (y.item(), dz.re.item(), dz.im.item()) == pytest.approx((value, dre, dim), rel=1e-15)


@pytest.mark.parametrize(
    "dtype, scale", [(np.float32, 1e-35), (np.float32, 1e35), (np.float64, 1e-300), (np.float64, 1e300)]
)
def test_squares_neither_overflow_nor_underflow(dtype, scale):
    z = Wave(np.array([[3 * scale]], dtype), np.array([[4 * scale]], dtype))
    y, cache = readout_forward(z, "magnitude")
    dz = readout_backward(np.ones((1, 1), dtype), cache)
    np.testing.assert_allclose([y, dz.re, dz.im], np.reshape([5 * scale, 0.6, 0.8], (3, 1, 1)), rtol=1e-6)
    _, cache = readout_forward(z, "phase")
    dz = readout_backward(np.full((1, 1), scale, dtype), cache)
    np.testing.assert_allclose([dz.re, dz.im], np.reshape([-0.16, 0.12], (2, 1, 1)), rtol=1e-6)


def test_a_magnitude_beyond_the_range_has_gradient_zero():
    large = np.full((1, 1), 3e38, np.float32)
    with np.errstate(over="ignore"):
        y, cache = readout_forward(Wave(large, large), "magnitude")  # 4.2e38
    assert y == np.inf and readout_backward(np.ones_like(y), cache) == (0, 0)


def test_a_subnormal_modulus_keeps_the_digits_it_can():
    z = Wave(np.array([[3e-44]], np.float32), np.array([[4e-44]], np.float32))
    y, cache = readout_forward(z, "magnitude")
    dz = readout_backward(np.ones_like(y), cache)
    np.testing.assert_allclose([y, dz.re, dz.im], np.reshape([5e-44, 0.6, 0.8], (3, 1, 1)), rtol=0.05)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_the_slope_of_the_phase_is_one_over_the_modulus():
    def slope(re):
        z = Wave(np.array([[re]], np.float32), np.zeros((1, 1), np.float32))
        return readout_backward(np.ones((1, 1), np.float32), readout_forward(z, "phase")[1])

    for re in (1e-6, 1e-19, 1e-38, 1e30):
        assert slope(re).re == 0 and slope(re).im[0, 0] == pytest.approx(1 / re, rel=1e-6)
    assert np.isnan(slope(1e-40).re) and slope(1e-40).im == np.inf  # ∞·0 and ∞·1


def test_the_phase_refuses_complex_parts():
    with pytest.raises(ValueError, match="^z.re: .*complex128"):
        readout_forward(Wave(ROWS.astype(complex), ROWS.astype(complex)), "phase")


@pytest.mark.parametrize("kind", ["magnitude", "phase", "both"])
@pytest.mark.parametrize(
    "corrupt", [lambda dz: Wave(dz.re, -dz.im), lambda dz: Wave(0 * dz.re, dz.im), lambda dz: Wave(dz.im, dz.re)]
)
def test_a_corrupted_backward_is_caught(kind, corrupt):
    assert caught(readout_forward, lambda dy, cache: corrupt(readout_backward(dy, cache)), random_wave(0, 3), kind)
