"""E17 over a bag by kernels beside its equation."""

import numpy as np
import pytest

from engine.arrays.bag import Bag
from layers.fast import bag_magnitude_cuda
from tests.support.layer_laws import random_rows
from tests.support.random_bags import BAGS, random_bag
from tests.support.twin_checks import assert_kernels_agree, both_pairs

KERNELS = ("bag_magnitude_forward", "bag_magnitude_slopes", "bag_magnitude_backward")
LENGTHS = (3, 0, 1, 2, 300, 9, 40)
FAST, EQUATION = both_pairs("bag_magnitude")

every_form = pytest.mark.parametrize("form", BAGS)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def case(lengths=LENGTHS, form="merged", columns=5, decades=1.0, seed=0, vocabulary=30):
    """(a, b, Bag)."""
    rng = np.random.default_rng(seed)
    rows, bag = random_bag(rng, lengths, form, vocabulary)
    return random_rows(rng, rows, columns, decades), random_rows(rng, rows, columns, decades), bag


def agrees(emulated, a, b, bag, kernels=KERNELS, **options):
    return assert_kernels_agree(emulated, "bag_magnitude", (a, b, bag), kernels, **options)


def by_kernels(emulated, a, b, bag, dy=None):
    """(y, da, db)."""
    forward, backward = FAST
    with emulated():
        y, cache = forward(a, b, bag)
        assert isinstance(cache, bag_magnitude_cuda.Cache)
        return y, *backward(np.ones_like(y) if dy is None else dy, cache)


def by_equation(a, b, bag):
    """(y, da, db) of the same numbers in float64."""
    forward, backward = EQUATION
    y, cache = forward(a.astype(np.float64), b.astype(np.float64), bag)
    return y, *backward(np.ones_like(y), cache)


@every_form
@pytest.mark.parametrize("with_biases", [False, True])
def test_magnitudes_of_sentences_and_of_texts(emulated, form, with_biases):
    """Segments of one and of no entry among them; the last text has a single one."""
    a, b, bag = case(form=form)
    texts = bag._replace(offsets=bag.offsets[[0, 3, 3, 5, 6, 7]])
    biases = np.random.default_rng(1).standard_normal((2, 5)) if with_biases else (None, None)
    assert_kernels_agree(emulated, "bag_magnitude", (a, b, bag, *biases, texts), KERNELS)


@every_form
def test_bags_of_every_form(emulated, form):
    agrees(emulated, *case(form=form))


@pytest.mark.parametrize("columns", [1, 31, 32, 33, 257])
def test_rows_of_any_width(emulated, columns):
    agrees(emulated, *case((4, 11), columns=columns))


def test_a_bag_that_brings_its_inverse_index(emulated):
    a, b, bag = case()
    agrees(emulated, a, b, bag.with_inverse_index(len(a)))


def test_frequent_tokens_are_shared_by_lanes(emulated):
    """Token 0 stands in 40 texts, token 1 in as many as a lane takes alone, token 9 in one more, the others in one."""
    own = iter(range(10, 50))
    texts = [[0, *([1] if t < 16 else []), *([9] if t < 17 else []), next(own)] for t in range(40)]
    rng, row_index = np.random.default_rng(0), np.concatenate(texts)
    bag = Bag(row_index, rng.integers(1, 4, len(row_index)), np.cumsum([0, *map(len, texts)])).with_inverse_index(50)
    agrees(emulated, random_rows(rng, 50, 33, 1.0), random_rows(rng, 50, 33, 1.0), bag)


@pytest.mark.parametrize("biases", ["a", "b", "ab"])
def test_biases_are_added_to_every_row_first(emulated, biases):
    a, b, bag = case()
    rng = np.random.default_rng(0)
    options = {f"bias_{name}": rng.standard_normal(5) for name in biases}
    agrees(emulated, a, b, bag, **options)
    shifted = a + options.get("bias_a", 0), b + options.get("bias_b", 0)
    assert np.array_equal(EQUATION[0](a, b, bag, **options)[0], EQUATION[0](*shifted, bag)[0])


@every_form
def test_float32_is_float64_rounded_once(emulated, form):
    a, b, bag = case(form=form, decades=6)
    a, b = abs(a).astype(np.float32), abs(b).astype(np.float32)  # of one sign: then sums over texts lose nothing either
    for found, exact in zip(by_kernels(emulated, a, b, bag), by_equation(a, b, bag)):
        np.testing.assert_allclose(found, exact, rtol=6e-8, atol=0)


@both_dtypes
@every_form
def test_a_dominating_token_leaves_the_other_texts_their_digits(emulated, form, dtype):
    a, b, bag = (x.astype(dtype) if isinstance(x, np.ndarray) else x for x in case(form=form))
    a[0] *= dtype(1e12)
    a, b = abs(a), abs(b)
    for found, exact in zip(by_kernels(emulated, a, b, bag), by_equation(a, b, bag)):
        np.testing.assert_allclose(found, exact, rtol=1e-13 if dtype == np.float64 else 1e-7, atol=0)


def test_columns_of_zeros_give_zero_and_receive_zero(emulated):
    a, b, bag = case()
    a[:, 0] = 0
    b[:, 1] = 0
    a[:, 2] = b[:, 2] = 0
    agrees(emulated, a, b, bag)
    y, da, db = by_kernels(emulated, a, b, bag)
    assert not y[:, :3].any() and not da[:, :3].any() and not db[:, :3].any()
    assert y[0, 3:].all() and da[:, 3:].any()


@both_dtypes
def test_of_one_token_it_is_the_modulus_of_the_product(emulated, dtype):
    a, b = np.array([[3, -2]], dtype), np.array([[-5, 7]], dtype)
    for counts, factor in ((None, 1), (np.array([4]), 4)):
        y, da, db = by_kernels(emulated, a, b, Bag(None, counts, np.array([0, 1])))
        assert np.array_equal(y, factor * abs(a * b))
        assert np.array_equal(da, factor * abs(b) * np.sign(a)) and np.array_equal(db, factor * abs(a) * np.sign(b))


@pytest.mark.parametrize("dtype, scale", [(np.float32, 1e30), (np.float64, 1e150)])
@every_form
def test_squares_neither_overflow_nor_underflow(emulated, form, dtype, scale):
    a, b, bag = case(form=form)
    tolerances = {dtype: 1e-6 if dtype == np.float32 else 1e-12}
    agrees(emulated, a * scale, b / scale, bag, tolerances=tolerances)
    agrees(emulated, a / scale, b * scale, bag, tolerances=tolerances)


def test_magnitudes_near_the_ends_of_float64(emulated):
    """Where dy·G_b/G_a and with it the backward leaves the range."""
    a, b, bag = case()
    for scale in (1e300, 1e-300):
        with emulated():
            y, _ = FAST[0](a * scale, b / scale, bag)
        np.testing.assert_allclose(y, EQUATION[0](a, b, bag)[0], rtol=1e-14)


def test_texts_of_different_scale_keep_their_digits_in_float64(emulated):
    """The matrix products of bag_magnitude_cpu.py have one scale for all texts."""
    tiny, huge = np.array([[3.0], [4.0]]) * 1e-200, np.array([[3.0], [4.0]]) * 1e150
    y, da, _ = by_kernels(emulated, np.concatenate([tiny, huge]), np.ones((4, 1)), Bag(None, None, np.array([0, 2, 4])))
    np.testing.assert_allclose(y[:, 0], np.array([5e-200, 5e150]) * 2**0.5, rtol=1e-15)
    np.testing.assert_allclose(da[:, 0], np.array([0.6, 0.8, 0.6, 0.8]) * 2**0.5, rtol=1e-15)


@both_dtypes
@pytest.mark.parametrize("form", ["merged", "rows of their own"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_not_finite_stay_in_their_text_and_column(emulated, form, dtype, wrong):
    a, b, bag = (x.astype(dtype) if isinstance(x, np.ndarray) else x for x in case((3, 12, 5), form=form, columns=3))
    spoiled, entry = a.copy(), 5
    row = entry if bag.row_index is None else int(bag.row_index[entry])
    spoiled[row, 1] = wrong
    clean, found = by_kernels(emulated, a, b, bag), by_kernels(emulated, spoiled, b, bag)
    texts = bag.texts()
    hit = np.zeros_like(clean[0], bool)
    hit[texts[np.arange(len(texts)) == entry] if bag.row_index is None else texts[bag.row_index == row], 1] = True
    rows = np.zeros_like(a, bool)
    rows[texts == texts[entry] if bag.row_index is None else bag.row_index[hit[texts, 1]], 1] = True
    assert hit.any() and not hit.all(axis=0)[1]
    assert np.isnan(found[0][hit]).all() if np.isnan(wrong) else (found[0][hit] == np.inf).all()
    for one, other, where in zip(found, clean, (hit, rows, rows)):
        assert np.array_equal(one[~where], other[~where])
    if np.isnan(wrong):
        assert np.isnan(found[1][rows]).all() and np.isnan(found[2][rows]).all()


@both_dtypes
@every_form
@pytest.mark.parametrize("lengths, columns", [([], 2), ([0, 0], 2), ([3, 0, 2], 0)])
def test_nothing_gives_nothing(emulated, form, dtype, lengths, columns):
    a, b, bag = case(lengths, form, columns)
    a, b = a.astype(dtype), b.astype(dtype)
    y, da, db = by_kernels(emulated, a, b, bag)
    assert y.shape == (len(lengths), columns) and da.shape == db.shape == a.shape
    assert y.dtype == da.dtype == db.dtype == dtype
    assert not y.any() and not da.any() and not db.any()
