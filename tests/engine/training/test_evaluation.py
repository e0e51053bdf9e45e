"""Predictions stand in the order of the texts, whatever the batches."""

import numpy as np
import pytest

from engine.arrays.ragged import RaggedBatch
from engine.data.batching import take
from engine.training.evaluation import evaluate, predict_classes, predict_probabilities
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


def test_a_class_held_impossible_costs_much_but_not_infinitely_much():
    class Sure:
        def probabilities(self, batch):
            return np.tile(np.array([1, 0], np.float32), (len(batch.offsets) - 1, 1))

    batch = texts([1, 1], classes=1)._replace(labels=np.array([0, 1]))
    result = evaluate(Sure(), batch, ["a", "b"])
    assert result.loss == pytest.approx(-np.log(np.finfo(np.float32).tiny) / 2) and result.accuracy == 0.5
