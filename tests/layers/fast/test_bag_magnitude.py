"""E17 over a bag by matrix products: the equation over all tokens, and what the products cost in digits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine.arrays.bag_sums
from engine.arrays.bag import Bag
from engine.arrays.bag_sums import bag_sums, count_matrix
from layers.fast import FUNCTIONS, bag_magnitude_cpu
from layers.fast.bag_magnitude_cpu import Sums
from layers.wave import modulated_magnitude_backward, modulated_magnitude_forward
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
from tests.support.random_bags import BAGS, of_texts, random_bag, tokens_of

FORMS = st.sampled_from(BAGS)


@pytest.fixture(scope="module", params=["on", "off"], autouse=True)
def in_c(request):
    """Both with the sums in C, where there is a compiler, and by NumPy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAVE_C", request.param)
        yield request.param


forward, backward = FUNCTIONS["fast"].pairs["bag_magnitude"]
composed = FUNCTIONS["equations"].pairs["bag_magnitude"]


def case(lengths, seed, form="merged", decades=1.0, columns=3):
    """(rng, a, b, Bag)."""
    rng = np.random.default_rng(seed)
    rows, bag = random_bag(rng, lengths, form)
    return rng, random_rows(rng, rows, columns, decades), random_rows(rng, rows, columns, decades), bag


def over_all_tokens(a, b, bag, dy, second=None):
    """(y, da, db) by E17 on every single token."""
    texts = tokens_of(bag)
    rows = np.array([row for text in texts for _, row in text], np.int64)
    cuts = [offsets_of([len(text) for text in tokens_of(cut)]) for cut in (bag, second) if cut is not None]
    y, cache = modulated_magnitude_forward(a[rows], b[rows], *cuts)
    sums = np.zeros_like(a), np.zeros_like(b)
    for total, slope in zip(sums, modulated_magnitude_backward(dy, cache)):
        np.add.at(total, rows, slope)
    return y, *sums


# --- values and gradients -------------------------------------------------------------------------------------


@given(LENGTHS, SEEDS, FORMS)
@examples(60)
def test_equals_the_equation_over_all_tokens(lengths, seed, form):
    rng, a, b, bag = case(lengths, seed, form)
    dy = rng.standard_normal((len(lengths), 3))
    for one, other in ((forward, backward), composed):
        y, cache = one(a, b, bag)
        assert_equal((y, *other(dy, cache)), over_all_tokens(a, b, bag, dy), 1e-12)


@given(LENGTHS, SEEDS, FORMS)
@examples(60)
def test_of_sentences_and_their_texts(lengths, seed, form):
    rng, a, b, bag = case(lengths, seed, form)
    second, dy = of_texts(bag), rng.standard_normal((len(lengths), 3))
    for one, other in ((forward, backward), composed):
        y, cache = one(a, b, bag, None, None, second)
        assert_equal((y, *other(dy, cache)), over_all_tokens(a, b, bag, dy, second), 1e-12)


def test_it_is_computed_by_matrix_products():
    _, a, b, bag = case([3, 1], 0)
    assert isinstance(forward(a, b, bag)[1], bag_magnitude_cpu.Cache)


@given(LENGTHS, SEEDS, FORMS)
@examples()
def test_biases_are_added_to_every_row_first(lengths, seed, form):
    rng, a, b, bag = case(lengths, seed, form)
    bias_a, bias_b = rng.standard_normal((2, 3))
    for one, other in ((forward, backward), composed):
        y, cache = one(a, b, bag, bias_a, bias_b)
        expected, expected_cache = one(a + bias_a, b + bias_b, bag)
        assert_equal((y, *other(y, cache)), (expected, *other(y, expected_cache)))
        assert_equal(one(a, b, bag, None, bias_b)[0], one(a, b + bias_b, bag)[0])


@given(LENGTHS, SEEDS, FORMS)
@examples(40)
def test_gradient(lengths, seed, form):
    _, a, b, bag = case(lengths, seed, form)
    assert_exact_gradients(forward, backward, a, b, bag)
    assert_five_point_gradients(forward, backward, a, b, bag)


@given(LENGTHS, SEEDS, FORMS)
@examples()
def test_gradient_over_six_decades(lengths, seed, form):
    _, a, b, bag = case(lengths, seed, form, decades=3)
    assert_exact_gradients(forward, backward, a, b, bag)


def test_of_numbers_that_come_out_even():
    a, b = np.array([[3.0], [4.0]]), np.array([[-5.0], [12.0]])
    y, cache = forward(a, b, Bag(None, None, np.array([0, 2])))
    assert y.tolist() == [[5 * 13]]
    da, db = backward(np.array([[2.0]]), cache)
    np.testing.assert_allclose(da, 2 * a * 13 / 5, rtol=1e-15)
    np.testing.assert_allclose(db, 2 * b * 5 / 13, rtol=1e-15)


def test_a_token_counts_as_often_as_it_stands_in_its_text():
    a, b = np.array([[1.0], [2.0]]), np.array([[3.0], [1.0]])
    y, cache = forward(a, b, Bag(np.array([0, 1]), np.array([5, 1]), np.array([0, 2])))
    np.testing.assert_allclose(y, [[math.sqrt((5 * 1 + 4) * (5 * 9 + 1))]], rtol=1e-15)
    da, _ = backward(np.ones((1, 1)), cache)
    np.testing.assert_allclose(da[:, 0], np.array([5 * 1, 2]) * math.sqrt(46 / 9), rtol=1e-15)


@given(LENGTHS, SEEDS)
@examples()
def test_each_partial_derivative_is_bounded(lengths, seed):
    """By the other magnitude times the root of the count."""
    _, a, b, bag = case(lengths, seed, decades=6, columns=1)
    y, cache = forward(a, b, bag)
    for t in range(len(y)):
        dy = np.zeros_like(y)
        dy[t] = 1
        for slope, G in zip(backward(dy, cache), (cache.G_b, cache.G_a)):
            assert np.all(abs(slope[:, 0]) <= (1 + 1e-14) * np.sqrt(cache.sums_a.counts[t]) * G[t])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_directions_stay_on_the_device_of_the_rows(device, dtype):
    rng, a, b, bag = case([3, 0, 1, 4], 0)
    a, b = a.astype(dtype), b.astype(dtype)
    y, _ = forward(a, b, bag)
    dy = rng.standard_normal(y.shape).astype(dtype)
    counts = Sums(count_matrix(bag, len(a)), None)  # the form that a device has
    cache = bag_magnitude_cpu.Cache(
        a, b, *(bag_magnitude_cpu.magnitudes(counts, x) for x in (a, b)), counts, counts, None
    )
    assert_computes_on_the_device(device, backward, dy, cache)
    on_device, _ = forward(*device((a, b, bag)))
    assert np.allclose(on_device.get(), y, rtol=2e-7 if dtype == np.float32 else 0, atol=0)


@pytest.mark.parametrize("entries", [1, 60, 10**6])
@pytest.mark.parametrize("form", [*BAGS, "sentences"])
def test_sums_without_zeros_give_what_c_gives(monkeypatch, form, entries):
    """To the rounding of float64, with empty and long texts, and more texts than come together."""
    lengths = [3, 0, 40, 1, 5, 0, 2, 6, 9] * 9
    rng, a, b, bag = case(lengths, 1, "merged" if form == "sentences" else form)
    second = of_texts(bag) if form == "sentences" else None
    a, b = a.astype(np.float32), b.astype(np.float32)
    dy = rng.standard_normal((len(bag.offsets) - 1, a.shape[1])).astype(np.float32)
    monkeypatch.setattr(engine.arrays.bag_sums, "GROUP_ENTRIES", entries)
    y, cache = bag_magnitude_cpu.forward(a, b, bag, None, None, second)
    assert cache.sums_a.bag is not None or cache.sums_a.offsets is not None
    by_pieces = cache.G_a, cache.G_b, *bag_magnitude_cpu.backward(dy, cache)
    monkeypatch.setattr(bag_magnitude_cpu, "sums_of", lambda bag, x: Sums(count_matrix(bag, len(x)), None))
    y, cache = bag_magnitude_cpu.forward(a, b, bag, None, None, second)
    for one, other in zip(by_pieces, (cache.G_a, cache.G_b, *bag_magnitude_cpu.backward(dy, cache))):
        assert np.allclose(one, other, rtol=3e-7 if one.dtype == np.float32 else 1e-14, atol=0)


def test_sums_that_a_plan_has_made_are_used(monkeypatch):
    monkeypatch.setenv("WAVE_C", "off")
    rng, a, b, bag = case([3, 0, 5, 2], 0)
    a, b = a.astype(np.float32), b.astype(np.float32)
    y, cache = forward(a, b, bag)
    sums = bag_sums(bag, *a.shape)
    planned, cache_of_planned = forward(a, b, bag._replace(sums=sums))
    assert_equal((planned, *backward(y, cache_of_planned)), (y, *backward(y, cache)))
    spoiled = bag._replace(sums=sums._replace(groups=(), rows=sums.rows._replace(source=sums.rows.source * 0)))
    assert not forward(a, b, spoiled)[0].any()
    spoiled_cache = cache._replace(sums_a=Sums(None, None, spoiled))
    assert not np.array_equal(backward(y, spoiled_cache)[0], backward(y, cache)[0])


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 2e-7), (np.float64, 1e-14)])
@pytest.mark.parametrize("entries", [1, 7, 30])
def test_the_size_of_blocks_changes_nothing(monkeypatch, dtype, tolerance, entries):
    """Of 13 rows of 5 columns: 1 or 2 columns and 1 or 6 rows at a time, which leaves a shorter block at the end."""
    rng, a, b, bag = case([6, 3, 0, 4], entries, "rows of their own", columns=5)
    a, b, dy = a.astype(dtype), b.astype(dtype), rng.standard_normal((4, 5)).astype(dtype)
    results = []
    # The small one first: what it leaves out must not lie in memory already.
    for size in (entries, bag_magnitude_cpu.BLOCK_ENTRIES):
        monkeypatch.setattr(bag_magnitude_cpu, "BLOCK_ENTRIES", size)
        y, cache = forward(a, b, bag)
        results.append((y, *backward(dy, cache)))
    assert_equal(results[0], results[1], tolerance)


# --- singular points ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("zero", ["a", "b", "both"])
def test_a_column_of_zeros_in_a_text_gives_zero(dtype, zero):
    rng = np.random.default_rng(0)
    a, b = (random_rows(rng, 4).astype(dtype) for _ in range(2))
    for x, name in ((a, "a"), (b, "b")):
        if zero in (name, "both"):
            x[:2, 1] = 0
    bag = Bag(np.array([0, 1, 1, 2, 3]), np.array([2, 1, 1, 1, 3]), np.array([0, 2, 5]))  # rows 0 and 1 are text 0
    y, cache = forward(a, b, bag)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dy[1] = 0
    da, db = backward(dy, cache)
    assert y[0, 1] == 0 and y[1, 1] > 0 and y[0, 0] > 0
    assert not da[:, 1].any() and not db[:, 1].any() and da[:2, 0].all() and db[:2, 0].all()
    if dtype == np.float64:
        assert_equal((y, da, db), over_all_tokens(a, b, bag, dy), 1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_column_of_zeros_in_all_texts_gives_zero(dtype):
    rng, a, b, bag = case([3, 1, 4], 0)
    a[:, 1] = 0
    y, cache = forward(a.astype(dtype), b.astype(dtype), bag)
    da, db = backward(np.ones_like(y), cache)
    assert not y[:, 1].any() and not da[:, 1].any() and not db[:, 1].any() and y[:, [0, 2]].all()
    assert np.isfinite(da).all() and np.isfinite(db).all()


@given(SEEDS)
@examples()
def test_of_one_token_it_is_the_modulus_of_the_product(seed):
    rng, a, b, bag = case([1, 0, 1, 1], seed, "rows of their own")
    y, cache = forward(a, b, bag)
    dy = rng.standard_normal(y.shape)
    filled = dy[[0, 2, 3]]
    assert_equal(y, np.insert(abs(a * b), 1, 0, axis=0), 1e-15)
    assert_equal(backward(dy, cache), (filled * abs(b) * np.sign(a), filled * abs(a) * np.sign(b)), 1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lengths, columns", [([], 2), ([0], 2), ([0, 0, 0], 2), ([3, 0], 0)])
@pytest.mark.parametrize("form", BAGS)
def test_nothing_gives_nothing(dtype, lengths, columns, form):
    _, a, b, bag = case(lengths, 0, form, columns=columns)
    y, cache = forward(a.astype(dtype), b.astype(dtype), bag)
    da, db = backward(y, cache)
    assert y.shape == (len(lengths), columns) and da.shape == db.shape == a.shape and not da.any() and not db.any()
    assert y.dtype == da.dtype == db.dtype == dtype


# --- float32, and numbers that are large or small ----------------------------------------------------------------


SCALES = [(1.0, 1.0), (1e-18, 1e15), (1e15, 1e-18), (1e15, 1e15), (1e-18, 1e-18), (1e-18, 1.0)]


@pytest.mark.parametrize("scale_a, scale_b", SCALES)
@given(LENGTHS, SEEDS, FORMS)
@examples(10)
def test_float32_is_float64_rounded_once(scale_a, scale_b, lengths, seed, form):
    rng, a, b, bag = case(lengths, seed, form, decades=0.5)
    a, b = (a * scale_a).astype(np.float32), (b * scale_b).astype(np.float32)
    y, cache = forward(a, b, bag)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    slopes = backward(dy, cache)
    wide = forward(a.astype(float), b.astype(float), bag)
    assert {part.dtype for part in (y, *slopes)} == {np.dtype(np.float32)}
    for found, exact in zip((y, *slopes), (wide[0], *backward(dy.astype(float), wide[1]))):
        assert np.all(abs(found - exact) <= 2.0**-24 * abs(exact) + 1e-14 * abs(exact).max(initial=0))


def test_float32_does_not_drift_over_a_long_text():
    x = np.full((65_536, 1), 0.1, np.float32)
    y, _ = forward(x, x, Bag(None, None, np.array([0, len(x)])))
    np.testing.assert_allclose(y[0, 0], math.fsum(x[:, 0].astype(float) ** 2), rtol=1e-7)


@pytest.mark.parametrize(
    "exponent_a, exponent_b", [(-530, 0), (0, -530), (-530, 400), (400, -530), (498, 498), (-530, -400)]
)
@given(LENGTHS, SEEDS, FORMS)
@examples(5)
def test_float64_scales_with_its_inputs(exponent_a, exponent_b, lengths, seed, form):
    rng, a, b, bag = case(lengths, seed, form)
    y, cache = forward(a, b, bag)
    dy = rng.standard_normal(y.shape)
    da, db = backward(dy, cache)
    scaled_y, cache = forward(np.ldexp(a, exponent_a), np.ldexp(b, exponent_b), bag)
    scaled_da, scaled_db = backward(dy, cache)
    assert_equal((np.ldexp(da, exponent_b), np.ldexp(db, exponent_a)), (scaled_da, scaled_db))
    assert_equal(np.ldexp(y, exponent_a + exponent_b), scaled_y, 1e-14)


def test_float64_numbers_far_below_their_column_lose_digits():
    def of_small(size):
        """(y, slope of a) of a text that is one such number; another text has a 1 in the same column."""
        a, b = np.array([[1.0], [size]]), np.ones((2, 1))
        y, cache = forward(a, b, Bag(np.array([0, 1]), None, np.array([0, 1, 2])))
        return y[1, 0] / size, backward(np.ones_like(y), cache)[0][1, 0]

    np.testing.assert_allclose(of_small(1.5e-154), (1, 1), rtol=1e-14)
    assert 1e-6 < abs(of_small(1e-160)[0] - 1) < 1e-3
    assert of_small(1e-163) == (0, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_spoils_its_column_only(bad):
    """In every text by matrix products; in its text alone where rows are summed from text to text."""
    rng, a, b, bag = case([3, 2], 0, "rows of their own")
    a[4, 1] = bad
    with np.errstate(invalid="ignore"):
        y, _ = forward(a, b, bag._replace(row_index=np.arange(5)))
        by_text, _ = forward(a, b, bag)
    assert not np.isfinite(y[:, 1]).any() and np.isfinite(y[:, [0, 2]]).all()
    assert np.isfinite(by_text).tolist() == [[True] * 3, [True, False, True]]


def test_columns_of_any_size_do_not_disturb_one_another():
    rng, a, b, bag = case([4, 3], 0)
    scale = 2.0 ** np.array([-530, 0, 498])
    y, cache = forward(a * scale, b, bag)
    dy = rng.standard_normal(y.shape)
    expected = forward(a, b, bag)
    assert_equal(y / scale, expected[0], 1e-14)
    da, db = backward(dy, cache)
    assert_equal((da, db / scale), backward(dy, expected[1]), 1e-14)


# --- negative controls ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "corrupted",
    [
        lambda dy, cache: backward(dy, cache)[::-1],  # swapped
        lambda dy, cache: backward(dy, cache._replace(G_a=cache.G_b, G_b=cache.G_a)),
        lambda dy, cache: backward(dy, cache._replace(sums_a=Sums((cache.sums_a.counts > 0) * 1.0, None))),  # each once
        lambda dy, cache: backward(dy[::-1].copy(), cache),  # the wrong text
    ],
    ids=["swapped", "the other magnitude", "counts", "texts"],
)
def test_a_corrupted_backward_is_caught(corrupted):
    _, a, b, bag = case([3, 0, 5], 0)
    assert caught(forward, corrupted, a, b, bag)
