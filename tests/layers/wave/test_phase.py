"""E2: the angle of a token within its text. The chain E1–E3 is tested beside E4, in test_token2wave.py."""

import math

import numpy as np
import pytest
from hypothesis import given

from layers.wave import SCOPES, global_magnitude_forward, phase_backward, phase_forward
from tests.support.layer_laws import (
    LENGTHS,
    SEEDS,
    assert_equal,
    assert_five_point_gradients,
    caught,
    examples,
    groups,
    offsets_of,
    random_rows,
)

both_scopes = pytest.mark.parametrize("scope", SCOPES)
G = np.array([[4.0, 4.0], [0.0, 0.0], [2.0, 0.5]])


def well_inside(lengths, seed, scope):
    """(rng, w, G, offsets) with |w| < 0.8·G, away from the singular points."""
    rng = np.random.default_rng(seed)
    offsets = offsets_of(lengths)
    w = random_rows(rng, offsets[-1])
    return rng, w, 1.25 * global_magnitude_forward(w, offsets, scope)[0], offsets


def by_loops(w, G, dalpha, offsets, scope):
    """(α, dw, dG) entry by entry, by the other form of the phase, α = arccos(w/G)."""
    alpha, dw, dG = np.zeros_like(w), np.zeros_like(w), np.zeros_like(G)
    for at, entries in groups(offsets, w.shape[1], scope):
        for e in entries:
            alpha[e] = math.acos(w[e] / G[at])
            root = math.sqrt(G[at] ** 2 - w[e] ** 2)
            dw[e] = -dalpha[e] / root
            dG[at] += dalpha[e] * w[e] / (G[at] * root)
    return alpha, dw, dG


@both_scopes
@given(LENGTHS, SEEDS)
@examples()
def test_gradient(scope, lengths, seed):
    _, w, G, offsets = well_inside(lengths, seed, scope)
    assert_five_point_gradients(lambda w, G: phase_forward(w, G, offsets), phase_backward, w, G)


@both_scopes
@given(LENGTHS, SEEDS)
@examples()
def test_agrees_with_the_arc_cosine_in_loops(scope, lengths, seed):
    rng, w, G, offsets = well_inside(lengths, seed, scope)
    alpha, cache = phase_forward(w, G, offsets)
    dalpha = rng.standard_normal(w.shape)
    assert_equal((alpha, *phase_backward(dalpha, cache)), by_loops(w, G, dalpha, offsets, scope), 1e-12)


def test_a_token_that_is_its_text_has_phase_zero_or_pi():
    alpha, cache = phase_forward(np.array([[2.0, -2.0]]), np.array([[2.0, 2.0]]), np.array([0, 1]))
    dw, dG = phase_backward(np.ones((1, 2)), cache)
    assert alpha.tolist() == [[0.0, math.pi]]
    assert not dw.any() and not dG.any()


def test_a_magnitude_of_zero_has_phase_half_pi_and_gradient_zero():
    alpha, cache = phase_forward(np.zeros((2, 1)), np.zeros((1, 1)), np.array([0, 2]))
    dw, dG = phase_backward(np.ones((2, 1)), cache)
    assert alpha.tolist() == [[math.pi / 2]] * 2
    assert not dw.any() and not dG.any()


def test_rounding_above_one_stays_finite():
    alpha, cache = phase_forward(np.array([[np.nextafter(1.0, 2.0)]]), np.ones((1, 1)), np.array([0, 1]))
    dw, dG = phase_backward(np.ones((1, 1)), cache)
    assert alpha == 0.0 and dw == 0.0 and dG == 0.0


@given(LENGTHS, SEEDS)
@examples()
def test_phases_lie_between_zero_and_pi(lengths, seed):
    _, w, _, offsets = well_inside(lengths, seed, "dimension")
    alpha, _ = phase_forward(w, global_magnitude_forward(w, offsets)[0], offsets)
    assert np.all((alpha >= 0) & (alpha <= np.pi))


def test_the_gradient_is_unbounded_where_one_token_is_the_text():
    """Why training uses E4: the same slope is bounded there."""
    w = np.array([[1.0], [1e-6]])
    offsets = np.array([0, 2])
    _, cache = phase_forward(w, global_magnitude_forward(w, offsets)[0], offsets)
    assert abs(phase_backward(np.ones((2, 1)), cache)[0][0, 0]) > 1e5


def test_rounding_takes_the_digits_of_the_sine_and_then_the_sine():
    """α = v/G at first order: 1e-6 comes out 4e-5 too large in float64, and in float32 1e-4 as 0, with gradient 0."""
    alpha, cache = phase_forward(np.array([[1.0], [1e-6]]), np.array([[math.sqrt(1 + 1e-12)]]), np.array([0, 2]))
    assert 1e-5 < abs(alpha[0, 0] / 1e-6 - 1) < 1e-4
    assert phase_backward(np.ones((2, 1)), cache)[0][0, 0] == pytest.approx(-1e6, rel=1e-4)
    alpha, cache = phase_forward(np.array([[1.0], [1e-4]], np.float32), np.ones((1, 1), np.float32), np.array([0, 2]))
    assert alpha[0, 0] == 0 and phase_backward(np.ones((2, 1), np.float32), cache)[0][0, 0] == 0


@pytest.mark.parametrize("corrupt", [lambda dw, dG: (-dw, dG), lambda dw, dG: (dw, 0 * dG), lambda dw, dG: (dw, -dG)])
def test_a_wrong_sign_or_a_missing_term_is_caught(corrupt):
    def corrupted(dalpha, cache):
        return corrupt(*phase_backward(dalpha, cache))

    w, magnitude = np.array([[1.0], [-0.5]]), np.array([[2.0]])
    assert caught(lambda w, G: phase_forward(w, G, np.array([0, 2])), corrupted, w, magnitude)
