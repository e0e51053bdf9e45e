"""Every operation on two waves, beside complex arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.wave import OPERATIONS, Wave
from tests.support.layer_laws import (
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    assert_five_point_gradients,
    examples,
    of_float32,
    random_waves,
)

COMPLEX = {  # name: (A ∘ B, dA, dB)
    "interference": (lambda a, b: a + b, lambda a, b, dz: dz, lambda a, b, dz: dz),
    "modulation": (lambda a, b: a * b, lambda a, b, dz: dz * np.conj(b), lambda a, b, dz: dz * np.conj(a)),
    "correlation": (lambda a, b: a * np.conj(b), lambda a, b, dz: dz * b, lambda a, b, dz: np.conj(dz) * a),
}
# Pairs (A, B) whose product has a real part that cancels: (1 + e)(1 − e) − 1 = −e² is lost beside |A|·|B| = 2.
CANCELS = {"modulation": ((1.0001, 1), (0.9999, 1)), "correlation": ((1.0001, 1), (-0.9999, 1))}


def test_every_operation_is_here():
    assert COMPLEX.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("name", COMPLEX)
@given(st.integers(1, 6), SEEDS)
@examples()
def test_gradient(name, rows, seed):
    pair = OPERATIONS[name].forward, OPERATIONS[name].backward
    assert_exact_gradients(*pair, *random_waves(seed, rows))
    assert_five_point_gradients(*pair, *random_waves(seed, rows))


@pytest.mark.parametrize("name", COMPLEX)
@given(st.integers(0, 6), SEEDS)
@examples()
def test_agrees_with_complex_arithmetic(name, rows, seed):
    a, b, dz = random_waves(seed, rows, 3)
    z, cache = OPERATIONS[name].forward(a, b)
    da, db = OPERATIONS[name].backward(dz, cache)
    a, b, dz = (w.as_complex() for w in (a, b, dz))
    forward, first, second = COMPLEX[name]
    actual = (z.as_complex(), da.as_complex(), db.as_complex())
    assert_equal(actual, (forward(a, b), first(a, b, dz), second(a, b, dz)), 1e-15)


@pytest.mark.parametrize("name", CANCELS)
def test_moduli_up_to_the_root_of_the_range_are_safe(name):
    """1.8e19 is the root of float32's largest number."""
    forward = OPERATIONS[name].forward
    assert forward(of_float32(1.8e19, 0), of_float32(1.8e19, 0))[0].re < np.inf
    with np.errstate(over="ignore"):
        assert forward(of_float32(1.9e19, 0), of_float32(1.9e19, 0))[0].re == np.inf


@pytest.mark.parametrize("name", CANCELS)
def test_a_part_that_cancels_errs_by_the_rounding_of_products(name):
    """No part ever errs by more than 2u·|A|·|B|."""
    forward = OPERATIONS[name].forward
    assert forward(*(of_float32(*parts) for parts in CANCELS[name]))[0].re == 0
    a, b = (Wave(*np.random.default_rng(seed).standard_normal((2, 5000, 2), dtype=np.float32)) for seed in (0, 1))
    exact = COMPLEX[name][0](*(w.re.astype(float) + 1j * w.im for w in (a, b)))
    z = forward(a, b)[0]
    for part, of_exact in ((z.re, exact.real), (z.im, exact.imag)):
        assert np.all(abs(part - of_exact) <= 2.01 * 2.0**-24 * abs(exact))
