"""Factors of classes: the macro F1 of each step, the search, and its guard against overfitting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.training.class_factors import (
    FEWEST,
    GRID,
    PENALTY,
    ZERO,
    best_step,
    choose_factors,
    decide,
    f1_of_steps,
    macro_f1,
    mean_factors,
)
from engine.training.evaluation import score


def drawn(count, prior, seed, gap=1.5):
    """(labels, probabilities) of texts whose classes have these shares, by Bayes' rule."""
    rng, classes = np.random.default_rng(seed), len(prior)
    labels = rng.choice(classes, count, p=prior)
    z = rng.standard_normal((count, classes)) + np.log(prior)
    z[np.arange(count), labels] += gap
    p = np.exp(z)
    return labels, p / p.sum(axis=1, keepdims=True)


@given(st.integers(1, 40), st.integers(2, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_the_f1_of_each_step_is_that_of_its_predictions(count, classes, seed):
    """Classes without texts too."""
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(0, classes, count), rng.standard_normal((count, classes))
    offsets, c = GRID[rng.integers(0, len(GRID), classes)], int(rng.integers(classes))
    found = f1_of_steps(labels, scores, offsets, c)
    for step, f1 in zip(GRID, found):
        offsets[c] = step
        assert f1 == pytest.approx(macro_f1(labels, (scores + offsets).argmax(axis=1), classes), abs=1e-12)


def test_macro_f1_is_that_of_an_evaluation():
    labels, p = drawn(60, [0.7, 0.2, 0.1], 0)
    predicted = p.argmax(axis=1)
    assert macro_f1(labels, predicted, 3) == pytest.approx(score(labels, predicted, ["a", "b", "c"]).macro_f1)


@pytest.mark.parametrize(
    "steps, gain, expected",
    [
        ([ZERO - 1, ZERO, ZERO + 1], 0.1, ZERO),
        ([3, ZERO + 2, ZERO + 3], 0.1, ZERO + 2),
        ([ZERO + 8], 1.1 * PENALTY, ZERO + 8),  # an offset of 1
        ([ZERO + 8], 0.9 * PENALTY, ZERO),
    ],
)
def test_a_step_is_taken_for_a_gain_above_its_penalty(steps, gain, expected):
    """Of several that of the smallest offset."""
    f1 = np.full(len(GRID), 0.5)
    f1[steps] += gain
    assert best_step(f1) == expected


def test_factors_raise_the_macro_f1_of_other_texts():
    """Of a class of 2 %: from the probabilities of a network that has learned the right ones."""
    prior = [0.9, 0.08, 0.02]
    factors, (labels, p) = choose_factors(*drawn(3000, prior, 0)), drawn(20_000, prior, 1)
    before, after = (macro_f1(labels, decide(p, some), 3) for some in (None, factors))
    assert after > before + 0.1
    assert (decide(p, factors) == 2).mean() > (decide(p, None) == 2).mean()


def test_a_rule_that_does_not_help_other_texts_is_plain_argmax():
    """Labels that have nothing to do with the probabilities, but for their shares."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 60)
    p = np.stack([labels * 0.8 + 0.1, 0.9 - labels * 0.8], axis=1)[:, ::-1]  # all right
    assert choose_factors(labels, p).tolist() == [1.0, 1.0]


def test_a_class_of_too_few_texts_keeps_its_offset():
    labels, p = drawn(400, [0.85, 0.15 - 1e-9, 1e-9], 0)
    for count, is_free in ((FEWEST - 1, False), (40, True)):
        rare, of_rare = np.full(count, 2), np.tile([0.9, 0.05, 0.05], (count, 1))
        factors = choose_factors(np.concatenate([labels, rare]), np.concatenate([p, of_rare]))
        assert (factors[2] != 1) == is_free
        assert factors[0] != 1 or factors[1] != 1


def test_without_two_classes_to_move_nothing_moves():
    assert choose_factors(np.zeros(20, int), np.full((20, 3), 1 / 3)).tolist() == [1, 1, 1]
    assert choose_factors(np.zeros(0, int), np.zeros((0, 2))).tolist() == [1, 1]


def test_the_factors_of_runs_have_a_geometric_mean():
    assert mean_factors([None, None], 2) is None
    assert mean_factors([np.array([4.0, 0.25]), None], 2) == pytest.approx([2.0, 0.5])
