"""Two sentences for each picture of a study: what is drawn, and what the numbers of this study show."""

import math

import numpy as np

from engine.analysis.step_curves import learning_words, medians_words
from engine.analysis.study.form import PLACES, WAVES
from engine.analysis.study.readings import arrow, readings, shown, window_of


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
        "waves": ("Histograms of the waves' phases and magnitudes at the first step recorded (grey area) and at the last (line).", waves(study)),
    }


def convergence(runs):
    reached = {name: run.steps_to_threshold for name, run in runs.items() if run.steps_to_threshold is not None}
    if reached:
        order = sorted(reached, key=reached.get)
        never = [name for name in runs if name not in reached]
        times = ", ".join(f"at step {reached[name]} for {name}" for name in order) + (f", never for {listed(never)}" if never else "")
        first = f"The training accuracy's running median reaches 90 % {times}"
    else:
        first = f"The training accuracy's running median does not reach 90 % for {listed(runs)}"
    return f"{first}; over the last tenth of the steps the median loss {extremes({name: run.training_loss for name, run in runs.items()})}."


def gradients(runs):
    clauses = [f"at {the(words)} {extremes({name: run.gradients[place].overall for name, run in runs.items()})}" for place, words in PLACES.items()]
    return f"Over all steps the median norm {'; that '.join(clauses)}."


def the(words):
    return words if words.startswith("all ") else f"the {words}"


def change(measure, changes, form=".3g"):
    """changes: run → Change, shown as `form` says."""
    known = {name: pair for name, pair in changes.items() if math.isfinite(pair.before) and math.isfinite(pair.after)}
    if not known:
        return f"No {measure} was recorded."
    moves = listed(f"{arrow(*pair, form)} for {name}" for name, pair in known.items())
    after = f"; afterwards it {extremes({name: pair.after for name, pair in known.items()}, form)}" if len(known) > 1 else ""
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
    return "Waves were recorded at a single step, so that no change can be seen." if recorded else "No waves were recorded."


def distance(a, b):
    """Of two histograms: half the sum of the absolute differences of their shares, from 0 to 1."""
    a, b = (np.asarray(counts, float) / (np.sum(counts) or 1) for counts in (a, b))
    return float(abs(a - b).sum() / 2)


def extremes(values, form=".3g"):
    """values: run → number → a verb's clause: whose is the largest, how many times the smallest that is, and whose is not known."""
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    if not known:
        return "is known for no run"
    unknown = f", and unknown for {listed(name for name in values if name not in known)}" if len(known) < len(values) else ""
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
