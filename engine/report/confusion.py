"""Confusions of a trained run, measured and drawn.

They are measured with its best weights on labelled texts that it has not learned from. The matrix is a matplotlib
Figure, readable for two classes and for fifty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from engine.data.batching import split_validation
from engine.data.prepare import encode_labelled
from engine.data.reading import read_corpus, read_test_texts
from engine.data.texts import LabelledTexts, class_names, encode_labels
from engine.report.calibration import Calibration, calibrate
from engine.report.figures import LETTER, LOOKS, width_of
from engine.report.html import readable
from engine.report.runs import Run
from engine.support.errors import UserError
from engine.training.config import computing
from engine.training.evaluation import ClassRow, confusion_counts, predict_classes, score
from engine.training.run_settings import RunSettings
from engine.training.trained_run import open_run
from engine.types import Array, Floats2d, Ints1d

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

MISTAKES = 50
PAIRS = 10
MOST_CLASSES = 52  # that a matrix shows: of more, those that are confused most, and the rest as one
OTHERS = "all others"
LABEL_CHARACTERS = 28
SMALLEST_CELL, LARGEST_CELL, SIDE = 13.0, 54.0, 540.0  # in points: of a cell, and of the matrix between these limits
SMALLEST_NUMBER, LARGEST_NUMBER = 4.5, 10.0  # sizes of the letters in cells
DARK = 0.42  # of the colours' scale: numbers on what lies above are white
TICKS = (0, 1, 10, 30, 60, 100)  # of the colour bar, in percent


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


class Unmeasured(NamedTuple):
    """A run whose confusions are not known. why: one sentence."""

    why: str


ReadTexts: TypeAlias = Callable[[RunSettings], tuple[str, LabelledTexts | None]]


def measure(
    run: Run,
    network_classes: Mapping[str, Any],
    build_network: Callable[..., Any],
    read: ReadTexts,
    device: str = "cpu",
) -> Measured | Unmeasured:
    """Measure the confusions of a finished Run on its test texts, or without such on those that chose its best epoch.

    read: gives these texts, as texts_of() does. Unmeasured where the run is unfinished, or has neither, or they cannot
    be read any more. UserError where the run itself is damaged.
    """
    if run.result is None:
        return Unmeasured("The run has not finished: what it confuses is measured when it has.")
    if run.settings.data.has_several_labels():
        return Unmeasured(
            "A text may have several labels, so that no class is taken for another; the command evaluate prints the F1 "
            "of each."
        )
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
        predicted, probability = predict_classes(opened.network, batch)
    return measured(split, opened.classes, texts.texts, batch.labels, predicted, probability)


def texts_of(settings: RunSettings, cache_dir: Path | str | None) -> tuple[str, LabelledTexts | None]:
    """("test", LabelledTexts), or ("validation", LabelledTexts or None) of a run without test texts."""
    data = settings.data
    if not data.train_file or data.test_file:
        return "test", read_test_texts(data, cache_dir=cache_dir)[0]
    if not data.validation_file and not data.validation_fraction:
        return "validation", None
    corpus, _ = read_corpus(data, cache_dir)
    return "validation", corpus.validation or held_out(corpus.train, data.validation_fraction, settings.training.seed)


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


def held_out(train: LabelledTexts, fraction: float, seed: int) -> LabelledTexts:
    """The training texts that were split off for validation."""
    _, rows = split_validation(encode_labels(train.labels, class_names(train), train), fraction, seed)
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


def draw_matrix(names: Sequence[str], confusion: Array) -> Figure:
    """Draw a confusion matrix.

    names: of C classes; confusion: (C, C) counts, a row for each true class, a column for each predicted one.
    Colours are shares of a row, numbers the counts; zeros are left blank, and so are numbers for which a cell is too
    small.
    """
    from matplotlib.figure import Figure

    names, confusion = shown_classes(names, confusion)
    labels = [readable(name, LABEL_CHARACTERS) for name in names]
    cell = min(LARGEST_CELL, max(SMALLEST_CELL, SIDE / len(labels)))
    side, size = cell * len(labels), min(9.0, max(6.5, 0.6 * cell))
    beside = max(width_of(label, size) for label in labels) + 24  # ticks and the label of the axis
    level = all(width_of(label, size) < cell for label in labels)
    below = 2.4 * size + 12 if level else beside + 4
    width, height = beside + side + 70, below + max(side, 120) + 8
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((beside / width, below / height, side / width, side / height))
    image = draw_cells(axes, confusion)
    # An anchor holds whatever font the reader has.
    upright: dict[str, Any] = {"rotation": 90, "rotation_mode": "anchor", "ha": "right", "va": "center"}
    for axis, turned in ((axes.xaxis, {} if level else upright), (axes.yaxis, {})):
        axis.set_ticks(range(len(labels)), labels, size=size, parse_math=False, **turned)
        axis.set_tick_params(length=0, pad=3)
    axes.set_xlabel("predicted class", size=9)
    axes.set_ylabel("true class", size=9)
    write_numbers(axes, confusion, cell)
    draw_bar(figure, image, ((beside + side + 14) / width, below / height, 9 / width, min(side, 180) / height))
    return figure


def shown_classes(names: Sequence[str], confusion: Array) -> tuple[list[str], Array]:
    """(names, confusion) of all classes; of too many, of those confused most, in their own order, and OTHERS."""
    if len(names) <= MOST_CLASSES:
        return list(names), confusion
    wrong = confusion - np.diag(confusion.diagonal())
    kept = np.sort(np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[: MOST_CLASSES - 1])
    row_index = np.full(len(names), len(kept))
    row_index[kept] = np.arange(len(kept))
    merged = np.zeros((MOST_CLASSES, MOST_CLASSES), confusion.dtype)
    np.add.at(merged, (row_index[:, None], row_index[None, :]), confusion)
    return [*(names[number] for number in kept), OTHERS], merged


def shares_of(confusion: Array) -> Floats2d:
    """Counts → shares of their rows, 0 in a row without texts."""
    shares: Floats2d = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return shares


def draw_cells(axes: Axes, confusion: Array) -> AxesImage:
    """Draw one pixel a cell, and thin lines between cells."""
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    colors = LinearSegmentedColormap.from_list("shares", ("white", LOOKS[1][0], "#00304D"))
    scale = PowerNorm(0.5, 0, 1)
    image = axes.imshow(shares_of(confusion), cmap=colors, norm=scale, interpolation="none", aspect="auto")
    inner = np.arange(1, len(confusion)) - 0.5
    axes.hlines(inner, -0.5, len(confusion) - 0.5, color="#E5E5E5", linewidth=0.4)
    axes.vlines(inner, -0.5, len(confusion) - 0.5, color="#E5E5E5", linewidth=0.4)
    axes.spines[:].set(visible=True, color="#999999", linewidth=0.6)
    return image


def write_numbers(axes: Axes, confusion: Array, cell: float) -> None:
    """Write the count into each cell that is not zero, in letters so small that it fits.

    Counts whose letters would be too small to be read are left out. cell: its side in points.
    """
    shares = shares_of(confusion)
    for row, column in np.argwhere(confusion):
        text = str(confusion[row, column])
        size = min(LARGEST_NUMBER, 0.5 * cell, 0.92 * cell / (LETTER * len(text)))
        if size >= SMALLEST_NUMBER:
            color = "white" if shares[row, column] ** 0.5 > DARK else "#222222"
            axes.text(column, row, text, size=size, color=color, ha="center", va="center_baseline")


def draw_bar(figure: Figure, image: AxesImage, place: tuple[float, float, float, float]) -> None:
    """Draw the bar that explains the colours. place: left, bottom, width and height in shares of the figure."""
    bar = figure.colorbar(image, cax=figure.add_axes(place))
    bar.set_ticks([tick / 100 for tick in TICKS], labels=[f"{tick} %" for tick in TICKS])
    bar.ax.tick_params(labelsize=7, length=2)
    bar.ax.minorticks_off()
    bar.outline.set_linewidth(0.4)
