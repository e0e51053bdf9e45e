"""The summary of a study: a few numbers for each run, and the table of them that command line and page show."""

import math
from typing import NamedTuple

import numpy as np

from engine.report.series import Curves, largest, median, numbers, running_median, tenth, window_in
from engine.types import Floats1d
from layers.experiments.study.plan import PLACES, Record, check_study, groups_of

THRESHOLD = 0.9  # of the training accuracy
NONE = "–"  # stands for a number that there is not


class Gradient(NamedTuple):
    """Medians of a gradient's norms over all steps, the first tenth and the last tenth of them."""

    overall: float
    first: float
    last: float


class Change(NamedTuple):
    """A measure at the first and at the last recorded step."""

    before: float
    after: float


class Summary(NamedTuple):
    """Numbers of one run; NaN where nothing finite was recorded.

    training_loss: in nat, the median over the last tenth of the steps. Accuracies are in [0, 1]. gradients: place →
    Gradient. steps_to_threshold: the first step at which the running median of the training accuracy is at least 90 %,
    or None.
    """

    parameters: int
    training_loss: float
    test_accuracy: float
    best_validation_accuracy: float
    train_seconds: float
    gradients: dict[str, Gradient]
    mean_absolute_correlation: Change
    effective_rank: Change
    steps_to_threshold: int | None


def summarize(study: Record) -> dict[str, Summary]:
    """Content of study.json → {name of a run: Summary}. Raises UserError where the study is damaged."""
    check_study(study)
    window = window_in(groups_of(study))
    return {name: summary_of(run, window) for name, run in study["runs"].items()}


def summary_of(run: Curves, window: int) -> Summary:
    """Summarize one run. window: width of the running median."""
    accuracy = running_median(numbers(run["accuracy"]), window)
    reached = np.flatnonzero(accuracy >= THRESHOLD)
    return Summary(
        parameters=run["parameters"],
        training_loss=median(tenth(numbers(run["loss"]), last=True)),
        test_accuracy=float(numbers([run["test_accuracy"]])[0]),
        best_validation_accuracy=largest(numbers([entry["accuracy"] for entry in run["validation"]])),
        train_seconds=float(numbers([run["train_seconds"]])[0]),
        gradients={place: gradient_of(numbers(run[place])) for place in PLACES},
        mean_absolute_correlation=change_of(run, "mean_absolute_correlation"),
        effective_rank=change_of(run, "effective_rank"),
        steps_to_threshold=run["step"][reached[0]] if len(reached) else None,
    )


def gradient_of(norms: Floats1d) -> Gradient:
    return Gradient(median(norms), median(tenth(norms)), median(tenth(norms, last=True)))


def change_of(run: Curves, key: str) -> Change:
    """Change of a measure of independence."""
    recorded = run["independence"]
    return Change(*numbers([recorded[end][key] for end in (0, -1)] if recorded else [None, None]).tolist())


def summary_table(study: Record) -> tuple[list[str], list[list[str]]]:
    """(headings, rows) of texts: one line a number, one column a run. Raises UserError where the study is damaged."""
    runs = summarize(study)
    rows = {
        "parameters": [f"{run.parameters:,}" for run in runs.values()],
        "training loss, last tenth of the steps": [shown(run.training_loss) for run in runs.values()],
        "test accuracy": [percent(run.test_accuracy) for run in runs.values()],
        "best validation accuracy": [percent(run.best_validation_accuracy) for run in runs.values()],
        "training seconds": [shown(run.train_seconds, ".1f") for run in runs.values()],
        "steps until training accuracy is 90 %": [
            NONE if run.steps_to_threshold is None else str(run.steps_to_threshold) for run in runs.values()
        ],
    }
    for place, label in PLACES.items():
        gradients = [run.gradients[place] for run in runs.values()]
        rows[f"gradient norm, {label}"] = [arrow(gradient.first, gradient.last) for gradient in gradients]
    rows["mean |correlation| of dimensions"] = [arrow(*run.mean_absolute_correlation) for run in runs.values()]
    rows["effective rank of the embeddings"] = [arrow(*run.effective_rank, ".1f") for run in runs.values()]
    return ["reading", *runs], [[label, *cells] for label, cells in rows.items()]


def arrow(before: float, after: float, form: str = ".3g") -> str:
    return f"{shown(before, form)} → {shown(after, form)}"


def shown(value: float, form: str = ".3g") -> str:
    return format(value, form) if math.isfinite(value) else NONE


def percent(value: float) -> str:
    return f"{100 * value:.2f} %" if math.isfinite(value) else NONE
