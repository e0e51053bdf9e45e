"""What is taken for what, against counts by hand, and the texts that were held out, against those that were."""

import numpy as np
import pytest

from engine.data.config import DataConfig
from engine.data.prepare import encode_labelled, prepare
from engine.data.texts import Corpus, LabelledTexts
from engine.report.errors import MISTAKES, PAIRS, Confused, Mistake, held_out, largest_confusions, measured
from engine.training.calibration import calibrate


def test_counts_and_mistakes_by_hand():
    labels, predicted = np.array([0, 0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 2, 0])
    found = measured(
        "test", ["a", "b", "c"], list("tuvwxyz"), labels, predicted, np.array([0.9, 0.6, 0.8, 0.7, 0.95, 0.4, 0.8])
    )
    assert found.confusion.tolist() == [[1, 2, 0], [1, 1, 0], [1, 0, 1]]
    assert found.mistakes == [
        Mistake("b", "a", 0.95, "x"),
        Mistake("a", "b", 0.8, "v"),
        Mistake("c", "a", 0.8, "z"),
        Mistake("a", "b", 0.6, "u"),
    ]
    assert (found.split, found.accuracy) == ("test", 3 / 7) and [row.recall for row in found.classes] == [
        1 / 3,
        1 / 2,
        1 / 2,
    ]
    assert found.calibration == calibrate(labels == predicted, np.array([0.9, 0.6, 0.8, 0.7, 0.95, 0.4, 0.8]))
    assert largest_confusions(found.names, found.confusion) == [
        Confused("a", "b", 2, 3),
        Confused("b", "a", 1, 2),
        Confused("c", "a", 1, 2),
    ]


def test_of_many_mistakes_and_confusions_the_largest_are_kept():
    labels = np.repeat(np.arange(20), 20)
    predicted = np.concatenate([np.where(np.arange(20) < row, (row + 1) % 20, row) for row in range(20)])
    probability = np.random.default_rng(0).permutation(len(labels)) / len(labels)
    found = measured(
        "test", [str(row) for row in range(20)], [str(row) for row in range(400)], labels, predicted, probability
    )
    assert [pair.texts for pair in largest_confusions(found.names, found.confusion)] == list(range(19, 19 - PAIRS, -1))
    wrong = np.sort(probability[labels != predicted])[::-1]
    assert [one.probability for one in found.mistakes] == wrong[:MISTAKES].tolist()
    assert all(one.text == str(np.flatnonzero(probability == one.probability)[0]) for one in found.mistakes)


def test_without_mistakes_there_are_none_to_show():
    found = measured("test", ["a", "b"], ["x", "y"], np.array([0, 1]), np.array([0, 1]), np.ones(2))
    assert found.mistakes == [] and largest_confusions(found.names, found.confusion) == []


@pytest.mark.parametrize("seed", [0, 1])
def test_the_held_out_texts_are_those_that_the_training_held_out(tmp_path, seed):
    labels = ["a", "b", "b"] * 20
    train = LabelledTexts(
        [f"word{row} of {label}" for row, label in enumerate(labels)], labels, "file.csv", list(range(2, 62))
    )
    config = DataConfig(train_file="file.csv", vocabulary_size=300, validation_fraction=0.25)
    data = prepare(config, Corpus("files", train), seed, cache_dir=tmp_path)
    texts = held_out(train, config, seed)
    batch = encode_labelled(config, data.vocabulary, data.classes, texts)
    assert 0 < len(texts) < 60 and all(np.array_equal(a, b) for a, b in zip(batch, data.validation))
    assert texts.texts[0] == train.texts[texts.lines[0] - 2]  # the line it stood in
