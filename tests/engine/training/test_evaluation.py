"""Predictions in the order of the texts, measures against numbers worked out by hand, numbers that are not finite."""

from typing import NamedTuple

import numpy as np
import pytest

from engine.arrays.ragged import RaggedBatch
from engine.data.batching import take
from engine.training.evaluation import (
    ClassRow,
    confusion_counts,
    evaluate,
    first_nonfinite,
    predict_classes,
    predict_probabilities,
    score,
)
from layers.networks import WaveNetwork, WaveNetworkConfig


def texts(counts, seed=0, vocabulary=30, classes=3):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return RaggedBatch(
        rng.integers(0, vocabulary, offsets[-1]).astype(np.int32), offsets, rng.integers(0, classes, len(counts))
    )


@pytest.fixture(scope="module")
def network():
    return WaveNetwork(WaveNetworkConfig(dimension=8, hidden=8, dropout=0.5, token_dropout=0.5), 30, 3)


COUNTS = [5, 1, 9, 2, 2, 30, 1, 7, 3, 4]


@pytest.mark.parametrize("batch_size", [1, 3, 128])
def test_every_text_has_the_row_it_would_have_alone(network, batch_size):
    batch = texts(COUNTS)
    found = predict_probabilities(network, batch, batch_size=batch_size)
    alone = np.concatenate([network.probabilities(take(batch, np.array([row]))) for row in range(len(COUNTS))])
    np.testing.assert_allclose(found, alone, rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    assert len(np.unique(found.round(6), axis=0)) == len(COUNTS)


def test_labels_are_not_looked_at_to_predict(network):
    batch = texts(COUNTS)
    assert np.array_equal(
        predict_probabilities(network, batch), predict_probabilities(network, batch._replace(labels=None))
    )


def test_no_texts_have_no_rows(network):
    found = predict_probabilities(network, texts([]))
    assert found.shape == (0, 3) and found.dtype == np.float32
    result = evaluate(network, texts([]), ["a", "b", "c"])
    assert result.accuracy == result.loss == 0


@pytest.mark.parametrize("batch_size", [1, 3, 128])
def test_classes_are_those_of_the_largest_probabilities(network, batch_size):
    batch = texts(COUNTS)
    classes, probability = predict_classes(network, batch, batch_size)
    expected = predict_probabilities(network, batch)
    assert np.array_equal(classes, expected.argmax(axis=1)) and len(set(classes)) > 1
    np.testing.assert_allclose(probability, expected.max(axis=1), rtol=1e-5)
    assert [array.shape for array in predict_classes(network, texts([]))] == [(0,), (0,)]


def test_an_evaluation_is_that_of_the_predictions(network):
    batch = texts(COUNTS)
    probabilities = predict_probabilities(network, batch)
    result = evaluate(network, batch, ["a", "b", "c"], batch_size=3)
    assert result.accuracy == pytest.approx((probabilities.argmax(axis=1) == batch.labels).mean())
    assert result.loss == pytest.approx(-np.log(probabilities[range(len(COUNTS)), batch.labels]).mean(), rel=1e-5)
    assert [row.texts for row in result.classes] == np.bincount(batch.labels, minlength=3).tolist()


def test_a_class_held_impossible_has_a_finite_loss():
    """A class held impossible costs much but not infinitely much."""

    class Sure:
        def probabilities(self, batch):
            return np.tile(np.array([1, 0], np.float32), (len(batch.offsets) - 1, 1))

    batch = texts([1, 1], classes=1)._replace(labels=np.array([0, 1]))
    result = evaluate(Sure(), batch, ["a", "b"])
    assert result.loss == pytest.approx(-np.log(np.finfo(np.float32).tiny) / 2) and result.accuracy == 0.5


def test_the_scores_of_a_small_case_by_hand():
    labels, predictions = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    found = score(labels, predictions, ["a", "b", "c"], loss=0.5)
    assert found.accuracy == 4 / 6
    assert found.classes == [
        ClassRow("a", 3, 1.0, 2 / 3, 0.8),
        ClassRow("b", 2, 0.5, 0.5, 0.5),
        ClassRow("c", 1, 0.5, 1.0, 2 / 3),
    ]
    assert found.macro_f1 == pytest.approx((0.8 + 0.5 + 2 / 3) / 3) and found.loss == 0.5


def test_confusions_are_counted_with_a_row_for_each_label():
    found = confusion_counts(np.array([0, 0, 2, 2, 2]), np.array([1, 1, 0, 2, 2]), 4)
    assert found.tolist() == [[0, 2, 0, 0], [0, 0, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
    assert confusion_counts(np.zeros(0, np.int64), np.zeros(0, np.int64), 2).tolist() == [[0, 0], [0, 0]]


def test_a_class_that_never_occurs_does_not_count():
    """A class that is neither a label nor predicted does not count."""
    found = score(np.array([0, 0]), np.array([0, 0]), ["a", "b"])
    assert found.macro_f1 == 1.0 and found.classes[1] == ClassRow("b", 0, 0.0, 0.0, 0.0)


def test_a_class_only_predicted_or_only_a_label_scores_zero():
    """A class that is only predicted or only a label scores zero."""
    found = score(np.array([0, 1]), np.array([0, 2]), ["a", "b", "c"])
    assert found.macro_f1 == pytest.approx(1 / 3) and [row.f1 for row in found.classes] == [1.0, 0.0, 0.0]


def test_no_texts_score_zero():
    found = score(np.zeros(0, np.int64), np.zeros(0, np.int64), ["a", "b"])
    assert found.accuracy == found.macro_f1 == 0.0


def test_all_numbers_are_plain_so_that_they_can_be_saved():
    found = score(np.array([0, 1]), np.array([0, 1]), ["a", "b"], np.float32(1))
    assert [type(x) for x in found[:3]] == [float] * 3
    assert [type(x) for x in found.classes[0]] == [str, int, float, float, float]


def test_scores_agree_with_scikit_learn():
    judge = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200)
    predictions = np.where(rng.random(200) < 0.5, labels, rng.integers(0, 7, 200))
    found = score(labels, predictions, list("abcdefgh"))
    assert found.accuracy == pytest.approx(judge.accuracy_score(labels, predictions))
    assert found.macro_f1 == pytest.approx(judge.f1_score(labels, predictions, average="macro"))
    expected = judge.precision_recall_fscore_support(labels, predictions, labels=range(8), zero_division=0)
    assert np.array([row[2:] for row in found.classes]) == pytest.approx(np.array(expected[:3]).T)
    assert [row.texts for row in found.classes] == expected[3].tolist()


class Inner(NamedTuple):
    ids: object
    weight: object
    shape: tuple = (3, 2)


class Outer(NamedTuple):
    first: object
    nothing: object
    parts: tuple


def tree(first=1.0, second=1.0, third=1.0, dtype=np.float32):
    leaves = [Inner(np.array([1, 2]), np.array([1.0, x], dtype)) for x in (first, second, third)]
    return Outer(leaves[0], None, (leaves[1], [leaves[2]]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_the_first_in_the_order_of_computation_is_named(bad, dtype):
    assert first_nonfinite(tree(third=bad, dtype=dtype)) == "parts.1.0.weight"
    assert first_nonfinite(tree(second=bad, third=bad, dtype=dtype)) == "parts.0.weight"
    assert first_nonfinite(tree(first=bad, second=bad, dtype=dtype)) == "first.weight"


def test_nothing_is_named_where_all_is_finite_or_no_float():
    assert first_nonfinite(tree()) is None
    assert first_nonfinite((None, 3, "text", np.array([1]), np.zeros(0), ())) is None


def test_a_path_goes_on_from_where_it_is_told():
    assert first_nonfinite((1, np.array([np.nan])), "cache") == "cache.1"
    assert first_nonfinite(np.array([np.nan]), "x") == "x"
    assert first_nonfinite(np.array([np.nan])) is not None
