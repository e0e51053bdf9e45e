"""E17 in C: exact sums by fractions, the same by NumPy, and what goes through it."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays.bag import Bag
from layers.fast import FUNCTIONS, bag_magnitude_c, bag_magnitude_cpu, wave_pair_c
from tests.support.layer_laws import LENGTHS, SEEDS, examples
from tests.support.random_bags import BAGS, of_texts, random_bag, tokens_of

pytestmark = pytest.mark.skipif(not bag_magnitude_c.FUNCTIONS.is_usable(), reason="no C compiler")
FORMS = st.sampled_from(BAGS)


def rows_and_bag(lengths, seed, form, columns=3):
    """(rng, x (U, d) float32 with zeros, tiny and huge numbers, Bag)."""
    rng = np.random.default_rng(seed)
    rows, bag = random_bag(rng, lengths, form)
    scales = rng.choice([0.0, 1e-30, 1.0, 1e15], (rows, columns))
    return rng, (rng.standard_normal((rows, columns)) * scales).astype(np.float32), bag


@given(LENGTHS, SEEDS, FORMS)
@examples(40)
def test_magnitudes(lengths, seed, form):
    """Within the rounding of n sums in float64 of the exact number; 0 for an empty text."""
    _, x, bag = rows_and_bag(lengths, seed, form)
    G = bag_magnitude_c.magnitudes(x, bag)
    assert G.dtype == np.float64 and G.shape == (len(lengths), 3)
    for of_text, tokens in zip(G, tokens_of(bag)):
        for k, found in enumerate(of_text):
            exact = sum((Fraction(float(x[row, k])) ** 2 for _, row in tokens), Fraction(0))
            assert math.isclose(found, math.sqrt(exact), rel_tol=(len(tokens) + 2) * 2**-53)


@given(LENGTHS, SEEDS, FORMS)
@examples(40)
def test_slopes(lengths, seed, form):
    """One rounding to float32 of sums in float64; 0 for rows of no text."""
    rng, x, bag = rows_and_bag(lengths, seed, form)
    h = rng.standard_normal((len(lengths), 3))
    dx = bag_magnitude_c.slopes(x, h, bag)
    sums, sizes = [[[Fraction(0)] * 3 for _ in x] for _ in range(2)]
    for t, tokens in enumerate(tokens_of(bag)):
        for _, row in tokens:
            for k in range(3):
                sums[row][k] += Fraction(float(h[t, k]))
                sizes[row][k] += abs(Fraction(float(h[t, k])))
    count = sum(lengths) + 2
    for row, k in np.ndindex(*x.shape):
        exact, size = (float(s[row][k] * Fraction(float(x[row, k]))) for s in (sums, sizes))
        assert abs(float(dx[row, k]) - exact) <= abs(exact) * 2**-23 + abs(size) * count * 2**-53 + 2**-149


@pytest.mark.parametrize("form", BAGS)
def test_the_bits_are_the_same_again_and_in_wide_arrays(form):
    rng, x, bag = rows_and_bag([3, 0, 40, 1, 5], 0, form, columns=70)
    h = rng.standard_normal((5, 70))
    whole = bag_magnitude_c.magnitudes(x, bag), bag_magnitude_c.slopes(x, h, bag)
    for columns in (slice(0, 70), slice(3, 4), slice(10, 43)):
        part = np.ascontiguousarray(x[:, columns])
        assert np.array_equal(bag_magnitude_c.magnitudes(part, bag), whole[0][:, columns])
        assert np.array_equal(bag_magnitude_c.slopes(part, h[:, columns], bag), whole[1][:, columns])


def test_no_texts_and_no_rows():
    x, bag = np.zeros((0, 4), np.float32), Bag(np.zeros(0, np.int64), None, np.zeros(1, np.int64))
    assert bag_magnitude_c.magnitudes(x, bag).shape == (0, 4)
    assert bag_magnitude_c.slopes(x, np.zeros((0, 4)), bag).shape == (0, 4)


@pytest.mark.parametrize(
    "x, usable",
    [
        (np.zeros((2, 3), np.float32), True),
        (np.zeros((2, 3)), False),
        (np.zeros((2, 3), np.float32).T, False),
        ([[1.0]], False),
    ],
)
def test_what_they_compute(x, usable):
    assert bag_magnitude_c.is_usable(x) == usable


@given(LENGTHS, SEEDS, FORMS, st.booleans(), st.booleans(), st.booleans())
@examples(60)
def test_both_directions_agree_with_numpy(lengths, seed, form, has_bias_a, has_bias_b, has_segments):
    """To one rounding to float32, where magnitudes are 0, too."""
    rng, a, bag = rows_and_bag(lengths, seed, form)
    b = np.ascontiguousarray(a[::-1]) * np.float32(3)
    biases = [np.float32([0.5, 0, -1]) if has else None for has in (has_bias_a, has_bias_b)]
    second = of_texts(bag) if has_segments else None
    dy = rng.standard_normal((len(lengths), 3)).astype(np.float32)
    found = []
    for module in (bag_magnitude_c, bag_magnitude_cpu):
        y, cache = module.forward(a, b, bag, *biases, second)
        found.append((y, *module.backward(dy, cache)))
    for one, other in zip(*found):
        assert one.dtype == np.float32 and np.allclose(one, other, rtol=3e-7, atol=0)


def test_e17_goes_through_it(monkeypatch):
    rng, x, bag = rows_and_bag([3, 0, 5], 1, "merged")
    forward, backward = FUNCTIONS["fast"].pairs["bag_magnitude"]
    for name in ("forward", "backward"):
        monkeypatch.setattr(bag_magnitude_cpu, name, lambda *_: pytest.fail("NumPy"))
    y, cache = forward(x, x, bag)
    assert isinstance(cache, bag_magnitude_c.Cache)
    backward(y, cache)
    monkeypatch.setenv("WAVE_C", "off")
    assert not bag_magnitude_c.supports(x, x, bag)


def test_only_one_branch_in_c_order():
    rng, x, bag = rows_and_bag([3, 0, 5], 1, "merged")
    forward, backward = FUNCTIONS["fast"].pairs["bag_magnitude"]
    results = []
    for b in (x, np.asfortranarray(x)):
        y, cache = forward(x, b, bag)
        results.append((y, *backward(np.ones_like(y), cache)))
    for one, other in zip(*results):
        assert np.allclose(one, other, rtol=3e-7, atol=0)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"row_index": np.array([0, 10**9])}, r"row_index: must lie in \[0, 3\), got 1000000000"),
        ({"row_index": np.array([0, -1])}, "row_index: must lie in"),
        ({"offsets": np.array([0, 9])}, "offsets: must run from 0"),
        ({"offsets": np.array([0, 3, 2])}, "offsets: must not fall"),
        ({"counts": np.array([1])}, "counts: expected 2, got 1"),
    ],
)
def test_indices_outside_of_an_array(change, message):
    bag = Bag(np.array([0, 2]), np.array([1, 2]), np.array([0, 2]))._replace(**change)
    x = np.ones((3, 2), np.float32)
    with pytest.raises(ValueError, match=message):
        bag_magnitude_c.magnitudes(x, bag)
    with pytest.raises(ValueError, match=message):
        wave_pair_c.forward(x, x, bag, "interference", "real")
