"""Two waves combined and read out: the plain body beside loops and derivatives, the body for float32 beside the plain one in float64."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.arrays.bag import Bag, count_matrix, distinct_tokens, merge_repeats, sum_entries
from engine.arrays.ragged import exclusive_sum, spread
from layers.fast import wave_pair_cpu as wave_pair_fast
from layers.fast.wave_pair_cpu import groups_of
from layers.wave import OPERATIONS, READOUTS, SCOPES, wave_pair, wave_pair_backward, wave_pair_forward
from tests.support.device_stand_in import assert_computes_on_the_device, leaves
from tests.support.layer_laws import (
    LENGTHS,
    ROWS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    groups,
    offsets_of,
    random_rows,
    to_bytes,
)
from tests.support.random_bags import BAGS, random_bag, tokens_of

JUMPS = pytest.mark.skip(reason="the phase of a modulation jumps from π to −π: there is no gradient to check")
COMBINATIONS = [(operation, readout) for operation in OPERATIONS for readout in READOUTS]
DIFFERENTIABLE = [pytest.param(*c, marks=JUMPS) if c == ("modulation", "phase") else c for c in COMBINATIONS]
FAST = [
    *(("interference", readout) for readout in ("real", "imaginary", "magnitude", "both")),
    *(("modulation", readout) for readout in ("real", "imaginary", "both")),
]
FORMS = st.sampled_from(BAGS)
MANY_LENGTHS = st.lists(st.one_of(st.integers(0, 4), st.integers(0, 40)), min_size=1, max_size=12)
FLOAT32_BOUND = 1e-6
BAG = Bag(np.array([0, 2, 1]), np.array([1, 3, 1]), np.array([0, 2, 2, 3]))  # of ROWS

every_combination = pytest.mark.parametrize("operation, readout", COMBINATIONS)
every_differentiable = pytest.mark.parametrize("operation, readout", DIFFERENTIABLE)
every_fast = pytest.mark.parametrize("operation, readout", FAST)
both_scopes = pytest.mark.parametrize("scope", SCOPES)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def case(lengths, seed, form="merged", decades=0.5, columns=3, vocabulary=4, dtype=np.float64):
    """(rng, a, b, Bag)."""
    rng = np.random.default_rng(seed)
    rows, bag = random_bag(rng, lengths, form, vocabulary)
    return rng, *(random_rows(rng, rows, columns, decades).astype(dtype) for _ in range(2)), bag


def cotangent(rng, bag, columns, readout, dtype=np.float32):
    return rng.standard_normal((int(bag.offsets[-1]), columns * (2 if readout == "both" else 1))).astype(dtype)


# --- the plain body: every operation, readout and scope ----------------------------------------------------------


def by_loops(a, b, bag, operation, readout, scope):
    """y in float64, token by token; every token of an entry must have the same."""
    texts = tokens_of(bag)
    entry, rows = (np.array([pair[i] for text in texts for pair in text], np.int64) for i in (0, 1))
    waves = []
    for x in (a[rows], b[rows]):
        wave = x.astype(complex)
        for _, entries in groups(offsets_of([len(text) for text in texts]), x.shape[1], scope):
            for e in entries:
                wave[e] += 1j * math.sqrt(math.fsum(x[other] ** 2 for other in entries if other != e))
        waves.append(wave)
    z = waves[0] + waves[1] if operation == "interference" else waves[0] * waves[1]
    of_tokens = {
        "real": z.real,
        "imaginary": z.imag,
        "magnitude": abs(z),
        "phase": np.angle(z),
        "both": np.hstack([z.real, z.imag]),
    }[readout]
    y = np.zeros((int(bag.offsets[-1]), of_tokens.shape[1]))
    y[entry] = of_tokens
    np.testing.assert_allclose(of_tokens, y[entry], rtol=1e-12, atol=1e-12 * abs(y).max(initial=0))
    return y


def has_two_tokens(bag):
    """Whether some text has two distinct tokens: of one token, however often, a modulation may be real, with an im of mere rounding."""
    return any(len({row for _, row in text}) > 1 for text in tokens_of(bag))


@every_combination
@both_scopes
@given(st.lists(st.integers(2, 6), min_size=1, max_size=4), SEEDS, FORMS)
@examples(10)
def test_equals_loops_over_all_tokens(operation, readout, scope, lengths, seed, form):
    _, a, b, bag = case([*lengths, 0], seed, form)
    assume(has_two_tokens(bag))
    y, _ = wave_pair_forward(a, b, bag, operation, readout, scope)
    expected = by_loops(a, b, bag, operation, readout, scope)
    if readout == "phase":  # which side of the jump it is on may be a matter of rounding
        y, expected = np.exp(1j * y), np.exp(1j * expected)
    assert_equal(y, expected, 1e-12)


@every_differentiable
@both_scopes
@given(LENGTHS, SEEDS, FORMS)
@examples(8)
def test_gradient(operation, readout, scope, lengths, seed, form):
    _, a, b, bag = case([*lengths, 5], seed, form)
    assume(has_two_tokens(bag))
    check = assert_five_point_gradients if readout == "phase" else assert_exact_gradients
    check(wave_pair_forward, wave_pair_backward, a, b, bag, operation, readout, scope)


@every_combination
@both_scopes
def test_of_one_token_it_is_the_readout_of_two_real_numbers(operation, readout, scope):
    a, b = np.array([[3.0], [-2.0]]), np.array([[5.0], [1.0]])
    y, _ = wave_pair_forward(a, b, Bag(None, None, np.array([0, 1, 2])), operation, readout, scope)
    z = np.array([[8.0], [-1.0]]) if operation == "interference" else np.array([[15.0], [-2.0]])
    zero = np.zeros_like(z)
    expected = {
        "real": z,
        "imaginary": zero,
        "magnitude": abs(z),
        "phase": np.pi * (z < 0),
        "both": np.hstack([z, zero]),
    }[readout]
    assert_equal(y, expected)


@every_combination
@both_scopes
def test_merged_or_not_the_entries_of_equal_tokens_share_value_and_gradient(operation, readout, scope):
    """The gradient of a merged entry is that of all its tokens together."""
    rng, a, b, single = case([5, 0, 8, 3], 1, "repeated places")
    merged = merge_repeats(single, len(a))
    y, cache = wave_pair_forward(a, b, single, operation, readout, scope)
    dy = cotangent(rng, single, 3, readout, np.float64)
    key = spread(np.arange(4), single.offsets) * len(a) + single.places
    entry = np.unique(key, return_inverse=True)[1]
    together = np.zeros((int(merged.offsets[-1]), dy.shape[1]))
    np.add.at(together, entry, dy)
    z, merged_cache = wave_pair_forward(a, b, merged, operation, readout, scope)
    assert_equal(z[entry], y, 1e-12)
    if (operation, readout) != ("modulation", "phase"):
        assert_equal(wave_pair_backward(together, merged_cache), wave_pair_backward(dy, cache), 1e-12)


@pytest.mark.parametrize("form", BAGS)
@both_scopes
def test_both_directions_stay_on_the_device_of_the_rows(device, form, scope):
    rng, a, b, bag = case([3, 0, 1, 6], 0, form)
    y, cache = wave_pair_forward(a, b, bag, "modulation", "imaginary", scope)
    on_device, _ = wave_pair_forward(*device((a, b, bag)), "modulation", "imaginary", scope)
    assert np.array_equal(on_device.get(), y)
    assert_computes_on_the_device(device, wave_pair_backward, cotangent(rng, bag, 3, "imaginary", np.float64), cache)


def test_bags_are_made_on_the_device_of_the_ids(device):
    ids, offsets = np.array([4, 1, 4, 4, 2, 1]), np.array([0, 3, 3, 6])

    def made(ids, offsets):
        rows, bag = distinct_tokens(ids, offsets, 6)
        merged = merge_repeats(bag, len(rows))
        return (
            rows,
            bag,
            merged,
            merged.one_row_per_text(),
            merged.written_out(),
            (count_matrix(merged, len(rows)), sum_entries(ids, bag, 3)),
        )

    for found, expected in zip(leaves(made(device(ids), device(offsets))), leaves(made(ids, offsets)), strict=True):
        assert found is expected is None or np.array_equal(found.get(), expected)


@every_combination
@both_dtypes
@pytest.mark.parametrize("lengths, columns", [([], 2), ([0, 0], 2), ([3, 0, 2], 0)])
def test_nothing_gives_nothing(operation, readout, dtype, lengths, columns):
    for form in BAGS:
        for scope in SCOPES:
            _, a, b, bag = case(lengths, 0, form, columns=columns, dtype=dtype)
            y, cache = wave_pair_forward(a, b, bag, operation, readout, scope)
            da, db = wave_pair_backward(y, cache)
            assert (
                y.shape == (bag.offsets[-1], columns * (2 if readout == "both" else 1))
                and y.dtype == da.dtype == db.dtype == dtype
            )
            assert da.shape == db.shape == a.shape and not da.any() and not db.any()


# --- which body computes what ------------------------------------------------------------------------------------


@every_combination
@both_scopes
@both_dtypes
def test_the_fast_body_computes_float32_per_dimension_without_atan2_and_no_other(operation, readout, scope, dtype):
    _, a, b, bag = case([4, 0, 3], 0, dtype=dtype)
    _, cache = wave_pair_forward(a, b, bag, operation, readout, scope)
    expected = dtype == np.float32 and scope == "dimension" and (operation, readout) in FAST
    assert isinstance(cache, wave_pair_fast.Cache) is expected and isinstance(cache, wave_pair.Cache) is not expected


def test_arrays_of_a_device_take_the_plain_body(device):
    assert wave_pair_fast.applies(ROWS.astype(np.float32), "modulation", "both", "dimension")
    assert not wave_pair_fast.applies(device(ROWS.astype(np.float32)), "modulation", "both", "dimension")


# --- the fast body, beside the plain one in float64 --------------------------------------------------------------


def in_float64(a, b, bag, dy, operation, readout):
    """(y, its natural scale, (da, db), their sums of absolute terms) for the same numbers."""
    a, b, dy = a.astype(float), b.astype(float), dy.astype(float)
    y, cache = wave_pair.plain_forward(a, b, bag, operation, readout, "dimension")
    slopes = wave_pair.plain_backward(dy, cache)
    first = bag.written_out()[1]
    (xa, va), (xb, vb) = waves = [
        (bag.entries(x), wave.v[first]) for x, wave in ((a, cache.first_wave), (b, cache.second_wave))
    ]
    if operation == "interference":
        parts = {"real": abs(xa + xb), "imaginary": va + vb, "magnitude": y}
    else:
        parts = {"real": abs(xa * xb) + va * vb, "imaginary": abs(xa) * vb + abs(xb) * va}
    scale = np.hstack([parts["real"], parts["imaginary"]]) if readout == "both" else parts[readout]
    dz = absolute_slopes(abs(dy), y, waves, readout)
    terms = []
    for x, wave, other in ((a, waves[0], waves[1]), (b, waves[1], waves[0])):
        dre, dim = dz
        if operation == "modulation":
            re, v = abs(other[0]), other[1]
            dre, dim = dre * re + dim * v, dim * re + dre * v
        terms.append(absolute_terms(x, dre, dim, wave, bag))
    return y, scale, slopes, terms


def absolute_slopes(dy, y, waves, readout):
    """(|dre|, |dim|) of the combined wave."""
    d = waves[0][0].shape[1]
    if readout == "both":
        return dy[:, :d], dy[:, d:]
    if readout == "magnitude":
        over = np.divide(dy, y, out=np.zeros_like(y), where=y != 0)
        return over * abs(waves[0][0] + waves[1][0]), over * (waves[0][1] + waves[1][1])
    return (dy, 0 * dy) if readout == "real" else (0 * dy, dy)


def absolute_terms(x, dre, dim, wave, bag):
    """Σ over the entries of each row: |dre| + |x|·Σ of |h| over the other tokens, for each token of the entry."""
    counts = bag.weights()[:, None]
    entry, first, offsets = bag.written_out()
    h = np.divide(dim, wave[1], out=np.zeros_like(dim), where=wave[1] != 0) / counts
    of_entries = dre + abs(wave[0]) * counts * exclusive_sum(h[entry], offsets)[first]
    terms = np.zeros_like(x)
    np.add.at(terms, slice(None) if bag.places is None else bag.places, of_entries)
    return terms


def assert_keeps_the_promise(a, b, bag, operation, readout, dy):
    """Returns the cache. y to 1e-6 of its natural scale, entry by entry, gradients to 1e-6 of the sum of their absolute terms."""
    assert a.dtype == b.dtype == dy.dtype == np.float32
    y, cache = wave_pair_forward(a, b, bag, operation, readout)
    slopes = wave_pair_backward(dy, cache)
    exact_y, scale, exact_slopes, terms = in_float64(a, b, bag, dy, operation, readout)
    assert isinstance(cache, wave_pair_fast.Cache)
    assert all(part.dtype == np.float32 and np.isfinite(part).all() for part in (y, *slopes))
    assert np.all(abs(y - exact_y) <= FLOAT32_BOUND * scale)
    for slope, exact, bound in zip(slopes, exact_slopes, terms, strict=True):
        assert np.all(abs(slope - exact) <= FLOAT32_BOUND * bound)
    return cache


@every_fast
@given(MANY_LENGTHS, SEEDS, FORMS, st.sampled_from([3, 7, 30]))
@examples(30)
def test_float32_equals_float64(operation, readout, lengths, seed, form, vocabulary):
    rng, a, b, bag = case(lengths, seed, form, decades=1, vocabulary=vocabulary, dtype=np.float32)
    assert_keeps_the_promise(a, b, bag, operation, readout, cotangent(rng, bag, 3, readout))


@every_fast
def test_float32_equals_float64_where_texts_of_different_lengths_are_computed_together(operation, readout):
    rng, a, b, bag = case(
        [8, 9, 10, 9, 400, 390, 1, 0, 2, 2, 600],
        0,
        "merged, rows of their own",
        vocabulary=2000,
        columns=16,
        dtype=np.float32,
    )
    shapes = [(len(group.texts), group.filled is not None) for group in groups_of(bag, 16)]
    assert (4, True) in shapes and (2, True) in shapes and (1, False) in shapes
    cache = assert_keeps_the_promise(a, b, bag, operation, readout, cotangent(rng, bag, 16, readout))
    assert set(cache.plain) == {6}, "the text of one token"


@every_fast
def test_float32_gradients_of_a_token_of_very_many_texts_do_not_drift(operation, readout):
    """Every text hands back the same: of thousands, added one by one in float32, the sum is off by 1e-5."""
    for texts in (wave_pair_fast.FEW_TEXTS, wave_pair_fast.FEW_TEXTS + 1, 2048):
        a, b = np.random.default_rng(0).uniform(0.5, 2, (2, 3, 2)).astype(np.float32)
        bag = Bag(np.tile([0, 1, 2], texts), np.tile([2, 1, 1], texts), np.arange(0, 3 * texts + 1, 3))
        assert_keeps_the_promise(
            a, b, bag, operation, readout, np.ones((3 * texts, 4 if readout == "both" else 2), np.float32)
        )


@every_fast
def test_float32_results_of_a_long_text_do_not_drift(operation, readout):
    rng, a, b, bag = case([20_000], 0, "rows of their own", columns=2, dtype=np.float32)
    assert_keeps_the_promise(abs(a), abs(b), bag, operation, readout, abs(cotangent(rng, bag, 2, readout)))


# --- the fast body where digits are at stake ---------------------------------------------------------------------


def dominated(seed, tokens, ratio, scale, where):
    """(rng, a, b, Bag) of three texts of this many tokens; in the second a token has `ratio` times the size of the others."""
    rng, a, b, bag = case([tokens] * 3, seed, "rows of their own", decades=0.3, columns=2)
    if where != "only b":
        a[tokens + tokens // 2] *= ratio
    if where != "only a":
        b[tokens + (0 if where == "different tokens" else tokens // 2)] *= ratio
    return rng, *((x * scale).astype(np.float32) for x in (a, b)), bag


def in_range(operation, scale, ratio):
    """Whether all products that the equations contain are normal numbers of float32."""
    return (
        scale * ratio < 1e30
        if operation == "interference"
        else 1e-34 < scale**2 and scale**2 * ratio**2 < 1e36 and scale * ratio**2 < 1e36
    )


@every_fast
@pytest.mark.parametrize("ratio", [1e2, 1e4, 1e6, 1e8, 1e12, 1e18])
@pytest.mark.parametrize("where", ["the same token", "different tokens", "only a", "only b"])
def test_float32_keeps_its_digits_where_one_token_dominates(operation, readout, ratio, where):
    for scale in (1e-18, 1e-9, 1.0, 1e9, 1e15):
        for tokens in (2, 40):
            if in_range(operation, scale, ratio):
                rng, a, b, bag = dominated(0, tokens, ratio, scale, where)
                assert_keeps_the_promise(a, b, bag, operation, readout, cotangent(rng, bag, 2, readout))


@pytest.mark.parametrize("operation, readout", [c for c in FAST if c[1] in ("imaginary", "both")])
def test_without_its_checks_the_fast_body_loses_those_digits(operation, readout, monkeypatch):
    """Which the test above must be able to refuse."""
    monkeypatch.setattr(wave_pair_fast, "ROUNDING", 0.0)
    rng, a, b, bag = dominated(0, 40, 1e6, 1.0, "the same token")
    with pytest.raises(AssertionError):
        assert_keeps_the_promise(a, b, bag, operation, readout, cotangent(rng, bag, 2, readout))


@every_fast
@given(MANY_LENGTHS, SEEDS, FORMS, st.integers(-18, 15), st.integers(0, 6))
@examples(25)
def test_float32_is_accurate_at_any_scale(operation, readout, lengths, seed, form, exponent, decades):
    rng, a, b, bag = case(lengths, seed, form, decades=decades, vocabulary=12, dtype=np.float64)
    if operation == "modulation":
        exponent = np.clip(exponent, -16 + decades, 17 - 2 * decades)
    a, b = ((x * 10.0**exponent).astype(np.float32) for x in (a, b))
    assert_keeps_the_promise(a, b, bag, operation, readout, cotangent(rng, bag, 3, readout))


@every_fast
@given(MANY_LENGTHS, SEEDS, FORMS, st.sampled_from(["a", "b", "both"]))
@examples(15)
def test_float32_is_accurate_where_columns_are_zero(operation, readout, lengths, seed, form, zero):
    rng, a, b, bag = case(lengths, seed, form, vocabulary=12, dtype=np.float32)
    for name, x in (("a", a), ("b", b)):
        if zero in (name, "both"):
            x[: len(x) // 2, 0] = 0  # of some texts a few numbers, of some all
            x[:, 2] = 0
    assert_keeps_the_promise(a, b, bag, operation, readout, cotangent(rng, bag, 3, readout))


def one_entry(rng, bag, dy):
    """Only the first entry of each text has a cotangent, as in [CLS] pooling."""
    kept = np.zeros(len(dy), bool)
    kept[bag.offsets[:-1][np.diff(bag.offsets) > 0]] = True
    return dy * kept[:, None]


COTANGENTS = {
    "one entry": one_entry,
    "one entry of one text": lambda rng, bag, dy: dy * (np.arange(len(dy)) == len(dy) // 2)[:, None],
    "ratios of 1e12": lambda rng, bag, dy: dy * np.float32(10) ** rng.uniform(-12, 0, (len(dy), 1)),
    "one entry 1e12 times as large": lambda rng, bag, dy: (
        dy * 10.0 ** (12.0 * (rng.integers(0, 10, (len(dy), 1)) == 0))
    ),
    "none at all": lambda rng, bag, dy: 0 * dy,
    "of one sign": lambda rng, bag, dy: abs(dy),
    "sums that cancel": lambda rng, bag, dy: (
        dy - np.repeat(np.add.reduceat(dy, bag.offsets[:-1]), np.diff(bag.offsets), 0) / 1e3
    ),
}


@every_fast
@pytest.mark.parametrize("kind", COTANGENTS)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), SEEDS, FORMS, st.sampled_from([1e-15, 1.0, 1e15]))
@examples(8)
def test_float32_is_accurate_for_any_cotangent(operation, readout, kind, lengths, seed, form, scale):
    rng, a, b, bag = case(lengths, seed, form, vocabulary=12, dtype=np.float32)
    scale = np.float32(scale)
    dy = COTANGENTS[kind](rng, bag, cotangent(rng, bag, 3, readout)).astype(np.float32)
    assert_keeps_the_promise(a * scale, b * scale, bag, operation, readout, dy)


@every_fast
@pytest.mark.parametrize("scale, size", [(1e15, 1e-20), (1e15, 1e-25), (1e15, 1e-30), (1e-9, 1e29), (1e-9, 3e28)])
def test_float32_cotangents_far_from_the_size_of_the_rows_keep_their_digits(operation, readout, scale, size):
    """Quotients of the two, or their sums, may be no normal numbers of float32, though their products with the rows are."""
    rng, a, b, bag = case([4, 9, 30], 0, vocabulary=12, dtype=np.float32)
    dy = np.float32(size) * abs(cotangent(rng, bag, 3, readout))
    assert_keeps_the_promise(a * np.float32(scale), b * np.float32(scale), bag, operation, readout, dy)


@pytest.mark.parametrize("swapped", [False, True])
def test_float32_keeps_its_digits_where_the_slopes_of_one_wave_alone_are_dominated(swapped):
    """h_b = −dre·v_a/v_b is 1e12 times as large for the first token as for the others, h_a = −dre·v_b/v_a is not."""
    a, b = np.array([[0.0], [1.1], [0.7]], np.float32), np.array([[1.2], [3e-4], [2e-4]], np.float32)
    bag, dy = Bag(None, None, np.array([0, 3])), np.array([[1e8], [1.3], [0.9]], np.float32)
    cache = assert_keeps_the_promise(*((b, a) if swapped else (a, b)), bag, "modulation", "real", dy)
    assert not cache.plain


@every_fast
def test_float32_numbers_beyond_the_range_are_infinite_or_nan_only_in_their_own_text(operation, readout):
    rng, a, b, bag = case([3, 4, 5], 0, "rows of their own", dtype=np.float32)
    a[3:7, 0] = b[3:7, 0] = 3e38
    y, cache = wave_pair_forward(a, b, bag, operation, readout)
    dy = cotangent(rng, bag, 3, readout)
    slopes = wave_pair_backward(dy, cache)
    others = np.r_[0:3, 7:12]
    small = Bag(None, None, np.array([0, 3, 8]))
    exact_y, scale, exact_slopes, terms = in_float64(a[others], b[others], small, dy[others], operation, readout)
    assert not np.isfinite(y[3:7, [0]]).all()
    for found, exact, bound in ((y, exact_y, scale), *zip(slopes, exact_slopes, terms)):
        assert np.all(abs(found[others] - exact) <= FLOAT32_BOUND * bound)


# --- the texts that it hands to the plain body -------------------------------------------------------------------


@pytest.fixture
def handed_over(monkeypatch):
    """(number of entries of the texts that went through the plain body forward, and backward)."""
    forward, backward = wave_pair.PLAIN
    calls = [], []

    def counted_forward(a, b, bag, *options):
        calls[0].append(int(bag.offsets[-1]))
        return forward(a, b, bag, *options)

    def counted_backward(dy, cache):
        calls[1].append(len(dy))
        return backward(dy, cache)

    monkeypatch.setattr(wave_pair, "PLAIN", (counted_forward, counted_backward))
    return calls


@every_fast
@pytest.mark.parametrize("form", BAGS)
@pytest.mark.parametrize("seed", range(3))
def test_ordinary_texts_do_not_take_the_plain_body(handed_over, operation, readout, form, seed):
    rng = np.random.default_rng(seed)
    rows, bag = random_bag(rng, [20, 2000, 300, 128, 21, 0, 60, 128], form, 10_000)
    a, b = rng.standard_normal((2, rows, 16)).astype(np.float32)
    y, cache = wave_pair_forward(a, b, bag, operation, readout)
    wave_pair_backward(cotangent(rng, bag, 16, readout), cache)
    assert handed_over == ([], []) and not cache.plain


@pytest.mark.parametrize("operation, readout", [("interference", "magnitude"), ("modulation", "both")])
def test_a_text_in_which_a_token_dominates_takes_the_plain_body_and_no_other_does(handed_over, operation, readout):
    for where in ("the same token", "only a", "only b"):
        rng, a, b, bag = dominated(0, 7, 1e6, 1.0, where)
        _, cache = wave_pair_forward(a, b, bag, operation, readout)
        assert set(cache.plain) == {1}
        wave_pair_backward(cotangent(rng, bag, 2, readout), cache)
    assert handed_over == ([7] * 3, [7] * 3), "backward takes what forward kept"


@pytest.mark.parametrize("operation, readout", [("interference", "imaginary"), ("modulation", "real")])
def test_a_text_with_the_slope_of_one_token_alone_keeps_to_the_fast_body(handed_over, operation, readout):
    """As [CLS] pooling has it: nothing is left of the others' sum, exactly."""
    rng, a, b, bag = case([5, 6, 9], 0, "rows of their own", dtype=np.float32)
    _, cache = wave_pair_forward(a, b, bag, operation, readout)
    dy = cotangent(rng, bag, 3, readout)
    dy[5:11] *= (np.arange(6) == 2)[:, None]
    found = wave_pair_backward(dy, cache)
    assert handed_over == ([], [])
    _, wide = wave_pair_forward(a.astype(np.float64), b.astype(np.float64), bag, operation, readout)
    for fast, exact in zip(found, wave_pair_backward(dy.astype(np.float64), wide)):
        assert np.linalg.norm(fast - exact) <= 1e-6 * np.linalg.norm(exact)


@pytest.mark.parametrize("operation, readout", [("interference", "imaginary"), ("modulation", "real")])
def test_a_text_in_which_one_slope_dominates_takes_the_plain_body_backward(handed_over, operation, readout):
    rng, a, b, bag = case([5, 6, 9], 0, "rows of their own", dtype=np.float32)
    _, cache = wave_pair_forward(a, b, bag, operation, readout)
    dy = cotangent(rng, bag, 3, readout)
    dy[5:11] *= np.where(np.arange(6) == 2, 1, 1e-15).astype(np.float32)[:, None]
    wave_pair_backward(dy, cache)
    assert handed_over == ([6], [6]) and not cache.plain


@pytest.mark.parametrize(
    "tokens, factor",
    [(1, 1), (4, 0), (4, 1e19), (4, 1e-12), (4, np.nan)],
    ids=["one token", "a column of zeros", "squares beyond the range", "squares below the range", "not a number"],
)
def test_other_texts_that_take_the_plain_body(handed_over, tokens, factor):
    _, a, b, bag = case([3, tokens, 5], 0, "rows of their own", dtype=np.float32)
    b[3 : 3 + tokens, 1] *= np.float32(factor)
    _, cache = wave_pair_forward(a, b, bag, "interference", "imaginary")
    assert set(cache.plain) == {1} and len(handed_over[0]) == 1


# --- purity ------------------------------------------------------------------------------------------------------


def contents(cache):
    """All arrays of a cache of either body, as bytes."""
    return to_bytes((tuple(cache), tuple(getattr(cache, "plain", {}).values())))


@every_combination
@both_scopes
@both_dtypes
@given(FORMS)
@examples(8)
def test_a_text_does_not_see_its_companions(operation, readout, scope, dtype, form):
    rng, a, b, bag = case([3, 2, 0, 12, 13, 12, 40], 0, form, vocabulary=20, dtype=dtype)
    dy = cotangent(rng, bag, 3, readout, dtype)
    y, cache = wave_pair_forward(a, b, bag, operation, readout, scope)
    sums = np.zeros(a.shape), np.zeros(b.shape)
    for start, stop in zip(bag.offsets, bag.offsets[1:]):
        rows = slice(start, stop)
        alone = Bag(
            bag.places[rows] if bag.places is not None else np.arange(start, stop),
            bag.weights()[rows],
            np.array([0, stop - start]),
        )
        if form == "repeated places":
            alone = alone._replace(counts=None)
        z, cache_alone = wave_pair_forward(a, b, alone, operation, readout, scope)
        assert_equal(z, y[rows], 8 * np.finfo(dtype).eps)
        for total, slope in zip(sums, wave_pair_backward(dy[rows], cache_alone)):
            total += slope
    assert_equal(wave_pair_backward(dy, cache), sums, 20 * np.finfo(dtype).eps)


# --- refusals and negative controls ------------------------------------------------------------------------------


@both_scopes
@pytest.mark.parametrize(
    "corrupted",
    [
        lambda dy, cache: wave_pair_backward(dy, cache)[::-1],  # swapped
        lambda dy, cache: wave_pair_backward(dy, cache._replace(first_wave=cache.second_wave)),
        lambda dy, cache: wave_pair_backward(dy * cache.bag.weights()[:, None], cache),  # of each token instead of all
        lambda dy, cache: wave_pair_backward(dy, cache._replace(bag=cache.bag._replace(places=cache.bag.places[::-1]))),
    ],
    ids=["swapped", "one wave twice", "counts", "places"],
)
def test_a_corrupted_backward_is_caught(scope, corrupted):
    _, a, b, bag = case([3, 0, 5], 0)
    assert caught(wave_pair_forward, corrupted, a, b, bag, "modulation", "both", scope)


@every_fast
@pytest.mark.parametrize(
    "corrupted",
    [
        lambda dy, cache: wave_pair_backward(dy, cache)[::-1],
        lambda dy, cache: wave_pair_backward(
            dy, cache._replace(bag=cache.bag._replace(counts=np.ones_like(cache.bag.counts)))
        ),
        lambda dy, cache: wave_pair_backward(
            dy, cache._replace(v_a=cache.v_a[::-1].copy(), v_b=cache.v_b[::-1].copy())
        ),
    ],
    ids=["swapped", "counts", "norms"],
)
def test_a_corrupted_fast_backward_is_caught(operation, readout, corrupted):
    rng, a, b, bag = case([3, 0, 9], 0, dtype=np.float32)
    dy = cotangent(rng, bag, 3, readout)
    right = wave_pair_backward(dy, wave_pair_forward(a, b, bag, operation, readout)[1])
    _, _, exact, terms = in_float64(a, b, bag, dy, operation, readout)
    found = corrupted(dy, wave_pair_forward(a, b, bag, operation, readout)[1])
    assert all(np.all(abs(r - e) <= FLOAT32_BOUND * t) for r, e, t in zip(right, exact, terms))
    same = (operation, readout) == (
        "interference",
        "real",
    )  # a real readout does not see the norms, nor which wave is which
    assert same or not all(np.all(abs(f - e) <= FLOAT32_BOUND * t) for f, e, t in zip(found, exact, terms))
