"""Accuracy and F1 against numbers worked out by hand."""

import numpy as np
import pytest

from engine.training.evaluation import ClassRow, confusion_counts, score


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


def test_a_class_that_is_neither_a_label_nor_predicted_does_not_count():
    found = score(np.array([0, 0]), np.array([0, 0]), ["a", "b"])
    assert found.macro_f1 == 1.0 and found.classes[1] == ClassRow("b", 0, 0.0, 0.0, 0.0)


def test_a_class_that_is_only_predicted_or_only_a_label_scores_zero():
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
