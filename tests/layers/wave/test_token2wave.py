"""E4: Token2Wave at its singular points, and its accuracy where the plain formula fails."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.wave import (
    SCOPES,
    Wave,
    token2wave_backward,
    token2wave_forward,
)
from tests.support.layer_laws import (
    LENGTHS,
    SEEDS,
    assert_equal,
    examples,
    groups,
    ragged,
    random_rows,
)

both_scopes = pytest.mark.parametrize("scope", SCOPES)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
ONE_TEXT = np.array([0, 3])
FLOAT32_BOUND = 1e-6


def random_dz(rng, shape, dtype=np.float64):
    return Wave(rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape).astype(dtype))


def gradient(w, dz, offsets, scope="dimension"):
    return token2wave_backward(dz, token2wave_forward(w, offsets, scope)[1])


# --- singular points ---------------------------------------------------------------------------------------------


@both_dtypes
@given(SEEDS)
@examples()
def test_one_token_has_imaginary_part_zero_and_hands_dre_on(dtype, seed):
    rng, w, offsets = ragged([1, 0, 1, 1], seed, decades=15)
    w, dz = w.astype(dtype), random_dz(rng, w.shape, dtype)
    z, cache = token2wave_forward(w, offsets)
    assert_equal(z, Wave(w, np.zeros_like(w)))
    assert_equal(token2wave_backward(dz, cache), dz.re)


@both_dtypes
def test_in_text_scope_one_token_of_one_dimension_is_alone(dtype):
    w, dz = np.array([[-3.0]], dtype), Wave(np.array([[2.0]], dtype), np.array([[7.0]], dtype))
    z, cache = token2wave_forward(w, np.array([0, 1]), "text")
    assert z.im == 0 and token2wave_backward(dz, cache) == 2


def test_in_text_scope_one_token_has_its_other_dimensions():
    z, _ = token2wave_forward(np.array([[3.0, 4.0, 0.0]]), np.array([0, 1]), "text")
    assert z.im.tolist() == [[4.0, 3.0, 5.0]]


@both_scopes
@both_dtypes
def test_a_dimension_of_zeros_hands_dre_on(scope, dtype):
    dz = random_dz(np.random.default_rng(0), (3, 2), dtype)
    w = np.zeros((3, 2), dtype)
    z, cache = token2wave_forward(w, ONE_TEXT, scope)
    assert not z.im.any()
    assert_equal(token2wave_backward(dz, cache), dz.re)


@both_scopes
@both_dtypes
@pytest.mark.parametrize("value", [-3.0, 1e-15, 1e15])
def test_a_single_nonzero_token_sits_at_the_tip_of_a_cone(scope, dtype, value):
    """Its own im is 0 with subgradient 0; every other token has im = |w| with slope ±1 in w."""
    w, dz = np.zeros((3, 1), dtype), random_dz(np.random.default_rng(0), (3, 1), dtype)
    w[1] = value
    z, cache = token2wave_forward(w, ONE_TEXT, scope)
    assert_equal(z.im[:, 0], abs(w[1]) * np.array([1, 0, 1], dtype))
    expected = dz.re.copy()
    expected[1] += np.sign(w[1]) * (dz.im[0] + dz.im[2])
    assert_equal(token2wave_backward(dz, cache), expected, 4 * np.finfo(dtype).eps)


@both_scopes
@pytest.mark.parametrize("shape, offsets", [((0, 2), [0]), ((0, 2), [0, 0, 0]), ((3, 0), [0, 3])])
def test_nothing_gives_nothing(scope, shape, offsets):
    w = np.zeros(shape)
    z, cache = token2wave_forward(w, np.array(offsets), scope)
    assert z.re.shape == z.im.shape == token2wave_backward(z, cache).shape == shape


# --- float32, beside exact arithmetic ----------------------------------------------------------------------------


def exact_sums_of_others(values):
    """Σ_{l≠j} x_l for every j, by integers: every float is n/2^k. Rounded once, at the end."""
    ratios = [float(x).as_integer_ratio() for x in values]
    k = max((denominator for _, denominator in ratios), default=1)
    whole = [n * (k // denominator) for n, denominator in ratios]
    total = sum(whole)
    return np.array([(total - n) / k for n in whole])


def exact(w, dz, offsets, scope):
    """(im, dw, bound of the error of dw without its factor), all in float64."""
    im, dw, bound = np.zeros(w.shape), dz.re.astype(float), abs(dz.re.astype(float))
    wide, dim = w.astype(float), dz.im.astype(float)
    for _, entries in groups(offsets, w.shape[1], scope):
        at = tuple(np.array(entries).T) if entries else ([], [])
        squares = wide[at] ** 2  # of float32 numbers: exact in float64
        im[at] = np.sqrt(exact_sums_of_others(squares))
        h = np.divide(dim[at], im[at], out=np.zeros(len(entries)), where=im[at] != 0)
        dw[at] += wide[at] * exact_sums_of_others(h)
        bound[at] += abs(wide[at]) * exact_sums_of_others(abs(h))
    return im, dw, bound


def error_of_im(im, expected):
    """Largest relative error, entry by entry; infinite where 0 and not 0 meet."""
    assert np.array_equal(im == 0, expected == 0), "0 where there is something, or the reverse"
    nonzero = expected != 0
    return np.max(abs(im[nonzero] / expected[nonzero] - 1), initial=0)


def assert_float32_accuracy(w, offsets, scope, seed=0):
    assert w.dtype == np.float32
    dz = random_dz(np.random.default_rng(seed), w.shape, np.float32)
    z, cache = token2wave_forward(w, offsets, scope)
    dw = token2wave_backward(dz, cache)
    im, exact_dw, bound = exact(w, dz, offsets, scope)
    assert z.im.dtype == dw.dtype == np.float32 and np.isfinite(z.im).all() and np.isfinite(dw).all()
    assert error_of_im(z.im.astype(float), im) <= FLOAT32_BOUND
    assert np.all(abs(dw - exact_dw) <= FLOAT32_BOUND * bound)


def dominated(tokens, ratio, scale=1.0, columns=2, seed=0):
    """Float32 rows: one token of size `scale`, the others `ratio` times as large."""
    w = random_rows(np.random.default_rng(seed), tokens, columns, 0.3) * scale * ratio
    w[tokens // 2] /= ratio
    return w.astype(np.float32)


LONG_TEXT = np.full((65_536, 2), 0.1, np.float32)
RATIOS = [1e-4, 1e-6, 1e-8, 1e-12, 1e-18]


@both_scopes
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_float32_keeps_its_digits_where_one_token_dominates(scope, ratio, scale):
    for tokens in (2, 3, 40):
        w = dominated(tokens, ratio, scale)
        if scope == "text":
            w[tokens // 2, 1] *= np.float32(ratio)  # one entry of the whole text
        assert_float32_accuracy(w, np.array([0, tokens]), scope)


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_difference_of_squares_fails_there(ratio):
    """sqrt(G² − w²) and G·sqrt(1 − c²) in float32, which the test above must be able to refuse."""
    w = dominated(40, ratio)
    G = np.sqrt((w * w).sum(axis=0, dtype=np.float32))
    naive = np.sqrt(np.maximum(G * G - w * w, 0))
    im, _, _ = exact(w, Wave(w, w), np.array([0, 40]), "dimension")
    assert np.max(abs(naive[20] / im[20] - 1)) > 1000 * FLOAT32_BOUND
    c = w[20] / G
    assert np.max(abs(G * np.sqrt(1 - c * c) / im[20] - 1)) > 1000 * FLOAT32_BOUND


@both_scopes
@given(LENGTHS, SEEDS, st.integers(0, 15), st.integers(-15, 15))
@examples()
def test_float32_is_accurate_at_any_scale(scope, lengths, seed, decades, exponent):
    _, w, offsets = ragged(lengths, seed, decades=decades)
    w[:, 1] = 0
    assert_float32_accuracy((w * 10.0**exponent).astype(np.float32), offsets, scope, seed)


@both_scopes
def test_float32_columns_do_not_disturb_one_another(scope):
    w = random_rows(np.random.default_rng(0), 20, 3, 0.5) * [1e-15, 1.0, 1e15]
    assert_float32_accuracy(w.astype(np.float32), np.array([0, 20]), scope)


@both_scopes
@pytest.mark.parametrize("w", [LONG_TEXT, dominated(65_536, 1e-4)], ids=["alike", "dominated"])
def test_float32_does_not_drift_over_a_long_text(scope, w):
    assert_float32_accuracy(w, np.array([0, len(w)]), scope)


def test_a_sum_of_squares_in_order_drifts_over_a_long_text():
    """Float32 added one after the other, which the test above must be able to refuse."""
    w = LONG_TEXT[:, 0]
    drifting = np.sqrt(np.cumsum(w * w, dtype=np.float32)[-1])
    assert abs(drifting / np.sqrt(math.fsum(w.astype(float) ** 2)) - 1) > FLOAT32_BOUND


@both_scopes
@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_float64_squares_neither_overflow_nor_underflow(scope, scale):
    rng, w, offsets = ragged([1, 4, 0, 2], 0)
    dz = random_dz(rng, w.shape)
    z, cache = token2wave_forward(w * scale, offsets, scope)
    assert_equal(z.im / scale, token2wave_forward(w, offsets, scope)[0].im, 1e-14)
    assert_equal(token2wave_backward(dz, cache), gradient(w, dz, offsets, scope), 1e-13)


# --- where digits are lost, as the equation book's table of hard places says ----------------------------------------


def test_an_im_beyond_the_range_hands_nothing_back():
    w, one = np.full((4, 1), 3e38, np.float32), np.ones((4, 1), np.float32)
    with np.errstate(over="ignore"):
        z, cache = token2wave_forward(w, np.array([0, 4]))  # im = 5.2e38
    assert np.all(z.im == np.inf)
    assert_equal(token2wave_backward(Wave(one, one), cache), one)  # 1 + √3 on paper


def test_subnormal_tokens_keep_the_digits_of_a_subnormal_number():
    w, one = np.full((3, 1), 1e-45, np.float32), np.ones((3, 1), np.float32)
    z, cache = token2wave_forward(w, ONE_TEXT)  # √2 times the smallest number there is
    assert z.im.ravel().tolist() == w.ravel().tolist() and w[0] > 0
    assert_equal(token2wave_backward(Wave(one, one), cache), 3 * one)  # 1 + √2 on paper


def test_float64_squares_of_much_smaller_others_lose_digits():
    def largest(others):
        w, one = np.array([[1.0], [others], [others]]), np.ones((3, 1))
        z, cache = token2wave_forward(w, ONE_TEXT)
        return z.im[0, 0] / others, token2wave_backward(Wave(one, one), cache)[1, 0]

    root, slope = math.sqrt(2), 1 + math.sqrt(0.5)
    np.testing.assert_allclose(largest(1e-154), (root, slope), rtol=1e-15)
    error = abs(largest(1e-160)[0] / root - 1)
    assert 1e-6 < error < 1e-5
    assert largest(1e-162) == (0, 1)


def test_a_cotangent_too_large_for_its_norm_gives_nan_in_float64():
    def gradients(dtype, size, dim):
        w, zero = np.full((2, 1), size, dtype), np.zeros((2, 1), dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            return gradient(w, Wave(zero, zero + dtype(dim)), np.array([0, 2]))

    assert np.isnan(gradients(np.float64, 1e-300, 1e10)).all()  # dim/v = 1e310
    assert_equal(gradients(np.float32, 1e-30, 1e38), np.full((2, 1), 1e38, np.float32), 1e-7)
