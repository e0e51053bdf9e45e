"""Factors of classes: a text gets the class of the largest f_c·p_c, chosen on validation texts for their macro F1.

    argmax_c f_c·p_c = argmax_c (log p_c + b_c) = argmax_c p_c/t_c          f = exp(b) = 1/t

A factor lowers the threshold t of a rare class, which plain argmax hardly ever predicts. Only the offsets b are moved;
probabilities stay as they are.

**Search.** Coordinate ascent from b = 0. With all other offsets held, text t gets class c as soon as b_c > d_t, where
d_t is the largest log p_tk + b_k of the other classes less log p_tc, and leaves the class k_t of that maximum. On the
multiples of STEP within ±REACH the counts of hits and predictions of all classes follow from counting the texts by the
first step beyond d_t, and with them the macro F1 of each step. The step of the largest macro F1 − PENALTY·|b_c| is
taken. A sweep costs O(N·C²); the search ends when a sweep moves nothing.

**Against overfitting.** The macro F1 of a small validation set hangs on few texts. A class with fewer than FEWEST of
them keeps b = 0, relative to which the others move; PENALTY asks for a gain worth the move. The texts are dealt into
FOLDS folds, class by class; the offsets are the mean of the searches that leave out a fold each, times one of SHARES.
The share is that of the largest macro F1 where each search is applied to the fold that it has not seen, of equal ones
the smallest. So a rule that does not help on texts on which it was not chosen becomes plain argmax.
"""

import numpy as np

from engine.types import Floats1d, Floats2d, Ints1d

DECISIONS = ("argmax", "thresholds")
STEP, REACH = 0.125, 6.0
GRID = np.arange(-REACH, REACH + STEP, STEP)
ZERO = len(GRID) // 2
FEWEST, FOLDS, SWEEPS, PENALTY = 5, 5, 20, 0.02
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
ROUNDING = 1e-12  # of a macro F1


def decide(probabilities: Floats2d, factors: Floats1d | None) -> Ints1d:
    """(N,) predicted classes of (N, C) probabilities, by (C,) factors or, with None, by the largest probability."""
    chosen: Ints1d = (probabilities if factors is None else probabilities * factors).argmax(axis=1)
    return chosen


def mean_factors(factors: list[Floats1d | None], classes: int) -> Floats1d | None:
    """The geometric mean of the factors of runs, 1 for a run without any; None where none has any."""
    if all(own is None for own in factors):
        return None
    logs = [np.zeros(classes) if own is None else np.log(own) for own in factors]
    mean: Floats1d = np.exp(np.mean(logs, axis=0))
    return mean


def choose_factors(labels: Ints1d, probabilities: Floats2d) -> Floats1d:
    """(C,) factors for (N, C) probabilities of texts of these classes, (N,)."""
    classes = probabilities.shape[1]
    scores = np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float32).tiny))
    free = np.flatnonzero(np.bincount(labels, minlength=classes) >= FEWEST)
    if len(free) < 2:
        return np.ones(classes)
    folds = np.empty(len(labels), np.int64)
    folds[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % FOLDS
    predicted, offsets = np.empty((len(SHARES), len(labels)), np.int64), np.empty((FOLDS, classes))
    for fold in range(FOLDS):
        inside = folds == fold
        offsets[fold] = search(labels[~inside], scores[~inside], free)
        for row, share in zip(predicted, SHARES):
            row[inside] = (scores[inside] + share * offsets[fold]).argmax(axis=1)
    found = [macro_f1(labels, row, classes) for row in predicted]
    share = SHARES[int(np.flatnonzero(np.array(found) >= max(found) - ROUNDING)[0])]
    factors: Floats1d = np.exp(share * offsets.mean(axis=0))
    return factors


def macro_f1(labels: Ints1d, predicted: Ints1d, classes: int) -> float:
    """The mean F1 of the classes that occur among labels or predictions."""
    hits = np.bincount(labels[labels == predicted], minlength=classes)
    total = np.bincount(labels, minlength=classes) + np.bincount(predicted, minlength=classes)
    return float(mean_f1(hits, total))


def mean_f1(hits: Ints1d, total: Ints1d) -> Floats1d:
    """Macro F1 over the last axis. total: numbers of labels and predictions together."""
    mean: Floats1d = (2 * hits / np.maximum(total, 1)).sum(axis=-1) / np.maximum((total > 0).sum(axis=-1), 1)
    return mean


def search(labels: Ints1d, scores: Floats2d, free: Ints1d) -> Floats1d:
    """(C,) offsets b of a large macro F1. scores: (N, C) log p; free: the classes whose offsets may move."""
    steps = np.full(scores.shape[1], ZERO)
    for _ in range(SWEEPS):
        before = steps.copy()
        for c in free.tolist():
            steps[c] = best_step(f1_of_steps(labels, scores, GRID[steps], c))
        if (steps == before).all():
            break
    return GRID[steps]


def f1_of_steps(labels: Ints1d, scores: Floats2d, offsets: Floats1d, c: int) -> Floats1d:
    """(G,) macro F1 for each step of the offset of class c, the other offsets held."""
    classes, count = scores.shape[1], len(GRID)
    others = scores + offsets
    others[:, c] = -np.inf
    rival = others.argmax(axis=1)
    first = np.searchsorted(GRID, others.max(axis=1) - scores[:, c], side="right")  # the step that wins the text

    def won(texts: Ints1d) -> Ints1d:
        """(G, C): how many of these texts each class has lost to c at each step."""
        counts = np.bincount(first[texts] * classes + rival[texts], minlength=(count + 1) * classes)
        lost: Ints1d = counts.reshape(count + 1, classes).cumsum(axis=0)[:count]
        return lost

    right = rival == labels
    lost = won(np.arange(len(labels)))
    predicted = np.bincount(rival, minlength=classes) - lost
    hits = np.bincount(rival[right], minlength=classes) - won(np.flatnonzero(right))
    predicted[:, c] = lost.sum(axis=1)
    hits[:, c] = np.bincount(first[labels == c], minlength=count + 1).cumsum()[:count]
    return mean_f1(hits, predicted + np.bincount(labels, minlength=classes))


def best_step(f1: Floats1d) -> int:
    """The step of the largest macro F1 less the penalty of its offset; of equal ones the nearest to 0."""
    worth = f1 - PENALTY * abs(GRID)
    best = np.flatnonzero(worth >= worth.max() - ROUNDING)
    return int(best[np.argmin(abs(best - ZERO))])
