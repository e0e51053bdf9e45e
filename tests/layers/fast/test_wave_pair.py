"""Two waves of one text, combined and read out, over a bag: composed of equations, beside loops and derivatives."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.arrays.bag import Bag, distinct_tokens, merge_repeats, sum_entries
from engine.arrays.bag_sums import count_matrix
from engine.arrays.ragged import spread
from layers import equations
from layers.fast import wave_pair_c, wave_pair_cpu
from layers.wave import SCOPES
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
)
from tests.support.random_bags import BAGS, tokens_of
from tests.support.wave_pairs import (
    COMBINATIONS,
    FORMS,
    ON_CPU,
    backward,
    both_dtypes,
    case,
    cotangent,
    every_combination,
    forward,
    in_c,
)

JUMPS = pytest.mark.skip(reason="the phase of a modulation jumps from π to −π: there is no gradient to check")
DIFFERENTIABLE = [pytest.param(*c, marks=JUMPS) if c == ("modulation", "phase") else c for c in COMBINATIONS]
every_differentiable = pytest.mark.parametrize("operation, readout", DIFFERENTIABLE)
both_scopes = pytest.mark.parametrize("scope", SCOPES)


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
    z = {"interference": np.add, "modulation": np.multiply, "correlation": lambda a, b: a * b.conj()}[operation](*waves)
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
    """Whether some text has two distinct tokens.

    Of one token, however often, a modulation may be real, with an im of mere rounding.
    """
    return any(len({row for _, row in text}) > 1 for text in tokens_of(bag))


@every_combination
@both_scopes
@given(st.lists(st.integers(2, 6), min_size=1, max_size=4), SEEDS, FORMS)
@examples(10)
def test_equals_loops_over_all_tokens(operation, readout, scope, lengths, seed, form):
    _, a, b, bag = case([*lengths, 0], seed, form)
    assume(has_two_tokens(bag))
    y, _ = forward(a, b, bag, operation, readout, scope)
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
    check(forward, backward, a, b, bag, operation, readout, scope)


@every_combination
@both_scopes
def test_of_one_token_it_reads_two_real_numbers(operation, readout, scope):
    a, b = np.array([[3.0], [-2.0]]), np.array([[5.0], [1.0]])
    y, _ = forward(a, b, Bag(None, None, np.array([0, 1, 2])), operation, readout, scope)
    product = [[15.0], [-2.0]]
    z = np.array({"interference": [[8.0], [-1.0]], "modulation": product, "correlation": product}[operation])
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
def test_equal_tokens_share_value_and_gradient(operation, readout, scope):
    """Merged or not. The gradient of a merged entry is that of all its tokens together."""
    rng, a, b, single = case([5, 0, 8, 3], 1, "repeated rows")
    merged = merge_repeats(single, len(a))
    y, cache = forward(a, b, single, operation, readout, scope)
    dy = cotangent(rng, single, 3, readout, np.float64)
    key = spread(np.arange(4), single.offsets) * len(a) + single.row_index
    entry = np.unique(key, return_inverse=True)[1]
    together = np.zeros((int(merged.offsets[-1]), dy.shape[1]))
    np.add.at(together, entry, dy)
    z, merged_cache = forward(a, b, merged, operation, readout, scope)
    assert_equal(z[entry], y, 1e-12)
    if (operation, readout) != ("modulation", "phase"):
        assert_equal(backward(together, merged_cache), backward(dy, cache), 1e-12)


@pytest.mark.parametrize("form", BAGS)
@both_scopes
def test_both_directions_stay_on_the_device_of_the_rows(device, form, scope):
    rng, a, b, bag = case([3, 0, 1, 6], 0, form)
    y, cache = forward(a, b, bag, "modulation", "imaginary", scope)
    on_device, _ = forward(*device((a, b, bag)), "modulation", "imaginary", scope)
    assert np.array_equal(on_device.get(), y)
    assert_computes_on_the_device(device, backward, cotangent(rng, bag, 3, "imaginary", np.float64), cache)


def test_bags_are_made_on_the_device_of_the_ids(device):
    ids, offsets = np.array([4, 1, 4, 4, 2, 1]), np.array([0, 3, 3, 6])

    def made(ids, offsets):
        rows, bag = distinct_tokens(ids, offsets, 6)
        merged = merge_repeats(bag, len(rows))
        return (
            rows,
            bag,
            merged,
            merged.collapsed(),
            merged.expand(),
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
            y, cache = forward(a, b, bag, operation, readout, scope)
            da, db = backward(y, cache)
            assert (
                y.shape == (bag.offsets[-1], columns * (2 if readout == "both" else 1))
                and y.dtype == da.dtype == db.dtype == dtype
            )
            assert da.shape == db.shape == a.shape and not da.any() and not db.any()


@every_combination
@both_scopes
@both_dtypes
def test_float32_on_the_host_has_an_implementation(operation, readout, scope, dtype):
    """With magnitudes per dimension and no atan2; all else goes to the equations. In C, where there is a compiler."""
    _, a, b, bag = case([4, 0, 3], 0, dtype=dtype)
    _, cache = forward(a, b, bag, operation, readout, scope)
    possible = dtype == np.float32 and scope == "dimension"
    known = operation in wave_pair_c.OPERATIONS and readout in wave_pair_c.READOUTS
    kind = wave_pair_cpu.Cache if possible and (operation, readout) in ON_CPU else equations.Expanded
    assert type(cache) is (wave_pair_c.Cache if possible and known and in_c() else kind)


def test_what_the_cpu_implementation_is_for():
    """A correlation has none; neither has the magnitude of a modulation, which is that of a bag (E17)."""
    assert ON_CPU == [
        ("interference", "real"),
        ("interference", "imaginary"),
        ("interference", "magnitude"),
        ("interference", "both"),
        ("modulation", "real"),
        ("modulation", "imaginary"),
        ("modulation", "both"),
    ]


def test_arrays_of_a_device_take_the_equations(device):
    rows, bag = ROWS.astype(np.float32), Bag(None, None, np.array([0, 3]))
    assert wave_pair_cpu.supports(rows, rows, bag, "modulation", "both")
    assert not wave_pair_cpu.supports(device(rows), device(rows), bag, "modulation", "both")


@every_combination
@both_scopes
@both_dtypes
@given(FORMS)
@examples(8)
def test_a_text_does_not_see_its_companions(operation, readout, scope, dtype, form):
    rng, a, b, bag = case([3, 2, 0, 12, 13, 12, 40], 0, form, vocabulary=20, dtype=dtype)
    dy = cotangent(rng, bag, 3, readout, dtype)
    y, cache = forward(a, b, bag, operation, readout, scope)
    sums = np.zeros(a.shape), np.zeros(b.shape)
    for start, stop in zip(bag.offsets, bag.offsets[1:]):
        rows = slice(start, stop)
        alone = Bag(
            bag.row_index[rows] if bag.row_index is not None else np.arange(start, stop),
            bag.weights()[rows],
            np.array([0, stop - start]),
        )
        if form == "repeated rows":
            alone = alone._replace(counts=None)
        z, cache_alone = forward(a, b, alone, operation, readout, scope)
        assert_equal(z, y[rows], 8 * np.finfo(dtype).eps)
        for total, slope in zip(sums, backward(dy[rows], cache_alone)):
            total += slope
    assert_equal(backward(dy, cache), sums, 20 * np.finfo(dtype).eps)


# --- refusals and negative controls ------------------------------------------------------------------------------


@both_scopes
@pytest.mark.parametrize(
    "corrupted",
    [
        lambda dy, cache: backward(dy, cache)[::-1],  # swapped
        lambda dy, cache: backward(dy, cache._replace(caches=cache.caches[1:2] + cache.caches[1:])),
        lambda dy, cache: backward(dy * cache.bag.weights()[:, None], cache),  # of each token instead of all
        lambda dy, cache: backward(dy, cache._replace(bag=cache.bag._replace(row_index=cache.bag.row_index[::-1]))),
    ],
    ids=["swapped", "one wave twice", "counts", "rows"],
)
def test_a_corrupted_backward_is_caught(scope, corrupted):
    _, a, b, bag = case([3, 0, 5], 0)
    assert caught(forward, corrupted, a, b, bag, "modulation", "both", scope)
