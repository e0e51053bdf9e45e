"""E4: Token2Wave in closed form beside the polar form, loops and derivatives, and its bounded gradient."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays.ragged import CACHE_BLOCK_ENTRIES
from layers.wave import (
    SCOPES,
    Wave,
    global_magnitude_backward,
    global_magnitude_forward,
    phase_backward,
    phase_forward,
    polar_to_wave_backward,
    polar_to_wave_forward,
    token2wave_backward,
    token2wave_forward,
)
from tests.support.device_stand_in import assert_computes_on_the_device, assert_refuses_two_devices
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
    ragged,
    random_rows,
)

both_scopes = pytest.mark.parametrize("scope", SCOPES)


both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def random_dz(rng, shape, dtype=np.float64):
    return Wave(rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape).astype(dtype))


def gradient(w, dz, offsets, scope="dimension"):
    return token2wave_backward(dz, token2wave_forward(w, offsets, scope)[1])


@both_scopes
@given(LENGTHS, SEEDS)
@examples(40)
def test_gradient(scope, lengths, seed):
    _, w, offsets = ragged(lengths, seed)
    assert_exact_gradients(token2wave_forward, token2wave_backward, w, offsets, scope)
    assert_five_point_gradients(token2wave_forward, token2wave_backward, w, offsets, scope)


@both_scopes
@given(LENGTHS, SEEDS)
@examples(40)
def test_gradient_over_six_decades(scope, lengths, seed):
    _, w, offsets = ragged(lengths, seed, decades=3)
    assert_exact_gradients(token2wave_forward, token2wave_backward, w, offsets, scope)


def polar(w, offsets, scope):
    """Z = G·e^{iα} in extended precision, entry by entry."""
    z = np.zeros(w.shape, np.clongdouble)
    for _, entries in groups(offsets, w.shape[1], scope):
        G = np.sqrt(sum(np.longdouble(w[e]) ** 2 for e in entries))
        for e in entries:
            z[e] = G * np.exp(1j * np.arccos(np.longdouble(w[e]) / G))
    return z.astype(complex)


def by_loops(w, dz, offsets, scope):
    """dw_l = dre_l + Σ_{j≠l} dim_j·∂im_j/∂w_l with ∂im_j/∂w_l = w_l/|others of j|, term by term."""
    dw = dz.re.copy()
    for _, entries in groups(offsets, w.shape[1], scope):
        for j in entries:
            v = math.sqrt(math.fsum(w[e] ** 2 for e in entries if e != j))
            for e in entries:
                if e != j:
                    dw[e] += dz.im[j] * w[e] / v
    return dw


@both_scopes
@given(LENGTHS, SEEDS)
@examples()
def test_agrees_with_the_polar_form_and_the_jacobian_in_loops(scope, lengths, seed):
    rng, w, offsets = ragged(lengths, seed, decades=0.5)
    z, cache = token2wave_forward(w, offsets, scope)
    dz = random_dz(rng, w.shape)
    assert_equal(z.as_complex(), polar(w, offsets, scope), 1e-13)
    assert_equal(token2wave_backward(dz, cache), by_loops(w, dz, offsets, scope), 1e-13)


@both_scopes
@given(LENGTHS, SEEDS)
@examples()
def test_equals_the_chain_of_magnitude_phase_and_polar_form(scope, lengths, seed):
    rng, w, offsets = ragged(lengths, seed, decades=0.5)
    dz = random_dz(rng, w.shape)
    G, magnitude = global_magnitude_forward(w, offsets, scope)
    alpha, phase = phase_forward(w, G, offsets)
    chain, polar_form = polar_to_wave_forward(G, alpha, offsets)
    dG, dalpha = polar_to_wave_backward(dz, polar_form)
    dw, dG_of_phase = phase_backward(dalpha, phase)
    dw = dw + global_magnitude_backward(dG + dG_of_phase, magnitude)
    z, cache = token2wave_forward(w, offsets, scope)
    assert_equal(chain.as_complex(), z.as_complex(), 1e-13)
    assert_equal(dw, token2wave_backward(dz, cache), 1e-11)


def test_the_chain_drops_the_gradient_at_magnitude_zero():
    w, offsets, dz = np.zeros((2, 1)), np.array([0, 2]), Wave(np.ones((2, 1)), np.ones((2, 1)))
    G, magnitude = global_magnitude_forward(w, offsets)
    alpha, phase = phase_forward(w, G, offsets)
    dG, dalpha = polar_to_wave_backward(dz, polar_to_wave_forward(G, alpha, offsets)[1])
    dw, dG_of_phase = phase_backward(dalpha, phase)
    assert not (dw + global_magnitude_backward(dG + dG_of_phase, magnitude)).any()
    assert_equal(gradient(w, dz, offsets), dz.re)


@both_scopes
@both_dtypes
@given(LENGTHS, SEEDS, st.integers(0, 15))
@examples()
def test_every_token_has_the_magnitude_of_its_text(scope, dtype, lengths, seed, decades):
    _, w, offsets = ragged(lengths, seed, decades=decades)
    w = w.astype(dtype)
    z, _ = token2wave_forward(w, offsets, scope)
    G, _ = global_magnitude_forward(w, offsets, scope)
    expected = np.broadcast_to(np.repeat(G, lengths, axis=0), w.shape)
    np.testing.assert_allclose(np.hypot(z.re, z.im), expected, rtol=8 * np.finfo(dtype).eps)


@both_scopes
@both_dtypes
def test_the_gradient_is_taken_on_the_device_of_the_wave(device, scope, dtype):
    rng, w, offsets = ragged([3, 0, 1, 4], 0)
    dz = random_dz(rng, w.shape, dtype)
    _, cache = token2wave_forward(w.astype(dtype), offsets, scope)
    assert_computes_on_the_device(device, token2wave_backward, dz, cache)
    assert_refuses_two_devices(device, token2wave_backward, dz, cache)


def test_the_real_part_is_the_token_itself():
    assert token2wave_forward(ROWS, OFFSETS)[0].re is ROWS


@both_scopes
@given(LENGTHS, SEEDS)
@examples()
def test_the_imaginary_part_does_not_see_signs(scope, lengths, seed):
    _, w, offsets = ragged(lengths, seed)
    assert_equal(token2wave_forward(w, offsets, scope)[0].im, token2wave_forward(abs(w), offsets, scope)[0].im)


@both_scopes
@both_dtypes
@given(LENGTHS, SEEDS, st.integers(-40, 40))
@examples()
def test_scales_with_its_input_and_the_gradient_does_not(scope, dtype, lengths, seed, exponent):
    rng, w, offsets = ragged(lengths, seed)
    w, dz = w.astype(dtype), random_dz(rng, w.shape, dtype)
    scaled = w * dtype(2.0**exponent)
    assert_equal(
        token2wave_forward(scaled, offsets, scope)[0].im,
        token2wave_forward(w, offsets, scope)[0].im * dtype(2.0**exponent),
    )
    assert_equal(gradient(scaled, dz, offsets, scope), gradient(w, dz, offsets, scope))


@both_scopes
@both_dtypes
def test_texts_of_a_large_batch_equal_texts_alone(scope, dtype):
    rng = np.random.default_rng(0)
    offsets = offsets_of([0, 700, 1, 2000, 0, 0, 5000, 1, 3, 900, 0])
    w = random_rows(rng, offsets[-1], 16).astype(dtype)
    assert w.size > 4 * CACHE_BLOCK_ENTRIES
    z, cache = token2wave_forward(w, offsets, scope)
    dz = random_dz(rng, w.shape, dtype)
    dw = token2wave_backward(dz, cache)
    for start, stop in zip(offsets, offsets[1:]):
        alone, cache = token2wave_forward(w[start:stop], np.array([0, stop - start]), scope)
        assert_equal(z.im[start:stop], alone.im)
        assert_equal(dw[start:stop], token2wave_backward(Wave(dz.re[start:stop], dz.im[start:stop]), cache))


@both_scopes
@both_dtypes
@given(st.integers(1, 6), SEEDS, st.integers(0, 15))
@examples()
def test_each_partial_derivative_of_im_is_at_most_one(scope, dtype, tokens, seed, decades):
    _, w, offsets = ragged([tokens], seed, columns=2, decades=decades)
    w = w.astype(dtype)
    w[w.shape[0] // 2 :, 1] = 0
    _, cache = token2wave_forward(w, offsets, scope)
    for j in range(w.size):
        dim = np.zeros_like(w)
        dim.flat[j] = 1
        dw = token2wave_backward(Wave(np.zeros_like(w), dim), cache)
        assert np.all(abs(dw) <= 1 + 4 * np.finfo(dtype).eps)
        assert dw.flat[j] == 0, "im_j does not depend on w_j"


def inclusive_sum(dz, cache):
    """Σ_j h_j instead of the sum over the others."""
    h = np.divide(dz.im, cache.v, out=np.zeros_like(cache.v), where=cache.v != 0)
    return token2wave_backward(dz, cache) + cache.w * h


@both_scopes
@pytest.mark.parametrize(
    "corrupted",
    [
        inclusive_sum,
        lambda dz, cache: token2wave_backward(Wave(dz.re, -dz.im), cache),  # wrong sign
        lambda dz, cache: token2wave_backward(Wave(0 * dz.re, dz.im), cache),  # a missing term
        lambda dz, cache: token2wave_backward(dz, cache._replace(offsets=np.array([0, 2, 6, 6]))),  # wrong segments
        lambda dz, cache: token2wave_backward(
            dz, cache._replace(scope={"text": "dimension", "dimension": "text"}[cache.scope])
        ),
    ],
    ids=["inclusive sum", "sign", "missing term", "segments", "scope"],
)
def test_a_corrupted_backward_is_caught(scope, corrupted):
    _, w, offsets = ragged([3, 0, 3], 0)
    assert caught(token2wave_forward, corrupted, w, offsets, scope)
