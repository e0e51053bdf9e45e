"""Singular points and other inputs for which the right value is known exactly, for suite.py.

Finite differences say nothing there: the function has no derivative, or its inputs lie at the end of a float's range.
Each case returns (found, expected) as tuples of arrays that must be equal, number for number. All numbers are powers of
two.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from engine.types import Array
from layers import wave
from layers.standard import gelu, layer_norm, naive_bayes, pooling, relu, sigmoid_cross_entropy, softmax_cross_entropy

Outcome: TypeAlias = tuple[tuple[Array, ...], tuple[Array, ...]]  # (found, expected)

ONE = np.array([0, 1], np.int64)
TWO = np.array([0, 2], np.int64)


def one_token_text() -> Outcome:
    """E4: no other token, so im = 0 and dw = dre, whatever dim is."""
    w, dz = np.array([[2.0, -4.0, 0.0]]), wave.Wave(np.array([[1.0, 2.0, 4.0]]), np.array([[8.0, 16.0, 32.0]]))
    z, cache = wave.token2wave_forward(w, ONE)
    return (*z, wave.token2wave_backward(dz, cache)), (w, 0.0 * w, dz.re)


def tip_of_the_cone() -> Outcome:
    """E4: all other tokens are 0 for the first, so h₁ = 0; the second sees |w₁| = 2 and hands back sign(w₁)·dim₂."""
    w, dz = np.array([[-2.0], [0.0]]), wave.Wave(np.array([[1.0], [2.0]]), np.array([[4.0], [8.0]]))
    z, cache = wave.token2wave_forward(w, TWO)
    return (*z, wave.token2wave_backward(dz, cache)), (w, np.array([[0.0], [2.0]]), np.array([[1.0 - 8.0], [2.0]]))


def dominating_token() -> Outcome:
    """E4 in float32: beside a token of 2⁶⁰ the norm of the others is not lost; G² − w² would give 0."""
    w = np.array([[2.0**60], [0.75], [1.0]], np.float32)
    dz = wave.Wave(np.zeros_like(w), np.array([[5.0], [0.0], [0.0]], np.float32))
    z, cache = wave.token2wave_forward(w, np.array([0, 3], np.int64))
    expected_im = np.array([[1.25], [2.0**60], [2.0**60]], np.float32)
    return (z.im, wave.token2wave_backward(dz, cache)), (expected_im, np.array([[0.0], [3.0], [4.0]], np.float32))


def all_zero_dimension() -> Outcome:
    """E4 and E1: nothing in a dimension gives nothing, not NaN."""
    w, dz = np.zeros((2, 1)), wave.Wave(np.ones((2, 1)), np.ones((2, 1)))
    z, cache = wave.token2wave_forward(w, TWO)
    G, magnitude_cache = wave.global_magnitude_forward(w, TWO)
    found = (
        *z,
        wave.token2wave_backward(dz, cache),
        G,
        wave.global_magnitude_backward(np.ones((1, 1)), magnitude_cache),
    )
    return found, (w, w, dz.re, np.zeros((1, 1)), w)


def tokens_of_one_text() -> Outcome:
    """E25: left out of their own ratios, tokens that no other text holds say nothing, and the gains get no gradient."""
    counts, shares = np.array([[1, 0, 1], [1, 0, 1]]), np.array([0.5, 0.5])
    ratios = naive_bayes.log_count_ratios(counts, shares, np.array([[True, False]] * 2))
    y, cache = naive_bayes.naive_bayes_forward(np.ones(2), ratios, TWO)
    found = (ratios, y, naive_bayes.naive_bayes_backward(np.ones((1, 2)), cache))
    return found, (np.zeros((2, 2)), np.zeros((1, 2)), np.zeros(2))


def phase_of_one_token() -> Outcome:
    """E2: c = ±1, so s = 0 and α is 0 or π; the gradient is 0 by convention, where the formula has 1/0."""
    w = np.array([[2.0, -2.0, 0.0]])
    alpha, cache = wave.phase_forward(w, abs(w), ONE)
    return (alpha, *wave.phase_backward(np.ones_like(w), cache)), (
        np.array([[0.0, np.pi, np.pi / 2]]),
        0.0 * w,
        0.0 * w,
    )


def readouts_of_nothing() -> Outcome:
    """E7: at Z = 0 the magnitude has the tip of a cone and the phase no direction; both gradients are 0."""
    zero = wave.Wave(np.zeros((1, 2)), np.zeros((1, 2)))
    found = []
    for kind in ("magnitude", "phase"):
        y, cache = wave.readout_forward(zero, kind)
        found += [y, *wave.readout_backward(np.ones((1, 2)), cache)]
    return tuple(found), (zero.re,) * 6


def constant_row() -> Outcome:
    """E10: a row without variance is all mean, so y is the bias."""
    y, _ = layer_norm.layer_norm_forward(np.full((1, 4), 2.0**40), np.ones(4), np.arange(4.0))
    return (y,), (np.arange(4.0)[None],)


def gelu_far_out() -> Outcome:
    """E11: 0 far to the left and the identity far to the right, with slopes 0 and 1, where x·φ(x) could be ∞·0."""
    x = np.array([[-(2.0**400), 2.0**400]])
    y, cache = gelu.gelu_forward(x)
    return (y, gelu.gelu_backward(np.ones_like(x), cache)), (np.array([[0.0, 2.0**400]]), np.array([[0.0, 1.0]]))


def relu_at_zero() -> Outcome:
    """E12: the subgradient at 0 is 0."""
    y, cache = relu.relu_forward(np.zeros((1, 1)))
    return (y, relu.relu_backward(np.ones((1, 1)), cache)), (np.zeros((1, 1)), np.zeros((1, 1)))


def max_of_equals() -> Outcome:
    """E14: of equal entries the first receives the gradient."""
    y, cache = pooling.pooling_forward(np.ones((2, 1)), TWO, "max")
    return (y, pooling.pooling_backward(np.ones((1, 1)), cache)), (np.ones((1, 1)), np.array([[1.0], [0.0]]))


def pooling_of_an_empty_text() -> Outcome:
    """E14: nothing pools to 0."""
    empty = np.array([0, 0], np.int64)
    found = tuple(pooling.pooling_forward(np.zeros((0, 2)), empty, kind)[0] for kind in pooling.POOLINGS)
    return found, (np.zeros((1, 2)),) * len(found)


def logits_beyond_exp() -> Outcome:
    """E15: exp(2¹⁰) overflows; the loss and its gradient do not."""
    loss, cache = softmax_cross_entropy.softmax_cross_entropy_forward(
        np.array([[2.0**10, 0.0], [2.0**10, 0.0]]), np.array([0, 1])
    )
    return (loss, softmax_cross_entropy.softmax_cross_entropy_backward(1.0, cache)), (
        np.array(2.0**9),
        np.array([[0.0, 0.0], [0.5, -0.5]]),
    )


def weighted_logits_beyond_exp() -> Outcome:
    """E15: loss and gradient of a text carry the weight of its class."""
    z, labels, weights = np.array([[2.0**10, 0.0], [2.0**10, 0.0]]), np.array([0, 1]), np.array([3.0, 0.5])
    loss, cache = softmax_cross_entropy.softmax_cross_entropy_forward(z, labels, 0.0, weights)
    found = (loss, softmax_cross_entropy.softmax_cross_entropy_backward(1.0, cache))
    return found, (np.array(2.0**8), np.array([[0.0, 0.0], [0.25, -0.25]]))


def modulation_of_a_zero_column() -> Outcome:
    """E17: where a wave has nothing in a dimension, G_A = 0: y is 0 there, and so are both gradients, not NaN."""
    a, b = np.repeat([[0.0, 2.0], [0.0, 0.0]], (4, 1), axis=0), np.repeat([[1.0, 0.0], [-2.0, 4.0]], (4, 1), axis=0)
    y, cache = wave.modulated_magnitude_forward(a, b, np.array([0, 5]))  # G_A = (0, 4), G_B = (√8, 4)
    found = (y, *wave.modulated_magnitude_backward(np.array([[8.0, 2.0]]), cache))
    da, db = np.repeat([[0.0, 4.0], [0.0, 0.0]], (4, 1), axis=0), np.repeat([[0.0, 0.0], [0.0, 8.0]], (4, 1), axis=0)
    return found, (np.array([[0.0, 16.0]]), da, db)


def correlation_with_itself() -> Outcome:
    """E20: A·conj(A) = |A|², of phase 0; dZ = 1 gives dA = A and dB = A."""
    a = wave.Wave(np.array([[3.0, 0.0]]), np.array([[-4.0, 2.0]]))
    z, cache = wave.correlation_forward(a, a)
    one = wave.Wave(np.ones((1, 2)), np.zeros((1, 2)))
    da, db = wave.correlation_backward(one, cache)
    return (*z, *da, *db), (np.array([[25.0, 4.0]]), np.zeros((1, 2)), *a, *a)


def phase_free_zeros() -> Outcome:
    """E23: a dimension of zeros has G = 0 and receives nothing; beside it G = 4 and dw = (1 + 2)·w/G."""
    w, dz = np.array([[0.0, 4.0], [0.0, 0.0]]), wave.Wave(np.array([[1.0, 1.0], [2.0, 2.0]]), np.ones((2, 2)))
    z, cache = wave.wave_forward(w, TWO, kind="phase-free")
    found = (*z, wave.wave_backward(dz, cache))
    return found, (np.array([[0.0, 4.0], [0.0, 4.0]]), 0.0 * w, np.array([[0.0, 3.0], [0.0, 0.0]]))


def decisions_beyond_exp() -> Outcome:
    """E24: exp(2¹⁰) overflows; a wrong decision costs its logit and has the gradient ±1/B, a right one nothing."""
    loss, cache = sigmoid_cross_entropy.sigmoid_cross_entropy_forward(
        np.array([[2.0**10, -(2.0**10)], [2.0**10, -(2.0**11)]]), np.array([[True, False], [False, True]])
    )
    return (loss, sigmoid_cross_entropy.sigmoid_cross_entropy_backward(1.0, cache)), (
        np.array(1.5 * 2.0**10),
        np.array([[0.0, 0.0], [0.5, -0.5]]),
    )


def weighted_decisions_beyond_exp() -> Outcome:
    """E24: loss and gradient of a decision carry the weight of a no or a yes of its class."""
    z, targets = np.array([[2.0**10, -(2.0**10)], [2.0**10, -(2.0**11)]]), np.array([[True, False], [False, True]])
    weights = np.array([[0.5, 2.0], [4.0, 0.25]])
    loss, cache = sigmoid_cross_entropy.sigmoid_cross_entropy_forward(z, targets, 0.0, weights)
    found = (loss, sigmoid_cross_entropy.sigmoid_cross_entropy_backward(1.0, cache))
    return found, (np.array(2.0**9), np.array([[0.0, 0.0], [0.25, -0.125]]))


EXACT_CASES: dict[str, Callable[[], Outcome]] = {
    "E1, E4 all-zero dimension": all_zero_dimension,
    "E2 phase of a one-token text": phase_of_one_token,
    "E4 one-token text": one_token_text,
    "E4 tip of the cone": tip_of_the_cone,
    "E4 one token dominates, float32": dominating_token,
    "E7 magnitude and phase of 0": readouts_of_nothing,
    "E10 row without variance": constant_row,
    "E11 GELU far out": gelu_far_out,
    "E12 ReLU at 0": relu_at_zero,
    "E14 maximum of equals": max_of_equals,
    "E14 empty text": pooling_of_an_empty_text,
    "E15 logits beyond exp": logits_beyond_exp,
    "E15 logits beyond exp, weighted": weighted_logits_beyond_exp,
    "E17 modulation of a zero column": modulation_of_a_zero_column,
    "E20 correlation with itself": correlation_with_itself,
    "E23 phase-free zeros": phase_free_zeros,
    "E24 decisions beyond exp": decisions_beyond_exp,
    "E24 decisions beyond exp, weighted": weighted_decisions_beyond_exp,
    "E25 tokens of one text": tokens_of_one_text,
}
