"""What is measured of predictions: accuracy, and F1 per class and averaged.

    precision_c = TP_c/(TP_c + FP_c)     recall_c = TP_c/(TP_c + FN_c)     F1_c = 2·TP_c/(2·TP_c + FP_c + FN_c)

Macro F1 is the plain mean over the classes that occur among labels or predictions.
"""

from typing import NamedTuple

import numpy as np


class ClassRow(NamedTuple):
    name: str
    texts: int
    precision: float
    recall: float
    f1: float


class Evaluation(NamedTuple):
    """accuracy and macro_f1 in [0, 1]; loss: mean cross-entropy in nat; classes: a ClassRow each."""

    accuracy: float
    macro_f1: float
    loss: float
    classes: list


def confusion_counts(labels, predictions, count):
    """labels, predictions: (B,) class numbers below `count` → (count, count) int64: texts of each class, a row, by predicted class."""
    return np.bincount(labels * count + predictions, minlength=count * count).reshape(count, count)


def score(labels, predictions, names, loss=float("nan")):
    """labels, predictions: (B,) class numbers; names: of the classes → Evaluation. Quotients 0/0 count as 0."""
    confusion = confusion_counts(labels, predictions, len(names))
    hits, actual, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = hits / np.maximum(predicted, 1), hits / np.maximum(actual, 1)
    f1 = 2 * hits / np.maximum(predicted + actual, 1)
    occurs = predicted + actual > 0
    rows = [ClassRow(*row) for row in zip(names, actual.tolist(), precision.tolist(), recall.tolist(), f1.tolist())]
    accuracy = hits.sum() / max(1, len(labels))
    return Evaluation(float(accuracy), float(f1[occurs].mean()) if occurs.any() else 0.0, float(loss), rows)
