"""E25: the naive-Bayes shortcut, its ratios and its gradient."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.standard.naive_bayes import SCALE, log_count_ratios, naive_bayes_backward, naive_bayes_forward
from tests.support.device_stand_in import assert_computes_on_the_device
from tests.support.layer_laws import (
    LENGTHS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    caught,
    examples,
    offsets_of,
    random_rows,
)

SHARES = np.array([0.5, 0.2, 0.3])
LABELLED = np.array([[True, False, False]])


def case(lengths, seed):
    """(gain, ratios, offsets)."""
    rng, offsets = np.random.default_rng(seed), offsets_of(lengths)
    return random_rows(rng, 1)[0], random_rows(rng, offsets[-1]), offsets


def random_counts(rng, rows):
    """(counts (rows, 4), labelled (rows, 3)): of texts that may have several labels, each entry's text among them."""
    held = rng.integers(1, 6, rows)
    labelled = rng.random((rows, 3)) < 0.4
    others = rng.binomial(held[:, None] - 1, 0.4, (rows, 3))
    return np.column_stack([others + labelled, held]), labelled


def ratios_by_loops(counts, shares, labelled):
    """Entry by entry, from frequencies within a class and outside of it that are smoothed by imagined texts."""
    found = np.zeros((len(counts), len(shares)))
    for p, row in enumerate(counts.tolist()):
        for c, share in enumerate(shares.tolist()):
            own = 0 if labelled is None else int(labelled[p, c])
            left = 0 if labelled is None else 1
            within, outside = row[c] - own, row[-1] - left - (row[c] - own)
            found[p, c] = math.log((within + 2 * share) / share) - math.log((outside + 2 * (1 - share)) / (1 - share))
    return found


@given(LENGTHS, SEEDS)
@examples()
def test_gradient(lengths, seed):
    gain, ratios, offsets = case(lengths, seed)
    assert_exact_gradients(lambda g: naive_bayes_forward(g, ratios, offsets), naive_bayes_backward, gain)


@pytest.mark.parametrize("wrong", ["no scale", "dy of another text", "times g"])
def test_the_gradient_check_refuses_a_wrong_backward(wrong):
    gain, ratios, offsets = case([2, 3], 0)

    def backward(dy, cache):
        if wrong == "no scale":
            return naive_bayes_backward(dy, cache._replace(evidence=np.add.reduceat(ratios, offsets[:-1])))
        right = naive_bayes_backward(dy[::-1] if wrong == "dy of another text" else dy, cache)
        return right * gain if wrong == "times g" else right

    assert caught(lambda g: naive_bayes_forward(g, ratios, offsets), backward, gain)


@given(LENGTHS, SEEDS)
@examples()
def test_forward_against_loops(lengths, seed):
    gain, ratios, offsets = case(lengths, seed)
    expected = np.zeros((len(lengths), 3))
    for t, n in enumerate(lengths):
        for p in range(offsets[t], offsets[t + 1]):
            expected[t] += gain * SCALE * ratios[p] / math.sqrt(n)
    assert_equal(naive_bayes_forward(gain, ratios, offsets)[0], expected, 1e-13)


@given(st.integers(0, 6), SEEDS, st.booleans())
@examples()
def test_ratios_against_loops(rows, seed, leaving_out):
    counts, labelled = random_counts(np.random.default_rng(seed), rows)
    labelled = labelled if leaving_out else None
    found = log_count_ratios(counts, SHARES, labelled)
    assert_equal(found, ratios_by_loops(counts, SHARES, labelled), 1e-13)
    assert log_count_ratios(counts, SHARES.astype(np.float32), labelled).dtype == np.float32


def test_two_classes_of_one_size_have_the_ratios_of_the_source():
    """log (p/‖p‖₁)/(q/‖q‖₁) with p and q the counts plus 1, whose sums are alike."""
    counts = np.array([[3, 1, 4], [0, 2, 2], [1, 1, 2]])
    p, q = counts[:, 0] + 1, counts[:, 1] + 1
    expected = np.log((p / p.sum()) / (q / q.sum()))
    assert_equal(log_count_ratios(counts, np.array([0.5, 0.5])), np.column_stack([expected, -expected]), 1e-15)


def test_a_token_that_no_other_text_holds_says_nothing():
    """Never seen, or in this training text alone: exactly 0 in both dtypes."""
    for shares in (SHARES, SHARES.astype(np.float32)):
        assert not log_count_ratios(np.array([[0, 0, 0, 0]]), shares).any()
        assert not log_count_ratios(np.array([[1, 0, 0, 1]]), shares, LABELLED).any()
    assert log_count_ratios(np.array([[1, 0, 0, 1]]), SHARES)[0, 0] > 0.4  # with the text itself it tells the label


def test_a_token_alike_in_all_classes_says_nothing():
    np.testing.assert_allclose(log_count_ratios(np.array([[50, 20, 30, 100]]), SHARES), 0, atol=1e-15)


@pytest.mark.parametrize("share, count", [(0.0, 0), (1.0, 4)])
def test_a_class_of_no_text_or_of_all_has_ratio_zero(share, count):
    found = log_count_ratios(np.array([[count, 3, 4]]), np.array([share, 0.5]))
    assert found[0, 0] == 0 and found[0, 1] != 0


def test_a_text_that_was_not_counted_takes_nothing_below_zero():
    found = log_count_ratios(np.array([[0, 0, 0, 0], [0, 3, 0, 3]]), SHARES, np.repeat(LABELLED, 2, axis=0))
    assert np.isfinite(found).all() and not found[0].any()


def test_an_empty_text_gives_zero_and_adds_nothing():
    gain, ratios, offsets = case([0, 2, 0], 0)
    y, cache = naive_bayes_forward(gain, ratios, offsets)
    assert not y[[0, 2]].any() and y[1].any()
    dy = np.array([[1.0, 2, 3], [0, 0, 0], [4, 5, 6]])
    assert not naive_bayes_backward(dy, cache).any()


def test_known_values():
    ratios = np.array([[1.0], [2.0], [-1.0], [8.0], [5.0]])
    y, cache = naive_bayes_forward(np.array([0.5]), ratios, np.array([0, 4, 5]))
    np.testing.assert_array_equal(y, [[50.0], [50.0]])  # ten times 10/2 and 5/1
    np.testing.assert_array_equal(naive_bayes_backward(np.array([[3.0], [1.0]]), cache), [400.0])


def test_backward_computes_where_the_arrays_are(device):
    gain, ratios, offsets = case([2, 0, 3], 1)
    y, cache = naive_bayes_forward(gain, ratios, offsets)
    assert_computes_on_the_device(device, naive_bayes_backward, np.ones_like(y), cache)
