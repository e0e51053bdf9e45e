"""The wave pair in float32 on the CPU, in C and by NumPy, beside the equations in float64 of the same numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays.bag import Bag
from layers.fast import wave_pair_cpu
from layers.fast.text_groups import groups_of
from tests.support.examples import if_thorough
from tests.support.layer_laws import SEEDS, examples
from tests.support.random_bags import BAGS, of_texts, random_bag
from tests.support.wave_pairs import (
    FLOAT32_BOUND,
    FORMS,
    ON_CPU,
    assert_keeps_the_promise,
    backward,
    case,
    cotangent,
    dominated,
    every_cpu_pair,
    forward,
    in_c,
    in_float64,
    in_range,
)

MANY_LENGTHS = st.lists(st.one_of(st.integers(0, 4), st.integers(0, 40)), min_size=1, max_size=12)


@pytest.fixture(scope="module", params=["on", "off"] if in_c() else ["off"], autouse=True)
def mode(request):
    """What forward and backward take: functions in C, or NumPy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAVE_C", request.param)
        yield request.param


@every_cpu_pair
@given(MANY_LENGTHS, SEEDS, FORMS, st.sampled_from([3, 7, 30]))
@examples(30)
def test_float32_equals_float64(operation, readout, lengths, seed, form, vocabulary):
    rng, a, b, bag = case(lengths, seed, form, decades=1, vocabulary=vocabulary, dtype=np.float32)
    assert_keeps_the_promise(a, b, bag, operation, readout, cotangent(rng, bag, 3, readout))


@every_cpu_pair
@given(MANY_LENGTHS, SEEDS, FORMS, st.integers(0, 4))
@examples(30)
def test_magnitudes_of_sentences_and_of_texts(operation, readout, lengths, seed, form, decades):
    """The magnitudes of a by sentences, some of one token or none; those of b by texts."""
    rng, a, b, bag = case(lengths, seed, form, decades, vocabulary=7, dtype=np.float32)
    dy = cotangent(rng, bag, 3, readout)
    assert_keeps_the_promise(a, b, bag, operation, readout, dy, of_texts(bag))


@every_cpu_pair
def test_float32_equals_float64_in_groups_of_texts(operation, readout):
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
    assert set(cache.exceptions) == {6}, "the text of one token"


@every_cpu_pair
def test_float32_gradients_over_very_many_texts_do_not_drift(operation, readout):
    """Every text hands back the same: of thousands, added one by one in float32, the sum is off by 1e-5."""
    for texts in (wave_pair_cpu.FEW_TEXTS, wave_pair_cpu.FEW_TEXTS + 1, 2048):
        a, b = np.random.default_rng(0).uniform(0.5, 2, (2, 3, 2)).astype(np.float32)
        bag = Bag(np.tile([0, 1, 2], texts), np.tile([2, 1, 1], texts), np.arange(0, 3 * texts + 1, 3))
        assert_keeps_the_promise(
            a, b, bag, operation, readout, np.ones((3 * texts, 4 if readout == "both" else 2), np.float32)
        )


@every_cpu_pair
def test_float32_results_of_a_long_text_do_not_drift(operation, readout):
    rng, a, b, bag = case([20_000], 0, "rows of their own", columns=2, dtype=np.float32)
    assert_keeps_the_promise(abs(a), abs(b), bag, operation, readout, abs(cotangent(rng, bag, 2, readout)))


# --- where digits are at stake -----------------------------------------------------------------------------------


@every_cpu_pair
@pytest.mark.parametrize("ratio", [1e6, 1e18, *if_thorough(1e2, 1e4, 1e8, 1e12)])
@pytest.mark.parametrize("where", ["the same token", "different tokens", "only a", "only b"])
def test_float32_keeps_its_digits_where_one_token_dominates(operation, readout, ratio, where):
    for scale in (1e-18, 1e-9, 1.0, 1e9, 1e15):
        for tokens in (2, 40):
            if in_range(operation, scale, ratio):
                rng, a, b, bag = dominated(0, tokens, ratio, scale, where)
                assert_keeps_the_promise(a, b, bag, operation, readout, cotangent(rng, bag, 2, readout))


@every_cpu_pair
@pytest.mark.parametrize("tokens", [2, 5])
@pytest.mark.parametrize("ratio", [2e4, 2e5, *if_thorough(6e4, 5e5)])
def test_float32_keeps_its_digits_where_sums_begin_to_fail(operation, readout, tokens, ratio):
    """Where the difference of two sums in float64 has about six digits left: ROUNDING decides which texts to trust."""
    rng, texts = np.random.default_rng(0), 100
    a, b = rng.uniform(0.5, 1.0, (2, texts * tokens, 4))
    for x in (a, b):
        x[::tokens] *= ratio * rng.uniform(0.8, 1.25, (texts, 1))  # the first token of each text
    bag = Bag(None, None, tokens * np.arange(texts + 1))
    a, b, dy = a.astype(np.float32), b.astype(np.float32), cotangent(rng, bag, 4, readout)
    assert_keeps_the_promise(a, b, bag, operation, readout, dy)


@pytest.mark.parametrize("operation, readout", [c for c in ON_CPU if c[1] in ("imaginary", "both")])
def test_without_its_checks_it_loses_those_digits(operation, readout, monkeypatch):
    """Which the test above must be able to refuse."""
    monkeypatch.setattr(wave_pair_cpu, "ROUNDING", 0.0)
    rng, a, b, bag = dominated(0, 40, 1e6, 1.0, "the same token")
    with pytest.raises(AssertionError):
        assert_keeps_the_promise(a, b, bag, operation, readout, cotangent(rng, bag, 2, readout))


@every_cpu_pair
@given(MANY_LENGTHS, SEEDS, FORMS, st.integers(-18, 15), st.integers(0, 6))
@examples(25)
def test_float32_is_accurate_at_any_scale(operation, readout, lengths, seed, form, exponent, decades):
    rng, a, b, bag = case(lengths, seed, form, decades=decades, vocabulary=12, dtype=np.float64)
    if operation == "modulation":
        exponent = np.clip(exponent, -16 + decades, 17 - 2 * decades)
    a, b = ((x * 10.0**exponent).astype(np.float32) for x in (a, b))
    assert_keeps_the_promise(a, b, bag, operation, readout, cotangent(rng, bag, 3, readout))


@every_cpu_pair
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


@every_cpu_pair
@pytest.mark.parametrize("kind", COTANGENTS)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), SEEDS, FORMS, st.sampled_from([1e-15, 1.0, 1e15]))
@examples(8)
def test_float32_is_accurate_for_any_cotangent(operation, readout, kind, lengths, seed, form, scale):
    rng, a, b, bag = case(lengths, seed, form, vocabulary=12, dtype=np.float32)
    scale = np.float32(scale)
    dy = COTANGENTS[kind](rng, bag, cotangent(rng, bag, 3, readout)).astype(np.float32)
    assert_keeps_the_promise(a * scale, b * scale, bag, operation, readout, dy)


@every_cpu_pair
@pytest.mark.parametrize("scale, size", [(1e15, 1e-20), (1e15, 1e-25), (1e15, 1e-30), (1e-9, 1e29), (1e-9, 3e28)])
def test_float32_cotangents_of_any_size_keep_their_digits(operation, readout, scale, size):
    """Quotients of the two, or their sums, may be no normal numbers, though their products with the rows are."""
    rng, a, b, bag = case([4, 9, 30], 0, vocabulary=12, dtype=np.float32)
    dy = np.float32(size) * abs(cotangent(rng, bag, 3, readout))
    assert_keeps_the_promise(a * np.float32(scale), b * np.float32(scale), bag, operation, readout, dy)


@pytest.mark.parametrize("cut", [False, True], ids=["text", "sentences"])
@pytest.mark.parametrize("swapped", [False, True])
def test_float32_keeps_its_digits_where_one_slope_dominates(swapped, cut):
    """h_b = −dre·v_a/v_b is 1e12 times as large for the first token as for the others, h_a = −dre·v_b/v_a is not."""
    a, b = np.array([[0.0], [1.1], [0.7]], np.float32), np.array([[1.2], [3e-4], [2e-4]], np.float32)
    bag, dy = Bag(None, None, np.array([0, 3])), np.array([[1e8], [1.3], [0.9]], np.float32)
    pair = (b, a) if swapped else (a, b)
    cache = assert_keeps_the_promise(*pair, bag, "modulation", "real", dy, bag if cut else None)
    assert not cache.exceptions


@every_cpu_pair
def test_numbers_beyond_the_range_spoil_their_own_text_only(operation, readout):
    rng, a, b, bag = case([3, 4, 5], 0, "rows of their own", dtype=np.float32)
    a[3:7, 0] = b[3:7, 0] = 3e38
    y, cache = forward(a, b, bag, operation, readout)
    dy = cotangent(rng, bag, 3, readout)
    slopes = backward(dy, cache)
    others = np.r_[0:3, 7:12]
    small = Bag(None, None, np.array([0, 3, 8]))
    exact_y, scale, exact_slopes, terms = in_float64(a[others], b[others], small, dy[others], operation, readout)
    assert not np.isfinite(y[3:7, [0]]).all()
    for found, exact, bound in ((y, exact_y, scale), *zip(slopes, exact_slopes, terms)):
        assert np.all(abs(found[others] - exact) <= FLOAT32_BOUND * bound)


def test_an_infinity_spoils_its_own_sentence_only():
    """A sentence of one token beside it has im = 0, as ever."""
    a, b = np.ones((2, 4, 1), np.float32)
    a[1] = np.inf
    sentences, text = (Bag(None, None, np.array(cuts)) for cuts in ([0, 1, 4], [0, 4]))
    y, _ = forward(a, b, sentences, "interference", "imaginary", "dimension", text)
    assert y[0] == np.sqrt(np.float32(3)) and not np.isfinite(y[1:]).any()


# --- texts that go through the equations -------------------------------------------------------------------


@pytest.fixture
def handed_over(monkeypatch):
    """(number of entries of the texts that went through the equations forward, and backward)."""
    monkeypatch.setenv("WAVE_C", "off")
    equation_forward, equation_backward = wave_pair_cpu.equation_forward, wave_pair_cpu.equation_backward
    calls = [], []

    def counted_forward(a, b, bag, *options):
        calls[0].append(int(bag.offsets[-1]))
        return equation_forward(a, b, bag, *options)

    def counted_backward(dy, cache):
        calls[1].append(len(dy))
        return equation_backward(dy, cache)

    monkeypatch.setattr(wave_pair_cpu, "equation_forward", counted_forward)
    monkeypatch.setattr(wave_pair_cpu, "equation_backward", counted_backward)
    return calls


@every_cpu_pair
@pytest.mark.parametrize("form", BAGS)
@pytest.mark.parametrize("seed", [0, *if_thorough(1, 2)])
def test_ordinary_texts_do_not_take_the_equations(handed_over, operation, readout, form, seed):
    rng = np.random.default_rng(seed)
    rows, bag = random_bag(rng, [20, 2000, 300, 128, 21, 0, 60, 128], form, 10_000)
    a, b = rng.standard_normal((2, rows, 16)).astype(np.float32)
    y, cache = forward(a, b, bag, operation, readout)
    backward(cotangent(rng, bag, 16, readout), cache)
    assert handed_over == ([], []) and not cache.exceptions


@pytest.mark.parametrize("operation, readout", [("interference", "magnitude"), ("modulation", "both")])
def test_a_text_with_a_dominating_token_takes_the_equations(handed_over, operation, readout):
    for where in ("the same token", "only a", "only b"):
        rng, a, b, bag = dominated(0, 7, 1e6, 1.0, where)
        _, cache = forward(a, b, bag, operation, readout)
        assert set(cache.exceptions) == {1}
        backward(cotangent(rng, bag, 2, readout), cache)
    assert handed_over == ([7] * 3, [7] * 3), "backward takes what forward kept"


@pytest.mark.parametrize("operation, readout", [("interference", "imaginary"), ("modulation", "real")])
def test_a_text_with_a_single_slope_keeps_to_the_sums(handed_over, operation, readout):
    """As [CLS] pooling has it: nothing is left of the others' sum, exactly."""
    rng, a, b, bag = case([5, 6, 9], 0, "rows of their own", dtype=np.float32)
    _, cache = forward(a, b, bag, operation, readout)
    dy = cotangent(rng, bag, 3, readout)
    dy[5:11] *= (np.arange(6) == 2)[:, None]
    found = backward(dy, cache)
    assert handed_over == ([], [])
    _, wide = forward(a.astype(np.float64), b.astype(np.float64), bag, operation, readout)
    for fast, exact in zip(found, backward(dy.astype(np.float64), wide)):
        assert np.linalg.norm(fast - exact) <= 1e-6 * np.linalg.norm(exact)


@pytest.mark.parametrize("operation, readout", [("interference", "imaginary"), ("modulation", "real")])
def test_a_text_with_a_dominating_slope_takes_the_equations(handed_over, operation, readout):
    rng, a, b, bag = case([5, 6, 9], 0, "rows of their own", dtype=np.float32)
    _, cache = forward(a, b, bag, operation, readout)
    dy = cotangent(rng, bag, 3, readout)
    dy[5:11] *= np.where(np.arange(6) == 2, 1, 1e-15).astype(np.float32)[:, None]
    backward(dy, cache)
    assert handed_over == ([6], [6]) and not cache.exceptions


@pytest.mark.parametrize(
    "tokens, factor",
    [(1, 1), (4, 0), (4, 1e19), (4, 1e-12), (4, np.nan)],
    ids=["one token", "a column of zeros", "squares beyond the range", "squares below the range", "not a number"],
)
def test_other_texts_that_take_the_equations(handed_over, tokens, factor):
    _, a, b, bag = case([3, tokens, 5], 0, "rows of their own", dtype=np.float32)
    b[3 : 3 + tokens, 1] *= np.float32(factor)
    _, cache = forward(a, b, bag, "interference", "imaginary")
    assert set(cache.exceptions) == {1} and len(handed_over[0]) == 1


@every_cpu_pair
@pytest.mark.parametrize(
    "corrupted",
    [
        lambda dy, cache: backward(dy, cache)[::-1],
        lambda dy, cache: backward(dy, cache._replace(bag=cache.bag._replace(counts=np.ones_like(cache.bag.counts)))),
        lambda dy, cache: backward(dy, cache._replace(v_a=cache.v_a[::-1].copy(), v_b=cache.v_b[::-1].copy())),
    ],
    ids=["swapped", "counts", "norms"],
)
def test_a_corrupted_backward_is_caught(operation, readout, corrupted, monkeypatch):
    monkeypatch.setenv("WAVE_C", "off")
    rng, a, b, bag = case([3, 0, 9], 0, dtype=np.float32)
    dy = cotangent(rng, bag, 3, readout)
    right = backward(dy, forward(a, b, bag, operation, readout)[1])
    _, _, exact, terms = in_float64(a, b, bag, dy, operation, readout)
    found = corrupted(dy, forward(a, b, bag, operation, readout)[1])
    assert all(np.all(abs(r - e) <= FLOAT32_BOUND * t) for r, e, t in zip(right, exact, terms))
    same = (operation, readout) == (
        "interference",
        "real",
    )  # a real readout does not see the norms, nor which wave is which
    assert same or not all(np.all(abs(f - e) <= FLOAT32_BOUND * t) for f, e, t in zip(found, exact, terms))
