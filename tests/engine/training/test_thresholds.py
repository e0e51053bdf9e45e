"""Thresholds of classes, chosen by F1 on validation texts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.training.evaluation import evaluate_probabilities, score_sets
from engine.training.thresholds import STEPS, choose_thresholds


def f1_at(labels, probabilities, threshold):
    """2·TP/(2·TP + FP + FN) of all decisions, counted one by one."""
    hits = wrong = 0
    for wanted, p in zip(labels.ravel().tolist(), probabilities.ravel().tolist()):
        hits += wanted and p >= threshold
        wrong += wanted != (p >= threshold)
    return 2 * hits / max(1, 2 * hits + wrong)


def best_of_all(labels, probabilities):
    """The threshold of the largest F1 among all multiples of 1/STEPS, the nearest to 0.5, the lower of two."""
    candidates = [step / STEPS for step in range(1, STEPS)]
    return max(candidates, key=lambda t: (f1_at(labels, probabilities, t), -abs(t - 0.5), -t))


@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=15, deadline=None)
def test_no_other_threshold_is_better(texts, classes, seed, dtype):
    """Probabilities on the steps themselves too, and ties between texts."""
    rng = np.random.default_rng(seed)
    labels = rng.random((texts, classes)) < 0.4
    probabilities = rng.choice([0.0, 0.25, 0.5, 1.0, *rng.random(4)], (texts, classes)).astype(dtype)
    common = best_of_all(labels, probabilities) if labels.any() else 0.5
    assert choose_thresholds(labels, probabilities, "one").tolist() == [common] * classes
    each = [
        best_of_all(labels[:, [c]], probabilities[:, [c]]) if labels[:, c].any() else common for c in range(classes)
    ]
    assert choose_thresholds(labels, probabilities, "each").tolist() == each


def test_half_is_half_whatever_the_texts():
    labels, probabilities = np.array([[True, False]]), np.array([[0.1, 0.2]])
    assert choose_thresholds(labels, probabilities, "half").tolist() == [0.5, 0.5]
    assert choose_thresholds(labels, probabilities, "one").tolist() == [102 / STEPS] * 2  # 0.1 lies in step 102


@pytest.mark.parametrize("kind", ["one", "each"])
def test_without_any_label_thresholds_are_half(kind):
    assert choose_thresholds(np.zeros((3, 2), bool), np.full((3, 2), 0.1), kind).tolist() == [0.5, 0.5]


def by_loops(labels, predictions):
    """(subset accuracy, macro F1, micro F1), decision by decision."""
    texts, classes = labels.shape
    f1, all_hits, all_wrong = [], 0, 0
    for c in range(classes):
        hits = sum(bool(labels[t, c] and predictions[t, c]) for t in range(texts))
        wrong = sum(bool(labels[t, c] != predictions[t, c]) for t in range(texts))
        all_hits, all_wrong = all_hits + hits, all_wrong + wrong
        if hits + wrong:
            f1.append(2 * hits / (2 * hits + wrong))
    exact = sum(labels[t].tolist() == predictions[t].tolist() for t in range(texts)) / max(1, texts)
    return exact, sum(f1) / max(1, len(f1)), 2 * all_hits / max(1, 2 * all_hits + all_wrong)


@given(st.integers(0, 8), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_scores_of_sets_agree_with_loops(texts, classes, seed):
    rng = np.random.default_rng(seed)
    labels, predictions = rng.random((2, texts, classes)) < 0.4
    found = score_sets(labels, predictions, [str(c) for c in range(classes)])
    assert (found.accuracy, found.macro_f1, found.micro_f1) == pytest.approx(by_loops(labels, predictions))
    assert [row.texts for row in found.classes] == labels.sum(axis=0).tolist()


def test_scores_of_sets_agree_with_scikit_learn():
    judge = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    labels = rng.random((200, 6)) < [0.5, 0.3, 0.2, 0.1, 0.05, 0.01]
    predictions = labels ^ (rng.random((200, 6)) < 0.2)
    found = score_sets(labels, predictions, list("abcdef"))
    assert found.accuracy == pytest.approx(judge.accuracy_score(labels, predictions))
    assert found.micro_f1 == pytest.approx(judge.f1_score(labels, predictions, average="micro"))
    assert found.macro_f1 == pytest.approx(judge.f1_score(labels, predictions, average="macro"))
    expected = judge.precision_recall_fscore_support(labels, predictions, zero_division=0)
    assert np.array([row[2:] for row in found.classes]) == pytest.approx(np.array(expected[:3]).T)


def test_each_class_is_decided_by_its_own_threshold():
    """From the threshold on; the loss does not depend on it."""
    labels = np.array([[True, True], [False, False]])
    probabilities = np.array([[0.25, 0.75], [0.125, 0.5]])
    at_half = evaluate_probabilities(labels, probabilities, ["a", "b"])
    assert at_half.accuracy == 0 and at_half.micro_f1 == pytest.approx(2 / 4)
    own = evaluate_probabilities(labels, probabilities, ["a", "b"], np.array([0.25, 0.75]))
    assert own.accuracy == own.micro_f1 == own.macro_f1 == 1
    assert own.loss == at_half.loss == pytest.approx(-np.log([0.25, 0.75, 0.875, 0.5]).sum() / 2)


def test_a_probability_of_zero_has_a_finite_loss():
    labels = np.array([[True, False]])
    loss = evaluate_probabilities(labels, np.array([[0, 1]], np.float32), ["a", "b"]).loss
    assert loss == pytest.approx(-2 * np.log(np.finfo(np.float32).tiny))
