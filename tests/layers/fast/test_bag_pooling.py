"""Pooling over a bag: by weighted sums, and composed of E14 over all tokens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays.bag import Bag
from layers.fast import FUNCTIONS, bag_pooling_cpu
from layers.standard.pooling import POOLINGS, pooling_backward, pooling_forward
from tests.support.device_stand_in import assert_computes_on_the_device
from tests.support.layer_laws import (
    LENGTHS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    random_rows,
)
from tests.support.random_bags import BAGS, random_bag, tokens_of

FORMS = st.sampled_from(BAGS)
every_kind = pytest.mark.parametrize("kind", POOLINGS)
forward, backward = FUNCTIONS["fast"].pairs["bag_pooling"]
composed_forward, composed_backward = FUNCTIONS["equations"].pairs["bag_pooling"]


def case(lengths, seed, form="merged", columns=3):
    """(rng, x, Bag)."""
    rng = np.random.default_rng(seed)
    rows, bag = random_bag(rng, lengths, form)
    return rng, random_rows(rng, rows, columns), bag


def test_it_is_computed_by_weighted_sums():
    _, x, bag = case([3, 1], 0)
    assert isinstance(forward(x, bag, "mean")[1], bag_pooling_cpu.Cache)


@every_kind
@given(LENGTHS, SEEDS, FORMS)
@examples()
def test_gradient(kind, lengths, seed, form):
    _, x, bag = case(lengths, seed, form)
    for pair in ((forward, backward), (composed_forward, composed_backward)):
        assert_exact_gradients(*pair, x, bag, kind)
        assert_five_point_gradients(*pair, x, bag, kind)


@every_kind
@given(LENGTHS, SEEDS, FORMS)
@examples()
def test_equals_pooling_of_all_tokens(kind, lengths, seed, form):
    """A row counts as often as it stands in a text."""
    rng, x, bag = case(lengths, seed, form)
    rows = [np.array([row for _, row in text], np.int64) for text in tokens_of(bag)]
    offsets = np.cumsum([0, *map(len, rows)])
    expected, inner = pooling_forward(x[np.concatenate(rows)], offsets, kind)
    dy = rng.standard_normal(expected.shape)
    dx = np.zeros_like(x)
    np.add.at(dx, np.concatenate(rows), pooling_backward(dy, inner))
    for one, other in ((forward, backward), (composed_forward, composed_backward)):
        y, cache = one(x, bag, kind)
        assert_equal((y, other(dy, cache)), (expected, dx), 1e-14)


@every_kind
def test_counts_of_one_change_nothing(kind):
    _, x, bag = case([0, 4, 1, 5], 0, "rows of their own")
    y, cache = forward(x, bag, kind)
    ones, ones_cache = forward(x, bag._replace(counts=np.ones(len(x), np.int64)), kind)
    assert_equal((ones, backward(y, ones_cache)), (y, backward(y, cache)))


@pytest.mark.parametrize("kind", ["max", "cls"])
def test_maxima_and_first_tokens_do_not_see_counts(kind):
    _, x, bag = case([0, 4, 1, 5], 0)
    y, cache = forward(x, bag, kind)
    once, once_cache = forward(x, bag._replace(counts=None), kind)
    assert_equal((y, backward(y, cache)), (once, backward(y, once_cache)))


def test_the_mean_of_counted_rows():
    bag = Bag(None, np.array([3, 1]), np.array([0, 0, 2]))
    y, cache = forward(np.array([[1.0], [5.0]]), bag, "mean")
    assert y.tolist() == [[0.0], [2.0]]
    assert backward(np.array([[7.0], [8.0]]), cache).tolist() == [[6.0], [2.0]]


@pytest.mark.parametrize(
    "counts, offsets, weights",
    [
        (None, [0, 1, 2, 3], np.eye(3)),
        ([3, 1, 7], [0, 1, 2, 3], np.eye(3)),
        ([3, 0, 7], [0, 1, 2, 3], np.diag([1, 0, 1])),
        (None, [0, 2, 2, 3], [[0.5, 0.5, 0], [0, 0, 0], [0, 0, 1]]),
        ([3, 1, 7], [0, 2, 2, 3], [[0.75, 0.25, 0], [0, 0, 0], [0, 0, 1]]),
    ],
)
def test_as_many_texts_as_rows(counts, offsets, weights):
    """A text with one row is that row; not so where there are as many rows by chance."""
    bag, x = Bag(None, counts and np.array(counts), np.array(offsets)), np.array([[1.0], [5.0], [0.1]])
    y, cache = forward(x, bag, "mean")
    assert_equal((y, backward(x, cache)), (weights @ x, np.transpose(weights) @ x), 1e-15)


def test_float32_mean_of_a_long_text_does_not_drift():
    x = np.full((300_000, 1), 0.1, np.float32)
    for counts in (None, np.full(len(x), 1), np.full(len(x), 3)):
        y, _ = forward(x, Bag(None, counts, np.array([0, len(x)])), "mean")
        np.testing.assert_allclose(y, np.float32(0.1), rtol=1.2e-7)


@every_kind
@pytest.mark.parametrize("form", BAGS)
def test_the_gradient_is_taken_on_the_device_of_its_cotangent(device, kind, form):
    _, x, bag = case([0, 3, 0, 1, 4], 0, form)
    y, cache = forward(x, bag, kind)
    assert_computes_on_the_device(device, backward, y, cache)


def test_forgotten_counts_are_caught():
    def corrupted(dy, cache):
        return backward(dy, cache._replace(bag=cache.bag._replace(counts=np.ones_like(cache.bag.counts))))

    _, x, bag = case([3, 0, 5], 0)
    assert caught(forward, corrupted, x, bag, "mean")
