"""E17: the magnitude of a modulation, one row for a whole text, beside the chain E4, E6, E7 over all of its tokens."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.wave import (
    OPERATIONS,
    modulated_magnitude_backward,
    modulated_magnitude_forward,
    readout_backward,
    readout_forward,
    token2wave_backward,
    token2wave_forward,
)
from tests.support.device_stand_in import assert_computes_on_the_device
from tests.support.layer_laws import (
    LENGTHS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    offsets_of,
    random_rows,
)

SENTENCES = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3), min_size=1, max_size=3).filter(
    lambda texts: any(map(any, texts))
)
SHARING = [name for name, operation in OPERATIONS.items() if operation.shares_magnitude]


def case(lengths, seed, decades=1.0, columns=3):
    """(rng, a, b, offsets)."""
    rng, offsets = np.random.default_rng(seed), offsets_of(lengths)
    return rng, *(random_rows(rng, offsets[-1], columns, decades) for _ in range(2)), offsets


def chain(a, b, offsets, dy, operation="modulation", second_offsets=None):
    """(y, da, db) by E4, E6 or E20, and E7 on every single token; each token of a row of y has its share of dy."""
    first_wave, first_cache = token2wave_forward(a, offsets)
    second_wave, second_cache = token2wave_forward(b, offsets if second_offsets is None else second_offsets)
    z, combined = OPERATIONS[operation].forward(first_wave, second_wave)
    of_tokens, read = readout_forward(z, "magnitude")
    y, shares = np.zeros_like(dy), np.zeros_like(of_tokens)
    for t, (start, stop) in enumerate(zip(offsets, offsets[1:])):
        if start < stop:
            y[t] = of_tokens[start]
            shares[start:stop] = dy[t] / (stop - start)
    da, db = OPERATIONS[operation].backward(readout_backward(shares, read), combined)
    return y, token2wave_backward(da, first_cache), token2wave_backward(db, second_cache)


@pytest.mark.parametrize("operation", SHARING)
@given(LENGTHS, SEEDS)
@examples(40)
def test_equals_the_chain_over_all_tokens(operation, lengths, seed):
    rng, a, b, offsets = case(lengths, seed)
    y, cache = modulated_magnitude_forward(a, b, offsets)
    dy = rng.standard_normal(y.shape)
    assert_equal((y, *modulated_magnitude_backward(dy, cache)), chain(a, b, offsets, dy, operation), 1e-12)


def case_of_sentences(sentences, seed, decades=1.0):
    """(rng, a, b, offsets of sentences, offsets of texts). sentences: the lengths of those of each text."""
    rng, a, b, offsets = case([n for text in sentences for n in text], seed, decades)
    return rng, a, b, offsets, offsets_of(list(map(sum, sentences)))


@pytest.mark.parametrize("operation", SHARING)
@given(SENTENCES, SEEDS)
@examples(40)
def test_two_cuts_equal_the_chain_over_all_tokens(operation, sentences, seed):
    """Magnitudes of a by sentences, those of b by texts: E4 over either, then token by token."""
    rng, a, b, offsets, texts = case_of_sentences(sentences, seed)
    y, cache = modulated_magnitude_forward(a, b, offsets, texts)
    dy = rng.standard_normal(y.shape)
    expected = chain(a, b, offsets, dy, operation, texts)
    assert_equal((y, *modulated_magnitude_backward(dy, cache)), expected, 1e-12)


@given(SENTENCES, SEEDS)
@examples()
def test_gradient_of_two_cuts(sentences, seed):
    inputs = case_of_sentences(sentences, seed)[1:]
    assert_exact_gradients(modulated_magnitude_forward, modulated_magnitude_backward, *inputs)
    assert_five_point_gradients(modulated_magnitude_forward, modulated_magnitude_backward, *inputs)


@given(LENGTHS, SEEDS)
@examples()
def test_two_equal_cuts_are_one(lengths, seed):
    rng, a, b, offsets = case(lengths, seed)
    (y, cache), (expected, one) = (modulated_magnitude_forward(a, b, offsets, *rest) for rest in ((offsets,), ()))
    dy = rng.standard_normal(y.shape)
    actual = (y, *modulated_magnitude_backward(dy, cache))
    assert_equal(actual, (expected, *modulated_magnitude_backward(dy, one)))


def test_two_cuts_of_numbers_that_come_out_even():
    """The sentences (3, 4) and (5) of one text; b has G = 13 over all of it, and dG_B = 1·5 + 2·5."""
    a, b = np.array([[3.0], [4.0], [5.0]]), np.array([[3.0], [4.0], [12.0]])
    y, cache = modulated_magnitude_forward(a, b, np.array([0, 2, 3]), np.array([0, 3]))
    assert y.ravel().tolist() == [5 * 13, 5 * 13]
    da, db = modulated_magnitude_backward(np.array([[1.0], [2.0]]), cache)
    np.testing.assert_allclose(da.ravel(), [13 * 3 / 5, 13 * 4 / 5, 2 * 13], rtol=1e-15)
    np.testing.assert_allclose(db, 15 * b / 13, rtol=1e-15)


@pytest.mark.parametrize("zero", ["a", "b", "both"])
def test_a_column_of_zeros_in_one_of_two_cuts(zero):
    """Zeros of a are zero in their sentence, zeros of b in their text; nothing becomes NaN."""
    rng, a, b, offsets, texts = case_of_sentences([[1, 2, 0], [3, 1]], 0)
    if zero != "b":
        a[1:3, 1] = 0
    if zero != "a":
        b[:3, 1] = 0
    y, cache = modulated_magnitude_forward(a, b, offsets, texts)
    dy = rng.standard_normal(y.shape)
    assert (y[:, 1] == 0).tolist() == ([False, True, True, False, False] if zero == "a" else [True] * 3 + [False] * 2)
    found = (y, *modulated_magnitude_backward(dy, cache))
    assert_equal(found, chain(a, b, offsets, dy, second_offsets=texts), 1e-14)


def test_a_text_that_ends_within_a_sentence_is_refused():
    _, a, b, offsets = case([2, 3], 0)
    with pytest.raises(ValueError, match="ends within a sentence"):
        modulated_magnitude_forward(a, b, offsets, np.array([0, 3, 5]))


def test_every_operation_that_shares_its_magnitude_is_known():
    assert SHARING == ["modulation", "correlation"]


@pytest.mark.parametrize("decades", [1.0, 3.0])
@given(LENGTHS, SEEDS)
@examples()
def test_gradient(decades, lengths, seed):
    _, a, b, offsets = case(lengths, seed, decades)
    assert_exact_gradients(modulated_magnitude_forward, modulated_magnitude_backward, a, b, offsets)
    if decades == 1.0:
        assert_five_point_gradients(modulated_magnitude_forward, modulated_magnitude_backward, a, b, offsets)


def test_of_numbers_that_come_out_even():
    a, b = np.array([[3.0], [4.0]]), np.array([[-5.0], [12.0]])
    y, cache = modulated_magnitude_forward(a, b, np.array([0, 2]))
    assert y.tolist() == [[5 * 13]]
    da, db = modulated_magnitude_backward(np.array([[2.0]]), cache)
    np.testing.assert_allclose(da, 2 * a * 13 / 5, rtol=1e-15)
    np.testing.assert_allclose(db, 2 * b * 5 / 13, rtol=1e-15)


@given(LENGTHS, SEEDS)
@examples()
def test_each_partial_derivative_is_bounded(lengths, seed):
    """By the other magnitude."""
    _, a, b, offsets = case(lengths, seed, 6, columns=1)
    y, cache = modulated_magnitude_forward(a, b, offsets)
    da, db = modulated_magnitude_backward(np.ones_like(y), cache)
    for slope, G in ((da, cache.G_b), (db, cache.G_a)):
        assert np.all(abs(slope) <= (1 + 1e-14) * np.repeat(G, lengths, axis=0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_is_taken_on_the_device_of_its_cotangent(device, dtype):
    rng, a, b, offsets = case([3, 0, 1, 4], 0)
    y, cache = modulated_magnitude_forward(a.astype(dtype), b.astype(dtype), offsets)
    assert_computes_on_the_device(device, modulated_magnitude_backward, y, cache)
    y, cache = modulated_magnitude_forward(a.astype(dtype), b.astype(dtype), offsets, np.array([0, 3, 8]))
    assert_computes_on_the_device(device, modulated_magnitude_backward, y, cache)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("zero", ["a", "b", "both"])
def test_a_column_of_zeros_gives_zero_as_in_the_chain(dtype, zero):
    """It receives nothing either."""
    rng, a, b, offsets = case([3, 2], 0)
    for x, name in ((a, "a"), (b, "b")):
        if zero in (name, "both"):
            x[:3, 1] = 0
    a, b = a.astype(dtype), b.astype(dtype)
    y, cache = modulated_magnitude_forward(a, b, offsets)
    dy = rng.standard_normal(y.shape).astype(dtype)
    da, db = modulated_magnitude_backward(dy, cache)
    assert y[0, 1] == 0 and y[1, 1] > 0 and y[0, 0] > 0
    assert not da[:3, 1].any() and not db[:3, 1].any() and da[:3, 0].all() and db[:3, 0].all()
    if dtype == np.float64:
        assert_equal((y, da, db), chain(a, b, offsets, dy), 1e-14)


@given(SEEDS)
@examples()
def test_of_one_token_it_is_the_modulus_of_the_product(seed):
    rng, a, b, offsets = case([1, 0, 1, 1], seed)
    y, cache = modulated_magnitude_forward(a, b, offsets)
    dy = rng.standard_normal(y.shape)
    filled = dy[[0, 2, 3]]
    assert_equal(y, np.insert(abs(a * b), 1, 0, axis=0), 1e-15)
    expected = filled * abs(b) * np.sign(a), filled * abs(a) * np.sign(b)
    assert_equal(modulated_magnitude_backward(dy, cache), expected, 1e-15)


@pytest.mark.parametrize("scale_a, scale_b", [(1.0, 1.0), (1e-18, 1e15), (1e15, 1e-18), (1e15, 1e15), (1e-18, 1e-18)])
@given(LENGTHS, SEEDS)
@examples(10)
def test_float32_is_accurate_at_any_scale(scale_a, scale_b, lengths, seed):
    """Three roundings at most: of both magnitudes, and of their product; five of a gradient."""
    rng, a, b, offsets = case(lengths, seed, 0.5)
    a, b = (a * scale_a).astype(np.float32), (b * scale_b).astype(np.float32)
    y, cache = modulated_magnitude_forward(a, b, offsets)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    slopes = modulated_magnitude_backward(dy, cache)
    wide, wide_cache = modulated_magnitude_forward(a.astype(float), b.astype(float), offsets)
    expected = (wide, *modulated_magnitude_backward(dy.astype(float), wide_cache))
    for found, exact, roundings in zip((y, *slopes), expected, (3, 5, 5)):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, exact, rtol=roundings * 2.0**-24 * 1.01)


def test_float32_does_not_drift_over_a_long_text():
    x = np.full((65_536, 1), 0.1, np.float32)
    y, _ = modulated_magnitude_forward(x, x, np.array([0, len(x)]))
    np.testing.assert_allclose(y[0, 0], math.fsum(x[:, 0].astype(float) ** 2), rtol=2e-7)


@pytest.mark.parametrize("exponent_a, exponent_b", [(-530, 0), (0, -530), (-530, 400), (498, 498), (-530, -400)])
@given(LENGTHS, SEEDS)
@examples(5)
def test_float64_scales_with_its_inputs(exponent_a, exponent_b, lengths, seed):
    rng, a, b, offsets = case(lengths, seed)
    y, cache = modulated_magnitude_forward(a, b, offsets)
    dy = rng.standard_normal(y.shape)
    da, db = modulated_magnitude_backward(dy, cache)
    scaled_y, cache = modulated_magnitude_forward(np.ldexp(a, exponent_a), np.ldexp(b, exponent_b), offsets)
    scaled_da, scaled_db = modulated_magnitude_backward(dy, cache)
    assert_equal((scaled_da, scaled_db), (np.ldexp(da, exponent_b), np.ldexp(db, exponent_a)), 1e-14)
    assert_equal(scaled_y, np.ldexp(y, exponent_a + exponent_b), 1e-14)


@pytest.mark.parametrize(
    "corrupted",
    [
        lambda dy, cache: modulated_magnitude_backward(dy, cache)[::-1],  # swapped
        lambda dy, cache: modulated_magnitude_backward(dy, cache._replace(G_a=cache.G_b, G_b=cache.G_a)),
        lambda dy, cache: modulated_magnitude_backward(dy[::-1].copy(), cache),  # the wrong text
    ],
    ids=["swapped", "the other magnitude", "texts"],
)
def test_a_corrupted_backward_is_caught(corrupted):
    _, a, b, offsets = case([3, 0, 5], 0)
    assert caught(modulated_magnitude_forward, corrupted, a, b, offsets)
    assert caught(modulated_magnitude_forward, corrupted, a, b, offsets, np.array([0, 8]))
