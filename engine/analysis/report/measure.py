"""What a trained run takes for what: its best weights on the labelled texts that it has not learned from."""

from typing import NamedTuple

import numpy as np

from engine.data.batching import split_validation
from engine.data.prepare import encode_labelled, read_corpus, read_test_texts
from engine.data.texts import LabelledTexts, class_names, encode_labels
from engine.errors import UserError
from engine.training.evaluation import predict_classes
from engine.training.metrics import confusion_counts, score
from engine.training.session import computing_as_trained, open_run

MISTAKES = 10
PAIRS = 10


class Mistake(NamedTuple):
    """A text that was labelled wrong: its class, the predicted one with its probability, and the text."""

    true: str
    predicted: str
    probability: float
    text: str


class Confused(NamedTuple):
    """So many `texts`, `of` all those of class `true`, were taken for class `predicted`."""

    true: str
    predicted: str
    texts: int
    of: int


class Measured(NamedTuple):
    """split: "test" or "validation". confusion: (C, C) counts, a row for each true class. mistakes: the most certain first.

    accuracy, macro_f1, classes: as in an Evaluation (engine/training/metrics.py).
    """

    split: str
    names: list
    confusion: np.ndarray
    accuracy: float
    macro_f1: float
    classes: list
    mistakes: list


class Unmeasured(NamedTuple):
    """why: one sentence."""

    why: str


def measure(run, network_classes, build_network, device="cpu", cache_dir=None):
    """Measured of a finished Run with its test texts, or without such with those that chose its best epoch.

    Unmeasured where the run is unfinished, or has neither, or they cannot be read any more. UserError where the run itself is damaged.
    """
    if run.result is None:
        return Unmeasured("The run has not finished: what it confuses is measured when it has.")
    opened = open_run(run.path, network_classes, build_network, device)
    try:
        split, texts = texts_of(run.settings, cache_dir)
        if texts is None:
            return Unmeasured("The run was trained without test texts and without validation texts, so that what it confuses is not known.")
        batch = encode_labelled(run.settings.data, opened.vocabulary, opened.classes, texts, cache_dir)
    except UserError as error:
        return Unmeasured(f"What the run confuses is not known, since its texts cannot be read again: {error}")
    with computing_as_trained(opened, device):
        predicted, probability = predict_classes(opened.network, batch)
    return measured(split, opened.classes, texts.texts, batch.labels, predicted, probability)


def texts_of(settings, cache_dir):
    """("test", LabelledTexts), or ("validation", LabelledTexts or None) of a run without test texts."""
    data = settings.data
    if not data.train_file or data.test_file:
        return "test", read_test_texts(data, cache_dir=cache_dir)[0]
    if not data.validation_file and not data.validation_fraction:
        return "validation", None
    corpus, _ = read_corpus(data, cache_dir)
    return "validation", corpus.validation or held_out(corpus.train, data.validation_fraction, settings.training.seed)


def held_out(train, fraction, seed):
    """The training texts that were split off for validation."""
    _, rows = split_validation(encode_labels(train.labels, class_names(train), train), fraction, seed)
    lines = None if train.lines is None else [train.lines[row] for row in rows]
    return LabelledTexts([train.texts[row] for row in rows], [train.labels[row] for row in rows], train.source, lines)


def measured(split, names, texts, labels, predicted, probability):
    """Measured of texts, class numbers of them and of predictions, and the probabilities of the latter."""
    result = score(labels, predicted, names)
    wrong = np.flatnonzero(labels != predicted)
    wrong = wrong[np.argsort(-probability[wrong], kind="stable")][:MISTAKES]
    mistakes = [Mistake(names[labels[row]], names[predicted[row]], float(probability[row]), texts[row]) for row in wrong]
    return Measured(split, names, confusion_counts(labels, predicted, len(names)), result.accuracy, result.macro_f1, result.classes, mistakes)


def largest_confusions(names, confusion):
    """The PAIRS pairs of different classes with most texts, as Confused; none without any. Equal ones in the order of the classes."""
    wrong = confusion - np.diag(confusion.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    pairs = zip(*np.unravel_index(order, wrong.shape))
    return [Confused(names[row], names[column], int(wrong[row, column]), int(confusion[row].sum())) for row, column in pairs if wrong[row, column]]
