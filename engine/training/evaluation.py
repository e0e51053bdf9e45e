"""A network's predictions on many texts.

What is measured of predictions: accuracy, and F1 per class and averaged.

    precision_c = TP_c/(TP_c + FP_c)     recall_c = TP_c/(TP_c + FN_c)     F1_c = 2·TP_c/(2·TP_c + FP_c + FN_c)

Macro F1 is the plain mean over the classes that occur among labels or predictions.

Where a number first stopped being finite.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.backend import array_module, to_host
from engine.data.batching import ordered_batches, take


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


def predict_probabilities(network, texts, batch_size=128):
    """texts: RaggedBatch of N texts on the host → (N, C) float array of class probabilities on the host, in the order of the texts."""
    parts, rows = [], []
    for batch_rows, probabilities in batch_probabilities(network, texts, batch_size):
        parts.append(probabilities)
        rows.append(batch_rows)
    if not parts:
        return to_host(network.probabilities(texts))
    probabilities = np.concatenate(parts)
    ordered = np.empty_like(probabilities)
    ordered[np.concatenate(rows)] = probabilities
    return ordered


def batch_probabilities(network, texts, batch_size):
    """(row numbers, (rows, C) probabilities on the host) of one batch after the other, each text in one of them."""
    for rows in ordered_batches(texts.offsets, batch_size):
        yield rows, to_host(network.probabilities(take(texts, rows)._replace(labels=None)))


def predict_classes(network, texts, batch_size=128):
    """Like predict_probabilities → the class of the largest, (N,) int64, and that probability, (N,) float64: kept for no other class."""
    count = len(texts.offsets) - 1
    classes, probability = np.zeros(count, np.int64), np.zeros(count)
    for rows, probabilities in batch_probabilities(network, texts, batch_size):
        classes[rows], probability[rows] = probabilities.argmax(axis=1), probabilities.max(axis=1)
    return classes, probability


def evaluate(network, texts, names, batch_size=128):
    """Evaluation (accuracy, macro F1, loss, rows per class) on a labelled RaggedBatch."""
    return evaluate_probabilities(texts.labels, predict_probabilities(network, texts, batch_size), names)


def evaluate_probabilities(labels, probabilities, names):
    """Evaluation of (N, C) class probabilities for N labels.

    The loss counts a probability as at least the smallest normal float32.
    """
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    loss = -np.log(np.maximum(of_label, np.finfo(np.float32).tiny)).mean() if len(of_label) else 0.0
    return score(labels, probabilities.argmax(axis=1), names, loss)


def first_nonfinite(cache, path=""):
    """The dotted path of the first array with a NaN or an infinity in a cache (a tree of NamedTuples, tuples, arrays).

    Caches list their parts in the order of computation, so the path names the layer in which things went wrong.
    None where everything is finite.
    """
    if isinstance(cache, (tuple, list)):
        names = getattr(cache, "_fields", None) or range(len(cache))
        parts = ((f"{path}.{name}" if path else str(name), part) for name, part in zip(names, cache))
        return next((found for found in (first_nonfinite(part, where) for where, part in parts) if found), None)
    if getattr(cache, "dtype", None) is not None and cache.dtype.kind in "fc":
        return None if bool(array_module(cache).isfinite(cache).all()) else path
    return None
