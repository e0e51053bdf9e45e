"""A network's predictions on many texts."""

import numpy as np

from engine.backend import to_host
from engine.data.batching import ordered_batches, take
from engine.training.metrics import score


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
    """Evaluation of (N, C) class probabilities for N labels. The loss counts a probability as at least the smallest normal float32."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    loss = -np.log(np.maximum(of_label, np.finfo(np.float32).tiny)).mean() if len(of_label) else 0.0
    return score(labels, probabilities.argmax(axis=1), names, loss)
