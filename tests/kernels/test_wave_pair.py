"""The wave pair by kernels, E4 to E7, beside its equations."""

import math

import numpy as np
import pytest

from engine.arrays.bag import Bag
from engine.cuda.segments import THREADS
from layers.fast import wave_pair_cuda
from layers.fast.wave_pair_cuda import OPERATIONS
from layers.wave import READOUTS
from tests.support.layer_laws import random_rows
from tests.support.random_bags import BAGS, random_bag, tokens_of
from tests.support.twin_checks import assert_kernels_agree, both_pairs

KERNELS = ("wave_pair_forward", "wave_pair_backward")
LENGTHS = (3, 0, 1, 2, 300, 9, 40)
FAST, EQUATION = both_pairs("wave_pair")
COMBINATIONS = [(operation, readout) for operation in OPERATIONS for readout in READOUTS]
POSITIVE = [  # of positive rows: no term of y or of a gradient is negative
    ("interference", "imaginary"),
    ("interference", "magnitude"),
    ("interference", "real"),
    ("modulation", "imaginary"),
]

every_combination = pytest.mark.parametrize("operation, readout", COMBINATIONS)
every_positive = pytest.mark.parametrize("operation, readout", POSITIVE)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
every_form = pytest.mark.parametrize("form", BAGS)


def case(lengths=LENGTHS, form="merged", columns=5, decades=1.0, seed=0, vocabulary=30, dtype=np.float64):
    """(a, b, Bag)."""
    rng = np.random.default_rng(seed)
    rows, bag = random_bag(rng, lengths, form, vocabulary)
    return *(random_rows(rng, rows, columns, decades).astype(dtype) for _ in range(2)), bag


def turned(pair):
    """The pair with cosine and sine for phases: on which side of its jump a phase lies may be a matter of rounding."""
    forward, backward = pair

    def turned_forward(*arguments):
        y, cache = forward(*arguments)
        return np.concatenate([np.cos(y), np.sin(y)], axis=1), cache

    def turned_backward(dy, cache):
        return backward(np.ascontiguousarray(dy[:, : dy.shape[1] // 2]), cache)

    return turned_forward, turned_backward


def agrees(emulated, a, b, bag, operation, readout, **options):
    jumps = (operation, readout) == ("modulation", "phase")
    pairs = (turned(FAST), turned(EQUATION)) if jumps else "wave_pair"
    return assert_kernels_agree(emulated, pairs, (a, b, bag, operation, readout), KERNELS, **options)


def by_kernels(emulated, a, b, bag, operation, readout, dy=None):
    """(y, da, db)."""
    forward, backward = FAST
    with emulated():
        y, cache = forward(a, b, bag, operation, readout)
        assert isinstance(cache, wave_pair_cuda.Cache)
        return y, *backward(np.ones_like(y) if dy is None else dy, cache)


def by_equations(a, b, bag, operation, readout, dy=None):
    """(y, da, db) of the same numbers in float64."""
    forward, backward = EQUATION
    y, cache = forward(a.astype(np.float64), b.astype(np.float64), bag, operation, readout)
    return y, *backward(np.ones_like(y) if dy is None else dy.astype(np.float64), cache)


@every_combination
@pytest.mark.parametrize("form", ["merged", "rows of their own"])
def test_the_first_wave_of_sentences(emulated, operation, readout, form):
    """Segments of one and of no entry among them; the last text has a single one."""
    a, b, bag = case((3, 0, 1, 2, 70, 9, 1), form)
    texts = bag._replace(offsets=bag.offsets[[0, 3, 3, 5, 6, 7]])
    pairs = (turned(FAST), turned(EQUATION)) if (operation, readout) == ("modulation", "phase") else "wave_pair"
    kernels = ("wave_pair_of_sentences_forward", "wave_pair_of_sentences_backward")
    assert_kernels_agree(emulated, pairs, (a, b, bag, operation, readout, "dimension", texts), kernels)


@every_combination
@every_form
def test_bags_of_every_form(emulated, operation, readout, form):
    agrees(emulated, *case(form=form), operation, readout)


@pytest.mark.parametrize("columns", [1, 31, 32, 33, 257])
@pytest.mark.parametrize("readout", ["magnitude", "both"])
def test_rows_of_any_width(emulated, readout, columns):
    agrees(emulated, *case((4, 11), columns=columns), "interference", readout)
    agrees(emulated, *case((4, 11), columns=columns), "modulation", readout)


def test_a_bag_that_brings_its_inverse_index(emulated):
    a, b, bag = case()
    agrees(emulated, a, b, bag.with_inverse_index(len(a)), "modulation", "both")


# --- digits ------------------------------------------------------------------------------------------------------


@both_dtypes
@every_form
def test_imaginary_parts_have_all_digits_where_a_token_dominates(emulated, form, dtype):
    """Beside exact sums over the other tokens."""
    for dominating in (0, 1, 7, 8, 11):
        a, b, bag = case((12,), form, vocabulary=12, dtype=dtype)
        a[dominating % len(a)] *= dtype(1e12)
        b[:] = 0
        v = by_kernels(emulated, a, b, bag, "interference", "imaginary")[0]
        for tokens in tokens_of(bag):
            for j, (entry, _) in enumerate(tokens):
                for k in range(a.shape[1]):
                    others = (float(a[row, k]) for i, (_, row) in enumerate(tokens) if i != j)
                    exact = math.sqrt(math.fsum(x**2 for x in others))
                    assert v[entry, k] == pytest.approx(exact, rel=6e-8 if dtype == np.float32 else 4e-16)


@every_positive
@both_dtypes
@every_form
def test_all_results_have_all_digits_where_tokens_dominate(emulated, operation, readout, form, dtype):
    a, b, bag = case(form=form, dtype=dtype)
    a, b = abs(a), abs(b)
    a[len(a) // 2] *= dtype(1e12)
    b[len(b) // 3] *= dtype(1e9)
    results = by_kernels(emulated, a, b, bag, operation, readout)
    for found, exact in zip(results, by_equations(a, b, bag, operation, readout), strict=True):
        np.testing.assert_allclose(found, exact, rtol=2.5e-7 if dtype == np.float32 else 1e-13, atol=0)


@both_dtypes
def test_beside_a_dominating_slope_the_others_keep_their_digits(emulated, dtype):
    """The token with the dominating slope h receives those of the others alone, where Σ h − h would be 0."""
    a, b, dy = np.array([[2], [2], [1]], dtype), np.ones((3, 1), dtype), np.array([[1e12], [1], [1]], dtype)
    bag = Bag(None, None, np.array([0, 3]))
    _, *gradients = by_kernels(emulated, a, b, bag, "interference", "imaginary", dy)
    for found, exact in zip(gradients, (2 / 5**0.5 + 2 / 8**0.5, 2**0.5), strict=True):
        assert found[0, 0] == pytest.approx(exact, rel=6e-8 if dtype == np.float32 else 4e-16)
    for operation, readout in COMBINATIONS[:4] + COMBINATIONS[5:8]:
        expected = by_equations(a, b, bag, operation, readout, dy)
        for found, exact in zip(by_kernels(emulated, a, b, bag, operation, readout, dy), expected):
            np.testing.assert_allclose(found, exact, rtol=1e-6 if dtype == np.float32 else 1e-13)


@every_combination
def test_float32_is_float64_rounded_once(emulated, operation, readout):
    a, b, bag = case(form="merged, rows of their own", decades=2, dtype=np.float32)
    if (operation, readout) == ("modulation", "phase"):  # see turned()
        bag = bag._replace(offsets=np.array([0, len(a)]))
    y, da, db = by_kernels(emulated, a, b, bag, operation, readout)
    exact_y, exact_da, exact_db = by_equations(a, b, bag, operation, readout)
    for found, exact in ((y, exact_y), (da, exact_da), (db, exact_db)):
        np.testing.assert_allclose(found, exact, rtol=6e-8, atol=1e-13 * abs(exact).max())


@pytest.mark.parametrize("dtype, scale", [(np.float32, 1e30), (np.float64, 1e150)])
@every_combination
def test_squares_neither_overflow_nor_underflow(emulated, operation, readout, dtype, scale):
    a, b, bag = case(decades=0.5)
    tolerances = {dtype: 2e-6 if dtype == np.float32 else 1e-12}
    for size in (scale, 1 / scale):
        other = size if operation == "interference" else 1 / size
        agrees(emulated, a * size, b * other, bag, operation, readout, tolerances=tolerances)


@pytest.mark.parametrize("operation, readout", [c for c in COMBINATIONS if c[1] != "phase"])  # h of a phase is dy/ρ/v
def test_numbers_near_the_ends_of_float64(emulated, operation, readout):
    a, b, bag = case((5, 1, 8), "rows of their own", decades=0.5)
    for size in (1e300, 1e-290):
        sizes = (size, size if operation == "interference" else 1.0)
        results = by_kernels(emulated, a * sizes[0], b * sizes[1], bag, operation, readout)
        assert all(np.isfinite(part).all() for part in results)
        agrees(emulated, a * sizes[0], b * sizes[1], bag, operation, readout, tolerances={np.float64: 1e-11})


# --- singular points ---------------------------------------------------------------------------------------------


@every_combination
def test_columns_of_zeros(emulated, operation, readout):
    a, b, bag = case()
    a[:, 0] = 0
    b[:, 1] = 0
    a[:, 2] = b[:, 2] = 0
    a[: len(a) // 2, 3] = 0  # of some texts a few numbers, of some all
    agrees(emulated, a, b, bag, operation, readout)


@every_combination
@both_dtypes
def test_of_one_token_it_is_the_readout_of_two_real_numbers(emulated, operation, readout, dtype):
    a, b = np.array([[3], [-2], [0]], dtype), np.array([[5], [1], [0]], dtype)
    z = a + b if operation == "interference" else a * b
    zero = np.zeros_like(z)
    expected = {
        "real": z,
        "imaginary": zero,
        "magnitude": abs(z),
        "phase": np.pi * (z < 0),
        "both": np.hstack([z, zero]),
    }[readout]
    dy = np.random.default_rng(0).standard_normal(expected.shape).astype(dtype)
    y, da, db = by_kernels(emulated, a, b, Bag(None, None, np.arange(4)), operation, readout, dy)
    assert np.array_equal(y, expected.astype(dtype))
    if readout == "both":
        dy = dy[:, :1]
    dre = {"imaginary": zero, "phase": zero, "magnitude": dy * np.sign(z)}.get(readout, dy)
    assert np.array_equal(da, dre if operation == "interference" else dre * b)
    assert np.array_equal(db, dre if operation == "interference" else dre * a)


@both_dtypes
def test_tokens_that_cancel_have_no_magnitude_and_no_slope(emulated, dtype):
    a = np.array([[3], [0]], dtype)
    for readout in ("magnitude", "phase"):
        y, da, db = by_kernels(emulated, a, -a, Bag(None, None, np.array([0, 1, 2])), "interference", readout)
        assert not y.any() and not da.any() and not db.any()


@every_combination
@both_dtypes
def test_a_number_that_is_none_stays_in_its_text_and_column(emulated, operation, readout, dtype):
    a, b, bag = case((3, 12, 5), "rows of their own", columns=3, dtype=dtype)
    spoiled = a.copy()
    spoiled[5, 1] = np.nan
    clean, found = (by_kernels(emulated, x, b, bag, operation, readout) for x in (a, spoiled))
    for one, other in zip(found, clean):
        hit = np.zeros_like(one, bool)
        hit[3:15, 1::3] = True
        assert np.array_equal(one[~hit], other[~hit])
    assert np.isnan(found[0]).any() and np.isnan(found[1]).any()


@both_dtypes
def test_an_infinite_number_is_infinite_for_the_others_alone(emulated, dtype):
    a, b, bag = case((3, 12, 5), "rows of their own", columns=3, dtype=dtype)
    clean, _ = EQUATION[0](a, b, bag, "interference", "imaginary")
    a[5, 1] = np.inf
    with emulated():
        y, _ = FAST[0](a, b, bag, "interference", "imaginary")
    infinite = np.zeros_like(y, bool)
    infinite[[3, 4, *range(6, 15)], 1] = True
    assert np.array_equal(np.isposinf(y), infinite)
    np.testing.assert_allclose(y[~infinite], clean[~infinite], rtol=1e-6 if dtype == np.float32 else 1e-14)


@every_combination
@both_dtypes
@pytest.mark.parametrize("lengths, columns", [([], 2), ([0, 0], 2), ([3, 0, 2], 0)])
def test_nothing_gives_nothing(emulated, operation, readout, dtype, lengths, columns):
    for form in BAGS:
        a, b, bag = case(lengths, form, columns, dtype=dtype)
        y, da, db = by_kernels(emulated, a, b, bag, operation, readout)
        assert y.shape == (bag.offsets[-1], columns * (2 if readout == "both" else 1))
        assert y.dtype == da.dtype == db.dtype == dtype
        assert da.shape == db.shape == a.shape and not da.any() and not db.any()


@pytest.mark.parametrize("choice", [(9, 0), (0, 9), (1, 9)])
def test_a_kernel_gives_nan_for_a_choice_it_does_not_know(emulated, choice):
    """No alternative is the one that is left over; wave_pair_cuda.py lets no such choice in."""
    (a, b, bag), launch = case((3, 2, 20), "rows of their own"), wave_pair_cuda.KERNELS.launch
    cuts = wave_pair_cuda.cuts_of(bag, None)
    blocks, sizes = wave_pair_cuda.blocks_of_texts(cuts, 5), (*wave_pair_cuda.sizes_of(bag, cuts), 5, *choice)
    y, da, db = np.zeros((3, *a.shape))
    with emulated():
        launch("wave_pair_forward", a, blocks, THREADS, a, b, *bag[:2], *cuts, y, *sizes)
        launch("wave_pair_backward", a, blocks, THREADS, np.ones_like(a), a, b, *bag[:2], *cuts, da, db, *sizes)
    assert np.isnan(y).all() and np.isnan(da).all() and np.isnan(db).all()
