"""Weights of classes from the numbers of training texts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.support.errors import UserError
from engine.training.class_weights import class_weights, parse_weights
from engine.training.config import TrainingConfig

NAMES = ["a", "b", "c"]
LABELS = np.repeat([0, 1, 2], [1, 4, 16])
SETS = np.arange(20)[:, None] < [2, 10, 20]
EXACT = {  # (kind, values): weights of one label, and of a no and a yes of several
    ("balanced", ""): ([7, 1.75, 0.4375], [[5 / 9, 1, 1], [5, 1, 1]]),
    ("sqrt", ""): ([3, 1.5, 0.75], [[20 / 24, 1, 1], [60 / 24, 1, 1]]),  # 1/√18 and 1/√2 are as 1 and 3
    ("given", "c=0.5, a=4"): ([21 / 4, 21 / 16, 21 / 32], [[20 / 26, 1, 1], [80 / 26, 1, 1]]),
}


@pytest.mark.parametrize("kind, values", EXACT)
def test_the_weights_by_hand(kind, values):
    one, several = EXACT[kind, values]
    assert class_weights(kind, values, LABELS, NAMES) == pytest.approx(np.array(one))
    assert class_weights(kind, values, SETS, NAMES) == pytest.approx(np.array(several))


@given(st.integers(0, 2**32 - 1), st.sampled_from(["balanced", "sqrt", "given"]), st.booleans())
@settings(max_examples=20, deadline=None)
def test_the_mean_weight_of_a_text_is_one(seed, kind, several):
    rng = np.random.default_rng(seed)
    labels = rng.random((30, 3)) < 0.2 if several else rng.choice(3, 30, p=[0.9, 0.1, 0.0])
    weights = class_weights(kind, "a=3" if kind == "given" else "", labels, NAMES)
    of_texts = np.where(labels, weights[1], weights[0]) if several else weights[labels]
    assert of_texts.mean(axis=0) == pytest.approx(np.ones(3) if several else 1.0)
    assert (weights > 0).all()


def test_without_weights_there_are_none():
    assert class_weights("none", "", LABELS, NAMES) is None


def test_a_name_may_have_an_equals_sign():
    assert parse_weights("a=b=2, c = 1e-1,") == {"a=b": 2.0, "c": 0.1}


@pytest.mark.parametrize("text", ["a", "=1", "a=", "a=x", "a=0", "a=-1", "a=inf", "a=nan", "a=1,a=2"])
def test_wrong_values_are_named(text):
    with pytest.raises(UserError, match="^class_weight_values: "):
        TrainingConfig(class_weights="given", class_weight_values=text)


def test_values_and_kind_must_fit_together():
    with pytest.raises(UserError, match="values are needed and class_weights is given"):
        TrainingConfig(class_weights="given")
    with pytest.raises(UserError, match="values are given and class_weights is none"):
        TrainingConfig(class_weight_values="a=1")


def test_an_unknown_class_is_named_with_those_there_are():
    with pytest.raises(UserError, match="no class 'd'.*the classes are 'a', 'b', 'c'"):
        class_weights("given", "d=2", LABELS, NAMES)
