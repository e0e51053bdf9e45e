"""What one reads off a study: a few numbers for each run, and the table of them that the command line and the page show.

Two sentences for each picture of a study: what is drawn, and what the numbers of this study show.
"""

import math
from typing import NamedTuple

import numpy as np

from engine.report.curves import (
    largest,
    learning_words,
    median,
    medians_words,
    numbers,
    running_median,
    tenth,
    window_for,
)
from layers.experiments.study.schema import PLACES, WAVES, check_study

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
        key: Change(
            *numbers(
                [run["independence"][end][key] for end in (0, -1)] if run["independence"] else [None, None]
            ).tolist()
        )
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
        "steps until training accuracy is 90 %": lambda r: (
            NONE if r.steps_to_threshold is None else str(r.steps_to_threshold)
        ),
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


def explanations(study):
    """study: what study.json holds → {name of a picture: (what is drawn, what is seen)}. Raises UserError where it is damaged."""
    runs = readings(study)
    window = window_of(study)
    return {
        "convergence": (learning_words(window), convergence(runs)),
        "gradients": (
            f"L2 norms of the loss's gradient at every step (points) and {medians_words(window)}, at three places over one logarithmic axis.",
            gradients(runs),
        ),
        "correlations": (
            "Pearson's correlation of every two dimensions of the embeddings, before training (top) and after it (bottom), in one scale of colours.",
            change("mean absolute correlation", {name: run.mean_absolute_correlation for name, run in runs.items()}),
        ),
        "independence": (
            "Mean absolute correlation of two dimensions of the embeddings, and their effective rank, which is the number of dimensions "
            "among which they are spread, at the steps at which both were measured.",
            change("effective rank", {name: run.effective_rank for name, run in runs.items()}, ".1f"),
        ),
        "waves": (
            "Histograms of the waves' phases and magnitudes at the first step recorded (grey area) and at the last (line).",
            waves(study),
        ),
    }


def convergence(runs):
    reached = {name: run.steps_to_threshold for name, run in runs.items() if run.steps_to_threshold is not None}
    if reached:
        order = sorted(reached, key=reached.get)
        never = [name for name in runs if name not in reached]
        times = ", ".join(f"at step {reached[name]} for {name}" for name in order) + (
            f", never for {listed(never)}" if never else ""
        )
        first = f"The training accuracy's running median reaches 90 % {times}"
    else:
        first = f"The training accuracy's running median does not reach 90 % for {listed(runs)}"
    return f"{first}; over the last tenth of the steps the median loss {extremes({name: run.training_loss for name, run in runs.items()})}."


def gradients(runs):
    clauses = [
        f"at {the(words)} {extremes({name: run.gradients[place].overall for name, run in runs.items()})}"
        for place, words in PLACES.items()
    ]
    return f"Over all steps the median norm {'; that '.join(clauses)}."


def the(words):
    return words if words.startswith("all ") else f"the {words}"


def change(measure, changes, form=".3g"):
    """changes: run → Change, shown as `form` says."""
    known = {name: pair for name, pair in changes.items() if math.isfinite(pair.before) and math.isfinite(pair.after)}
    if not known:
        return f"No {measure} was recorded."
    moves = listed(f"{arrow(*pair, form)} for {name}" for name, pair in known.items())
    after = (
        f"; afterwards it {extremes({name: pair.after for name, pair in known.items()}, form)}"
        if len(known) > 1
        else ""
    )
    return f"From the first step recorded to the last the {measure} goes {moves}{after}."


def waves(study):
    """How many numbers at least have left their bins: half the distance of the two histograms."""
    recorded = {name: run["waves"] for name, run in study["runs"].items() if run["waves"]}
    parts = []
    for name, (first, *_, last) in ((name, entries) for name, entries in recorded.items() if len(entries) > 1):
        moved = [f"{100 * distance(first[key], last[key]):.0f} % of the {words}s" for key, words in WAVES.items()]
        parts.append(f"{' and '.join(moved)} for {name}")
    if parts:
        return f"Between the two, at least this many have left their bins: {'; '.join(parts)}."
    return (
        "Waves were recorded at a single step, so that no change can be seen."
        if recorded
        else "No waves were recorded."
    )


def distance(a, b):
    """Of two histograms: half the sum of the absolute differences of their shares, from 0 to 1."""
    a, b = (np.asarray(counts, float) / (np.sum(counts) or 1) for counts in (a, b))
    return float(abs(a - b).sum() / 2)


def extremes(values, form=".3g"):
    """values: run → number → a verb's clause: whose is the largest, how many times the smallest that is, and whose is not known."""
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    if not known:
        return "is known for no run"
    unknown = (
        f", and unknown for {listed(name for name in values if name not in known)}" if len(known) < len(values) else ""
    )
    high, low = max(known, key=known.get), min(known, key=known.get)
    most, least = f"{high} ({shown(known[high], form)})", f"({shown(known[low], form)})"
    if known[high] == known[low]:
        return f"is {shown(known[high], form)} for {listed(known)}{unknown}"
    if known[low] <= 0 or known[high] < 1.01 * known[low]:
        return f"is largest for {most} and smallest for {low} {least}{unknown}"
    return f"is largest for {most}, {times(known[high] / known[low])} the smallest, {low}'s {least}{unknown}"


def times(ratio):
    return f"{ratio:.2f} times" if ratio < 10 else f"{ratio:,.0f} times"


def listed(words):
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
