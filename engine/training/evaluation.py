"""A network's predictions on many texts, and their measures: accuracy, and F1 per class and averaged.

    precision_c = TP_c/(TP_c + FP_c)     recall_c = TP_c/(TP_c + FN_c)     F1_c = 2·TP_c/(2·TP_c + FP_c + FN_c)

Macro F1 is the plain mean over the classes that occur among labels or predictions. Where a text may have several
labels, micro F1 is that of all decisions together, the TP, FP and FN of all classes added up, and accuracy is the share
of texts with exactly the right set of labels. Also here: the search for the first array of a forward pass that is not
finite (first_nonfinite).
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.arrays.backend import array_module, to_host
from engine.arrays.ragged import RaggedBatch
from engine.data.batching import ordered_batches, take
from engine.training.calibration import calibrate
from engine.training.class_factors import decide
from engine.training.reduce import ALONE, Alone
from engine.types import Array, Bools, Floats1d, Floats2d, Ints1d


class ClassRow(NamedTuple):
    """Measures of one class. texts: how many are labelled with it."""

    name: str
    texts: int
    precision: float
    recall: float
    f1: float


class Evaluation(NamedTuple):
    """Measures of predictions. accuracy, macro_f1: in [0, 1]; loss: mean cross-entropy in nat; classes: a row each.

    micro_f1: in [0, 1] where a text may have several labels; else it would be the accuracy, and is None.
    calibration_error: the expected one (calibration.py), where a text has one label and probabilities are known.
    """

    accuracy: float
    macro_f1: float
    loss: float
    classes: list[ClassRow]
    micro_f1: float | None = None
    calibration_error: float | None = None


def confusion_counts(labels: Ints1d, predictions: Ints1d, count: int) -> npt.NDArray[np.int64]:
    """The confusion matrix, (count, count) int64: numbers of texts by label (rows) and prediction (columns).

    labels, predictions: (B,) class numbers below `count`.
    """
    return np.bincount(labels * count + predictions, minlength=count * count).reshape(count, count)


def score(labels: Ints1d, predictions: Ints1d, names: Sequence[str], loss: float = float("nan")) -> Evaluation:
    """The Evaluation of (B,) predicted class numbers for (B,) labels. names: of the classes. Quotients 0/0 are 0."""
    confusion = confusion_counts(labels, predictions, len(names))
    hits = confusion.diagonal()
    rows, macro_f1 = class_rows(names, hits, confusion.sum(axis=1), confusion.sum(axis=0))
    return Evaluation(float(hits.sum() / max(1, len(labels))), macro_f1, float(loss), rows)


def class_rows(names: Sequence[str], hits: Ints1d, actual: Ints1d, predicted: Ints1d) -> tuple[list[ClassRow], float]:
    """(a ClassRow of each class, macro F1). hits, actual, predicted: (C,) numbers of texts. Quotients 0/0 are 0."""
    precision, recall = hits / np.maximum(predicted, 1), hits / np.maximum(actual, 1)
    f1 = 2 * hits / np.maximum(predicted + actual, 1)
    occurs = predicted + actual > 0
    rows = [ClassRow(*row) for row in zip(names, actual.tolist(), precision.tolist(), recall.tolist(), f1.tolist())]
    return rows, float(f1[occurs].mean()) if occurs.any() else 0.0


def score_sets(labels: Bools, predictions: Bools, names: Sequence[str], loss: float = float("nan")) -> Evaluation:
    """The Evaluation of predicted sets of labels. labels, predictions: (B, C). Quotients 0/0 are 0."""
    hits, actual, predicted = (array.sum(axis=0) for array in (labels & predictions, labels, predictions))
    rows, macro_f1 = class_rows(names, hits, actual, predicted)
    micro_f1 = 2 * hits.sum() / max(1, (actual + predicted).sum())
    exact = (labels == predictions).all(axis=1).sum() / max(1, len(labels))
    return Evaluation(float(exact), macro_f1, float(loss), rows, float(micro_f1))


def predict_probabilities(network: Any, texts: RaggedBatch, batch_size: int = 128, ranks: Alone = ALONE) -> Floats2d:
    """Class probabilities, (N, C) on the host, of a RaggedBatch of N texts on the host, in their order.

    ranks: share the batches; each has all probabilities in the end.
    """
    if len(texts.offsets) <= 2:
        return to_host(network.probabilities(texts._replace(labels=None)))
    parts, rows = [], []
    for share in ranks.gather(list(batch_probabilities(network, texts, batch_size, ranks))):
        for batch_rows, probabilities in share:
            parts.append(probabilities)
            rows.append(batch_rows)
    probabilities = np.concatenate(parts)
    ordered = np.empty_like(probabilities)
    ordered[np.concatenate(rows)] = probabilities
    return ordered


def batch_probabilities(
    network: Any, texts: RaggedBatch, batch_size: int, ranks: Alone = ALONE
) -> Iterator[tuple[Ints1d, Floats2d]]:
    """Yield (row numbers, (rows, C) probabilities on the host) of batches that together hold each text once.

    ranks: yield this rank's share of the batches.
    """
    for rows in ordered_batches(texts.offsets, batch_size)[ranks.rank :: ranks.size]:
        yield rows, to_host(network.probabilities(take(texts, rows)._replace(labels=None)))


def predict_classes(
    network: Any, texts: RaggedBatch, batch_size: int = 128, factors: Floats1d | None = None
) -> tuple[Ints1d, Floats1d]:
    """The class of each text, (N,) int64, and its probability, (N,) float64. factors: as in decide().

    Other arguments as in predict_probabilities(); the probabilities of the other classes are not kept.
    """
    count = len(texts.offsets) - 1
    classes, probability = np.zeros(count, np.int64), np.zeros(count)
    for rows, probabilities in batch_probabilities(network, texts, batch_size):
        chosen = decide(probabilities, factors)
        classes[rows], probability[rows] = chosen, probabilities[np.arange(len(rows)), chosen]
    return classes, probability


def evaluate(
    network: Any,
    texts: RaggedBatch,
    names: Sequence[str],
    ranks: Alone = ALONE,
    batch_size: int = 128,
    thresholds: Floats1d | None = None,
    factors: Floats1d | None = None,
) -> Evaluation:
    """Evaluation (accuracy, macro F1, loss, rows per class) on a labelled RaggedBatch. ranks: share the batches.

    thresholds: (C,), where a text may have several labels, the probabilities from which it gets them; by default 0.5.
    factors: (C,), where it has one, as in decide().
    """
    if texts.labels is None:
        raise ValueError("texts: must have labels")
    probabilities = predict_probabilities(network, texts, batch_size, ranks)
    return evaluate_probabilities(texts.labels, probabilities, names, thresholds, factors)


def evaluate_probabilities(
    labels: Array,
    probabilities: Floats2d,
    names: Sequence[str],
    thresholds: Floats1d | None = None,
    factors: Floats1d | None = None,
) -> Evaluation:
    """Evaluation of (N, C) class probabilities for N labels by `factors`, or (N, C) booleans by `thresholds`.

    The loss counts a probability as at least the smallest normal float32.
    """
    if labels.ndim == 2:
        of_decision = np.where(labels, probabilities, 1 - probabilities.astype(np.float64))
        loss = -np.log(np.maximum(of_decision, np.finfo(np.float32).tiny)).sum() / max(1, len(labels))
        return score_sets(labels, probabilities >= (0.5 if thresholds is None else thresholds), names, loss)
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    loss = -np.log(np.maximum(of_label, np.finfo(np.float32).tiny)).mean() if len(of_label) else 0.0
    predicted = decide(probabilities, factors)
    error = calibrate(labels == predicted, probabilities[np.arange(len(labels)), predicted]).error
    return score(labels, predicted, names, loss)._replace(calibration_error=error)


def are_right(logits: Floats2d, labels: Array) -> Bools:
    """(B,): whether the largest logit is that of the label, or all decisions are right, a yes from probability 0.5."""
    right: Bools = logits.argmax(axis=1) == labels if labels.ndim == 1 else ((logits >= 0) == labels).all(axis=1)
    return right


def first_nonfinite(cache: Any, path: str = "") -> str | None:
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
