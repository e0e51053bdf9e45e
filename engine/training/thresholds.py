"""Thresholds of classes: from which probability a text that may have several labels gets one.

    F1 = 2·TP/(2·TP + FP + FN) = 2·TP/(labels + predictions)

The threshold of the largest F1 on the validation texts, of all decisions together ("one") or of each class ("each"), is
chosen among the multiples of 1/STEPS: probabilities are counted by the step in which they lie, so that no sorting is
needed, and the count is exact, since STEPS is a power of two.
"""

import numpy as np

from engine.types import Bools, Floats1d, Floats2d, Ints1d

STEPS = 1024
HALF = 0.5


def choose_thresholds(labels: Bools, probabilities: Floats2d, kind: str) -> Floats1d:
    """(C,) thresholds for (N, C) probabilities of texts with these labels. kind: "one", "each" or "half".

    A class that no text has takes the threshold of all. Of equally good ones the nearest to 0.5 is chosen.
    """
    classes = labels.shape[1]
    if kind == "half" or not labels.any():
        return np.full(classes, HALF)
    steps = np.minimum(np.floor(probabilities * STEPS), STEPS - 1).astype(np.int64)
    predicted, hits = np.zeros((classes, STEPS), np.int64), np.zeros((classes, STEPS), np.int64)
    for c in range(classes):  # how many texts have at least this probability, and how many of them the label
        predicted[c] = np.bincount(steps[:, c], minlength=STEPS)[::-1].cumsum()[::-1]
        hits[c] = np.bincount(steps[labels[:, c], c], minlength=STEPS)[::-1].cumsum()[::-1]
    actual = labels.sum(axis=0)
    common = best_step(hits.sum(axis=0), predicted.sum(axis=0) + actual.sum())
    chosen: Ints1d = np.full(classes, common)
    if kind == "each":
        for c in np.flatnonzero(actual).tolist():
            chosen[c] = best_step(hits[c], predicted[c] + actual[c])
    return chosen / STEPS


def best_step(hits: Ints1d, total: Ints1d) -> int:
    """The step from 1 on of the largest F1, hits/total; of equal ones the nearest to the middle."""
    f1 = hits[1:] / np.maximum(total[1:], 1)
    best = 1 + np.flatnonzero(f1 == f1.max())
    return int(best[np.argmin(abs(best - STEPS * HALF))])
