"""Errors of a trained run, measured with its best weights on labelled texts that it has not learned from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from engine.data.batching import split_validation
from engine.data.config import DataConfig
from engine.data.prepare import encode_labelled
from engine.data.reading import read_corpus, read_test_texts
from engine.data.texts import LabelledTexts
from engine.report.runs import Run
from engine.support.errors import UserError
from engine.training.calibration import Calibration, calibrate
from engine.training.config import computing
from engine.training.evaluation import (
    ClassRow,
    confusion_counts,
    evaluate_probabilities,
    predict_classes,
    predict_probabilities,
    score,
)
from engine.training.in_memory import classes_drawn_by
from engine.training.run_settings import RunSettings
from engine.training.trained_run import open_run
from engine.types import Array, Bools, Floats1d, Floats2d, Ints1d

MISTAKES = 50
PAIRS = 10
NO_LABEL = "no label"


class Mistake(NamedTuple):
    """A text that was labelled wrong: its class, the predicted one with its probability, and the text."""

    true: str
    predicted: str
    probability: float
    text: str


class Confused(NamedTuple):
    """Texts of class `true`, `texts` out of `of`, that were taken for class `predicted`."""

    true: str
    predicted: str
    texts: int
    of: int


class Measured(NamedTuple):
    """Confusions of a run.

    split: "test" or "validation". confusion: (C, C) counts, a row for each true class. accuracy, macro_f1, classes: as
    in an Evaluation (engine/training/evaluation.py). mistakes: the MISTAKES most certain ones, the most certain first.
    """

    split: str
    names: Sequence[str]
    confusion: Array
    accuracy: float
    macro_f1: float
    classes: list[ClassRow]
    mistakes: list[Mistake]
    calibration: Calibration


class MeasuredSets(NamedTuple):
    """Errors of a run whose texts may have several labels: none is taken for another, so that there is no matrix.

    texts: their number; wrong: how many have another set of labels than predicted. accuracy: the share of the others.
    The probability of a mistake is that of its surest wrong decision. All else as in Measured and Evaluation.
    """

    split: str
    names: Sequence[str]
    texts: int
    wrong: int
    accuracy: float
    micro_f1: float
    macro_f1: float
    classes: list[ClassRow]
    mistakes: list[Mistake]


class Unmeasured(NamedTuple):
    """A run whose confusions are not known. why: one sentence."""

    why: str


Errors: TypeAlias = Measured | MeasuredSets | Unmeasured
ReadTexts: TypeAlias = Callable[[RunSettings], tuple[str, LabelledTexts | None]]


def measure(
    run: Run,
    network_classes: Mapping[str, Any],
    build_network: Callable[..., Any],
    read: ReadTexts,
    device: str = "cpu",
) -> Errors:
    """Measure the confusions of a finished Run on its test texts, or without such on those that chose its best epoch.

    read: gives these texts, as texts_of() does. Unmeasured where the run is unfinished, or has neither, or they cannot
    be read any more. UserError where the run itself is damaged.
    """
    if run.result is None:
        return Unmeasured("The run has not finished: what it confuses is measured when it has.")
    opened = open_run(run.path, network_classes, build_network, device)
    try:
        split, texts = read(run.settings)
        if texts is None:
            return Unmeasured(
                "The run was trained without test texts and without validation texts, so that what it confuses is not "
                "known."
            )
        batch = encode_labelled(run.settings.data, opened.vocabulary, opened.classes, texts)
    except UserError as error:
        return Unmeasured(
            "The texts cannot be read again, so that confusions and calibration are not known, and all figures are "
            f"those of the end of the training: {error}"
        )
    assert batch.labels is not None
    with computing(opened.settings.training, device):
        if opened.thresholds is not None:
            probabilities = predict_probabilities(opened.network, batch)
            return measured_sets(split, opened.classes, texts.texts, batch.labels, probabilities, opened.thresholds)
        predicted, probability = predict_classes(opened.network, batch, factors=opened.factors)
    return measured(split, opened.classes, texts.texts, batch.labels, predicted, probability)


def texts_of(settings: RunSettings, cache_dir: Path | str | None) -> tuple[str, LabelledTexts | None]:
    """("test", LabelledTexts), or ("validation", LabelledTexts or None) of a run without test texts."""
    data = settings.data
    if not data.train_file or data.test_file:
        return "test", read_test_texts(data, cache_dir=cache_dir)[0]
    if not data.validation_file and not data.validation_fraction:
        return "validation", None
    corpus, _ = read_corpus(data, cache_dir)
    return "validation", corpus.validation or held_out(corpus.train, data, settings.training.seed)


def remembering(cache_dir: Path | str | None) -> ReadTexts:
    """texts_of() for runs one after the other: those that share texts with the run before read them once."""
    last: list[Any] = []

    def read(settings: RunSettings) -> tuple[str, LabelledTexts | None]:
        tested = not settings.data.train_file or settings.data.test_file
        key = settings.data, None if tested else settings.training.seed  # which chose those held out
        if not last or last[0] != key:
            last[:] = key, texts_of(settings, cache_dir)
        found: tuple[str, LabelledTexts | None] = last[1]
        return found

    return read


def held_out(train: LabelledTexts, data: DataConfig, seed: int) -> LabelledTexts:
    """The training texts that were split off for validation."""
    _, rows = split_validation(classes_drawn_by(data, train), data.validation_fraction, seed)
    lines = None if train.lines is None else [train.lines[row] for row in rows]
    labels = None if train.labels is None else [train.labels[row] for row in rows]
    return LabelledTexts([train.texts[row] for row in rows], labels, train.source, lines)


def measured(
    split: str, names: Sequence[str], texts: Sequence[str], labels: Ints1d, predicted: Ints1d, probability: Array
) -> Measured:
    """Compare the class numbers of texts with predicted ones, which have these probabilities."""
    result = score(labels, predicted, names)
    wrong = np.flatnonzero(labels != predicted)
    wrong = wrong[np.argsort(-probability[wrong], kind="stable")][:MISTAKES]
    mistakes = [
        Mistake(names[int(labels[row])], names[int(predicted[row])], float(probability[row]), texts[row])
        for row in wrong.tolist()
    ]
    confusion = confusion_counts(labels, predicted, len(names))
    calibration = calibrate(labels == predicted, probability)
    return Measured(split, names, confusion, result.accuracy, result.macro_f1, result.classes, mistakes, calibration)


def measured_sets(
    split: str,
    names: Sequence[str],
    texts: Sequence[str],
    labels: Bools,
    probabilities: Floats2d,
    thresholds: Floats1d,
) -> MeasuredSets:
    """Compare the sets of labels of texts, (N, C) booleans, with those that reach the thresholds (C,)."""
    result = evaluate_probabilities(labels, probabilities, names, thresholds)
    decided = probabilities >= thresholds
    surest = np.where(decided != labels, np.where(decided, probabilities, 1 - probabilities), 0).max(axis=1)
    wrong = np.flatnonzero((decided != labels).any(axis=1))
    shown = wrong[np.argsort(-surest[wrong], kind="stable")][:MISTAKES]

    def named(row: Bools) -> str:
        return ", ".join(names[number] for number in np.flatnonzero(row).tolist()) or NO_LABEL

    mistakes = [Mistake(named(labels[n]), named(decided[n]), float(surest[n]), texts[n]) for n in shown.tolist()]
    assert result.micro_f1 is not None
    figures = (result.accuracy, result.micro_f1, result.macro_f1, result.classes)
    return MeasuredSets(split, names, len(labels), len(wrong), *figures, mistakes)


def largest_confusions(names: Sequence[str], confusion: Array) -> list[Confused]:
    """The PAIRS pairs of different classes with most texts, at most; equal ones in the order of the classes."""
    wrong = confusion - np.diag(confusion.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    pairs = zip(*np.unravel_index(order, wrong.shape))
    return [
        Confused(names[row], names[column], int(wrong[row, column]), int(confusion[row].sum()))
        for row, column in pairs
        if wrong[row, column]
    ]
