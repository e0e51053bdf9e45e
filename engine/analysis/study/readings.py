"""What one reads off a study: a few numbers for each run, and the table of them that the command line and the page show."""

import math
from typing import NamedTuple

import numpy as np

from engine.analysis.series import largest, median, numbers, running_median, tenth, window_for
from engine.analysis.study.form import PLACES, check_study

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


class Readings(NamedTuple):
    """Of one run; NaN where nothing finite was recorded.

    training_loss: in nat, the median over the last tenth of the steps. Accuracies in [0, 1]. gradients: place → Gradient.
    steps_to_threshold: the first step at which the running median of the training accuracy is at least 90 %, or None.
    """

    parameters: int
    training_loss: float
    test_accuracy: float
    best_validation_accuracy: float
    train_seconds: float
    gradients: dict
    mean_absolute_correlation: Change
    effective_rank: Change
    steps_to_threshold: int | None


def readings(study):
    """study: what study.json holds → {name of a run: Readings}. Raises UserError where the study is damaged."""
    check_study(study)
    window = window_of(study)
    return {name: readings_of(run, window) for name, run in study["runs"].items()}


def readings_of(run, window):
    accuracy = running_median(numbers(run["accuracy"]), window)
    reached = np.flatnonzero(accuracy >= THRESHOLD)
    independence = {
        key: Change(*numbers([run["independence"][end][key] for end in (0, -1)] if run["independence"] else [None, None]).tolist())
        for key in ("mean_absolute_correlation", "effective_rank")
    }
    return Readings(
        parameters=run["parameters"],
        training_loss=median(tenth(numbers(run["loss"]), last=True)),
        test_accuracy=float(numbers([run["test_accuracy"]])[0]),
        best_validation_accuracy=largest(numbers([entry["accuracy"] for entry in run["validation"]])),
        train_seconds=float(numbers([run["train_seconds"]])[0]),
        gradients={place: gradient_of(numbers(run[place])) for place in PLACES},
        **independence,
        steps_to_threshold=run["step"][reached[0]] if len(reached) else None,
    )


def gradient_of(norms):
    return Gradient(median(norms), median(tenth(norms)), median(tenth(norms, last=True)))


def window_of(study):
    """Steps over which running medians are taken, for all runs as for the longest."""
    return window_for(max(len(run["step"]) for run in study["runs"].values()))


def readings_table(study):
    """(headings, rows) of texts: one line a reading, one column a run. Raises UserError where the study is damaged."""
    runs = readings(study)
    lines = {
        "parameters": lambda r: f"{r.parameters:,}",
        "training loss, last tenth of the steps": lambda r: shown(r.training_loss),
        "test accuracy": lambda r: percent(r.test_accuracy),
        "best validation accuracy": lambda r: percent(r.best_validation_accuracy),
        "training seconds": lambda r: shown(r.train_seconds, ".1f"),
        "steps until training accuracy is 90 %": lambda r: NONE if r.steps_to_threshold is None else str(r.steps_to_threshold),
    }
    for place, words in PLACES.items():
        lines[f"gradient norm, {words}"] = lambda r, place=place: arrow(*r.gradients[place][1:])
    lines["mean |correlation| of dimensions"] = lambda r: arrow(*r.mean_absolute_correlation)
    lines["effective rank of the embeddings"] = lambda r: arrow(*r.effective_rank, ".1f")
    return ["reading", *runs], [[label, *map(line, runs.values())] for label, line in lines.items()]


def arrow(before, after, form=".3g"):
    return f"{shown(before, form)} → {shown(after, form)}"


def shown(value, form=".3g"):
    return format(value, form) if math.isfinite(value) else NONE


def percent(value):
    return f"{100 * value:.2f} %" if math.isfinite(value) else NONE
