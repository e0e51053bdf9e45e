"""The section of a page on one run: what it confuses, which texts it labels wrong, its classes and its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.report.calibration import draw_reliability
from engine.report.confusion_matrix import MOST_CLASSES, OTHERS, draw_matrix
from engine.report.errors import (
    Errors,
    Measured,
    MeasuredSets,
    Mistake,
    Unmeasured,
    largest_confusions,
)
from engine.report.figures import svg_text
from engine.report.html import NO_BREAK, inline_svg, readable
from engine.report.runs import NAME_CHARACTERS, Run
from engine.report.summary import percent
from engine.training.calibration import Calibration
from engine.training.evaluation import ClassRow

BEGINNING = 240  # characters of a text that are shown before the rest is folded
POINT = 4 / 3  # in pixels


class WrongText(NamedTuple):
    """A text labelled wrong. beginning + rest: the whole text; a short one has no rest. All are texts."""

    true: str
    predicted: str
    probability: str
    beginning: str
    rest: str


class RunSection(NamedTuple):
    """The part of a page that shows the errors of one run.

    why: a sentence instead of the matrix where nothing was measured, else "". split: of the texts. classes: rows of the
    table, the lowest F1 first. matrix, reliability: svg elements; matrix is `width` pixels wide in its own size.
    warning: "" or a sentence.
    """

    name: str
    why: str
    split: str
    classes: list[list[str]]
    matrix: str = ""
    width: float = 0.0
    caption: str = ""
    warning: str = ""
    confusions: Sequence[str] = ()
    mistakes: Sequence[WrongText] = ()
    mistakes_caption: str = ""
    reliability: str = ""
    reliability_caption: str = ""


def run_section(prefix: str, run: Run, measured: Errors) -> RunSection:
    """The section of one run: matrix, largest confusions, texts labelled wrong, classes, calibration.

    prefix: of its ids.
    """
    name = readable(run.name, NAME_CHARACTERS)
    if isinstance(measured, Unmeasured):
        rows = [ClassRow(**row) for row in (run.result or {}).get("classes", ())]
        return RunSection(name, measured.why, "test", classes_rows(rows))
    split = measured.split
    if isinstance(measured, MeasuredSets):
        return RunSection(
            name,
            why="",
            split=split,
            classes=classes_rows(measured.classes),
            warning=changed_message(run.result or {}, measured),
            mistakes=wrong_texts(measured.mistakes),
            mistakes_caption=sets_caption(measured),
        )
    svg = svg_text(lambda: draw_matrix(measured.names, measured.confusion))
    matrix = inline_svg(svg, prefix, f"Confusion matrix of the {split} texts")
    pairs = largest_confusions(measured.names, measured.confusion)
    return RunSection(
        name,
        why="",
        split=split,
        classes=classes_rows(measured.classes),
        matrix=matrix,
        width=POINT * float(matrix.partition('viewBox="')[2].split()[2]),
        caption=matrix_caption(measured),
        warning=changed_message(run.result or {}, measured),
        confusions=[f"{pair.true} → {pair.predicted}: {pair.texts:,} of {pair.of:,}" for pair in pairs],
        mistakes=wrong_texts(measured.mistakes),
        mistakes_caption=mistakes_caption(measured),
        reliability=inline_svg(
            svg_text(lambda: draw_reliability(measured.calibration)),
            f"{prefix}-reliability",
            f"Reliability diagram of the {split} texts",
        ),
        reliability_caption=reliability_caption(measured.calibration),
    )


def wrong_texts(mistakes: Sequence[Mistake]) -> list[WrongText]:
    """Mistakes as texts of the page."""
    return [
        WrongText(one.true, one.predicted, percent(one.probability), *halves(readable(one.text))) for one in mistakes
    ]


def halves(text: str) -> tuple[str, str]:
    """(beginning, rest) of a text, between words; a text that is hardly longer than BEGINNING has no rest."""
    if len(text) <= 1.25 * BEGINNING:
        return text, ""
    space = text.rfind(" ", BEGINNING // 2, BEGINNING)
    cut = space if space >= 0 else BEGINNING
    return text[:cut], text[cut:].lstrip()


def sets_caption(measured: MeasuredSets) -> str:
    """Say how many texts have other labels than predicted, and which of them are shown."""
    if not measured.wrong:
        return f"All labels of all {measured.texts:,} {measured.split} texts are right."
    shown = f"these are {len(measured.mistakes)}" if measured.wrong > len(measured.mistakes) else "they stand"
    return (
        f"{measured.wrong:,} of {measured.texts:,} {measured.split} texts have other labels than predicted; {shown}, "
        "the surest wrong decision first, below true labels → predicted labels and the probability of that decision."
    )


def mistakes_caption(measured: Measured) -> str:
    """Say how many texts are labelled wrong, and which of them are shown."""
    total = measured.confusion.sum()
    wrong = total - measured.confusion.diagonal().sum()
    text = f"{wrong:,} of {total:,} {measured.split} texts are labelled wrong"
    if wrong > len(measured.mistakes):
        return f"{text}; these are the {len(measured.mistakes)} with the highest probability of the wrong class."
    if not wrong:
        return f"All {total:,} {measured.split} texts are labelled right."
    return f"{text}, those with the highest probability of the wrong class first."


def reliability_caption(calibration: Calibration) -> str:
    """Say in words what a reliability diagram shows."""
    mean, share, error = (percent(x) for x in (calibration.probability, calibration.accuracy, calibration.error))
    difference = calibration.probability - calibration.accuracy
    verdict = "are about right on average"
    if abs(difference) > 0.02:
        verdict = "promise too much on average" if difference > 0 else "promise too little on average"
    text = (
        f"Expected calibration error {error}. The predicted class has a mean probability of {mean} and is right in "
        f"{share} of the texts: the probabilities {verdict}. In the diagram, texts are sorted by this probability "
        "into bins; a bar is the share of a bin's texts that is labelled right, and reaches the dashed line where the "
        "probabilities are true."
    )
    return text.replace(" %", NO_BREAK + "%")


def matrix_caption(measured: Measured) -> str:
    """Say what a confusion matrix shows, and how well its labels do."""
    caption = (
        f"The {measured.confusion.sum():,} {measured.split} texts: a row for each true class, a column for each "
        "predicted one, by the best checkpoint. Numbers are texts, colours shares of a row."
    )
    if len(measured.names) > MOST_CLASSES:
        caption += (
            f" Shown are the {MOST_CLASSES - 1} of {len(measured.names)} classes that are confused most; {OTHERS} are "
            "one row and one column, with right and wrong labels where these meet."
        )
    if measured.split == "validation":
        caption += (
            " The run was trained without test texts; these chose the best checkpoint, so that the numbers are "
            "somewhat too good."
        )
    return caption


def changed_message(result: dict[str, Any], measured: Measured | MeasuredSets) -> str:
    """A warning where the texts or what they are labelled are not as at the end of the training, else ""."""
    before, count, right = result[f"{measured.split}_accuracy"], *counts_of(measured)
    texts = result.get("texts", {}).get(measured.split, count)
    if before is None:
        return ""
    if texts != count:
        return f"At the end of the training there were {texts:,} {measured.split} texts: they have changed since."
    same = round(before * count) == right
    if measured.split == "test":
        same = same and [row.get("texts") for row in result["classes"]] == [row.texts for row in measured.classes]
    if same:
        return ""
    return (
        f"At the end of the training the accuracy was {percent(before)}: the texts, the program or the device are not "
        "the same any more."
    )


def counts_of(measured: Measured | MeasuredSets) -> tuple[int, int]:
    """(texts, those that are labelled right)."""
    if isinstance(measured, MeasuredSets):
        return measured.texts, measured.texts - measured.wrong
    return int(measured.confusion.sum()), int(measured.confusion.diagonal().sum())


def classes_rows(rows: Sequence[ClassRow]) -> list[list[str]]:
    """Rows of the table by class, the lowest F1 first; classes without texts, which have none, last."""
    ordered = sorted(rows, key=lambda row: (not row.texts, row.f1, -row.texts))
    return [
        [row.name, f"{row.texts:,}", percent(row.precision), percent(row.recall), percent(row.f1)] for row in ordered
    ]
