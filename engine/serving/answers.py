"""The answers to texts: labels and probabilities as cells, as lines of text or as records for JSON."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.support.output import takes_unicode
from engine.training.prediction import Predictor, chosen
from engine.types import Floats1d, Floats2d

if TYPE_CHECKING:
    from engine.data.label_sets import LabelCells

DIGITS = 6


class Wanted(NamedTuple):
    """The answer to each text: its `top` labels, none below `threshold`, and all `probabilities` or not.

    factors: (C,) by which probabilities are multiplied to put the labels in order, or None.
    """

    top: int = 1
    threshold: float = 0.0
    probabilities: bool = False
    factors: Floats1d | None = None

    def columns(self, classes: Sequence[str], label: str) -> dict[str, type]:
        """{name: type} of the columns of cells(). label: the name of the first."""
        names: dict[str, type] = {}
        for rank in range(min(self.top, len(classes))):
            end = f"_{rank + 1}" if rank else ""
            names.update({f"{label}{end}": str, f"probability{end}": float})
        return {**names, **({f"p({name})": float for name in classes} if self.probabilities else {})}

    def told_of_empty(self, count: int) -> str:
        """The words on `count` rows whose label is empty, behind the number of all."""
        return f", {count:,} of them below the threshold {self.threshold:g}" if self.threshold else ""

    def cells(self, probabilities: Floats2d, classes: Sequence[str]) -> list[list[Any]]:
        """The cells of each text: labels by falling probability times factor, each with its probability, then those of
        all classes.

        The first label is empty where its probability is below the threshold. probabilities: (N, C).
        """
        weighted = probabilities if self.factors is None else probabilities * self.factors
        best = np.argsort(-weighted, axis=1, kind="stable")[:, : self.top]
        most = np.take_along_axis(probabilities, best, axis=1)
        rows = []
        for ranks, values, row in zip(best.tolist(), most.tolist(), probabilities.tolist()):
            cells: list[Any] = []
            for rank, value in zip(ranks, values):
                cells += [classes[rank], round(value, DIGITS)]
            if values[0] < self.threshold:
                cells[0] = ""
            rows.append([*cells, *([round(value, DIGITS) for value in row] if self.probabilities else [])])
        return rows


class WantedSets(NamedTuple):
    """The answer to each text that may have several labels: those that reach their thresholds.

    thresholds: C numbers; form: how labels stand in one cell; top: how many of them at most, the most probable ones, or
    None for all; probabilities: whether those of all classes are told.
    """

    thresholds: Sequence[float] | Floats1d
    form: "LabelCells"
    top: int | None = None
    probabilities: bool = False

    def columns(self, classes: Sequence[str], label: str) -> dict[str, type]:
        """{name: type} of the columns of cells(). label: the name of the first."""
        return {label: str, **({f"p({name})": float for name in classes} if self.probabilities else {})}

    def told_of_empty(self, count: int) -> str:
        """The words on `count` rows without labels, behind the number of all."""
        return f", {count:,} of them without a label" if count else ""

    def cells(self, probabilities: Floats2d, classes: Sequence[str]) -> list[list[Any]]:
        """The cells of each text: its labels by falling probability, then the probabilities of all classes."""
        rows = []
        for row in probabilities:
            cell = self.form.write([classes[c] for c in self.chosen(row)])
            rows.append([cell, *([round(p, DIGITS) for p in row.tolist()] if self.probabilities else [])])
        return rows

    def chosen(self, probabilities: Floats1d) -> list[int]:
        """The classes that are told of a text, the most probable first. probabilities: (C,)."""
        return chosen(probabilities, np.asarray(self.thresholds))[: self.top]


def usual_answers(predictor: Predictor) -> Wanted | WantedSets:
    """The label of the largest probability, by the factors of the runs; or all labels that reach their thresholds."""
    if predictor.thresholds is None:
        return Wanted(factors=predictor.factors)
    from engine.data.label_sets import LabelCells

    return WantedSets(predictor.thresholds, LabelCells(predictor.runs[0].settings.data.label_separator))


def records(probabilities: Floats2d, classes: Sequence[str], wanted: Wanted | WantedSets) -> list[dict[str, Any]]:
    """For each text {"label", "probability", …} or {"labels"}, and {"probabilities"} of all classes. (N, C)."""
    found: list[dict[str, Any]]
    if isinstance(wanted, WantedSets):
        found = [{"labels": [classes[c] for c in wanted.chosen(row)]} for row in probabilities]
    else:
        wanted = wanted._replace(probabilities=False)
        names = list(wanted.columns(classes, "label"))
        found = [dict(zip(names, cells)) for cells in wanted.cells(probabilities, classes)]
    for record, row in zip(found, probabilities.tolist()):
        record["probabilities"] = {name: round(p, DIGITS) for name, p in zip(classes, row)}
    return found


def answers(
    texts: list[str], probabilities: Floats2d, classes: list[str], wanted: Wanted | WantedSets, as_json: bool
) -> str:
    """A line for each text: labels and probabilities between tabs, or JSON with all probabilities."""
    if as_json:
        found = zip(texts, records(probabilities, classes, wanted))
        return "".join(
            [json.dumps({"text": text, **record}, ensure_ascii=not takes_unicode()) + "\n" for text, record in found]
        )
    if isinstance(wanted, WantedSets):
        rows = [[cell for c in wanted.chosen(row) for cell in (classes[c], float(row[c]))] for row in probabilities]
    else:
        rows = wanted.cells(probabilities, classes)
    return "".join(
        ["\t".join([f"{cell:.4f}" if isinstance(cell, float) else cell for cell in row]) + "\n" for row in rows]
    )
