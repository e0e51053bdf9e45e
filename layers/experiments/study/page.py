"""The page of a study: what it measured, figure by figure, with captions that are computed from the numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from engine.report.curves import learning_caption, median_caption
from engine.report.html import Picture, inline_svg, render, settings_groups
from engine.report.series import window_in
from engine.support.errors import UserError
from engine.support.files import write_text
from layers.experiments.study.plan import PLACES, WAVES, Record, groups_of
from layers.experiments.study.summary import Change, Summary, arrow, shown, summarize, summary_table


def captions(study: Record) -> dict[str, tuple[str, str]]:
    """Content of study.json → {name of a picture: (what is drawn, what is seen)}.

    Raises UserError where the study is damaged.
    """
    runs = summarize(study)
    window = window_in(groups_of(study))
    return {
        "convergence": (learning_caption(window), describe_convergence(runs)),
        "gradients": (
            f"L2 norms of the loss's gradient at every step (points) and {median_caption(window)}, at three places "
            "over one logarithmic axis.",
            describe_gradients(runs),
        ),
        "correlations": (
            "Pearson's correlation of every two dimensions of the embeddings, before training (left) and after it "
            "(right), in one scale of colours.",
            describe_change(
                "mean absolute correlation", {name: run.mean_absolute_correlation for name, run in runs.items()}
            ),
        ),
        "independence": (
            "Mean absolute correlation of two dimensions of the embeddings, and their effective rank, which is the "
            "number of dimensions among which they are spread, at the steps at which both were measured.",
            describe_change("effective rank", {name: run.effective_rank for name, run in runs.items()}, ".1f"),
        ),
        "waves": (
            "Histograms of the waves' phases and magnitudes at the first step recorded (grey area) and at the last "
            "(line).",
            describe_waves(study),
        ),
    }


def describe_convergence(runs: Mapping[str, Summary]) -> str:
    reached = {name: run.steps_to_threshold for name, run in runs.items() if run.steps_to_threshold is not None}
    losses = extremes({name: run.training_loss for name, run in runs.items()})
    if reached:
        order = sorted(reached.items(), key=lambda pair: pair[1])
        never = [name for name in runs if name not in reached]
        first = f"reaches 90 % {', '.join(f'at step {step} for {name}' for name, step in order)}"
        first += f", never for {listed(never)}" if never else ""
    else:
        first = f"does not reach 90 % for {listed(runs)}"
    return f"The training accuracy's running median {first}; over the last tenth of the steps the median loss {losses}."


def describe_gradients(runs: Mapping[str, Summary]) -> str:
    clauses = []
    for place, label in PLACES.items():
        where = label if label.startswith("all ") else f"the {label}"
        clauses.append(f"at {where} {extremes({name: run.gradients[place].overall for name, run in runs.items()})}")
    return f"Over all steps the median norm {'; that '.join(clauses)}."


def describe_change(measure: str, changes: Mapping[str, Change], form: str = ".3g") -> str:
    """changes: of the measure in each run, shown in the format `form`."""
    known = {name: pair for name, pair in changes.items() if math.isfinite(pair.before) and math.isfinite(pair.after)}
    if not known:
        return f"No {measure} was recorded."
    moves = listed([f"{arrow(*pair, form)} for {name}" for name, pair in known.items()])
    after = ""
    if len(known) > 1:
        after = f"; afterwards it {extremes({name: pair.after for name, pair in known.items()}, form)}"
    return f"From the first step recorded to the last the {measure} goes {moves}{after}."


def describe_waves(study: Record) -> str:
    """Say how many numbers at least have left their bins: half the distance of the two histograms."""
    recorded = {name: run["waves"] for name, run in study["runs"].items() if run["waves"]}
    parts = []
    for name, entries in recorded.items():
        if len(entries) > 1:
            first, last = entries[0], entries[-1]
            moved = [f"{100 * distance(first[key], last[key]):.0f} % of the {wave}s" for key, wave in WAVES.items()]
            parts.append(f"{' and '.join(moved)} for {name}")
    if parts:
        return f"Between the two, at least this many have left their bins: {'; '.join(parts)}."
    if recorded:
        return "Waves were recorded at a single step, so that no change can be seen."
    return "No waves were recorded."


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """Distance of two histograms: half the sum of the absolute differences of their shares, from 0 to 1."""
    first, second = (np.asarray(counts, float) / (np.sum(counts) or 1) for counts in (a, b))
    return float(abs(first - second).sum() / 2)


def extremes(values: Mapping[str, float], form: str = ".3g") -> str:
    """Numbers of runs → a clause: whose is the largest, how many times the smallest it is, and whose is not known."""
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    if not known:
        return "is known for no run"
    unknown = ""
    if len(known) < len(values):
        unknown = f", and unknown for {listed([name for name in values if name not in known])}"
    high, low = max(known, key=lambda name: known[name]), min(known, key=lambda name: known[name])
    most, least = f"{high} ({shown(known[high], form)})", f"({shown(known[low], form)})"
    if known[high] == known[low]:
        return f"is {shown(known[high], form)} for {listed(known)}{unknown}"
    if known[low] <= 0 or known[high] < 1.01 * known[low]:
        return f"is largest for {most} and smallest for {low} {least}{unknown}"
    return f"is largest for {most}, {times(known[high] / known[low])} the smallest, {low}'s {least}{unknown}"


def times(ratio: float) -> str:
    return f"{ratio:.2f} times" if ratio < 10 else f"{ratio:,.0f} times"


def listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


TEMPLATE = Path(__file__).parent / "templates" / "study.html"
HEADINGS = {
    "convergence": "Convergence",
    "gradients": "Gradients",
    "correlations": "Correlations of the embedding's dimensions",
    "independence": "Independence, step by step",
    "waves": "Phases and magnitudes",
}


def write_page(path: Path | str, study: Record, figures: Mapping[str, Path]) -> None:
    """Write the page as one HTML file, whole or not at all.

    figures: name of a file → its path, as write_figures returns them; those that are SVG are shown, in that order.
    Raises UserError for a damaged study, and where a picture cannot be read or the page not be written.
    """
    if not Path(path).name:
        raise UserError(f"{str(path)!r}: is no name of a page; give one such as study.html")
    shown = {
        Path(picture).stem: read_svg(picture) for picture in figures.values() if Path(picture).suffix.lower() == ".svg"
    }
    unknown = [name for name in shown if name not in HEADINGS]
    if unknown:
        raise ValueError(f"figures: {unknown[0]!r} is no picture of a study; those are {', '.join(HEADINGS)}")
    write_text(path, page_html(study, shown))


def read_svg(path: Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); let the pictures be drawn again") from error


def page_html(study: Record, pictures: Mapping[str, str]) -> str:
    """The page as text. pictures: name → text of its SVG file."""
    headings, rows = summary_table(study)
    sentences = captions(study)
    return render(
        TEMPLATE,
        title=f"Study of {listed(study['runs'])}",
        headings=headings,
        rows=rows,
        pictures=[
            Picture(HEADINGS[name], inline_svg(text, name, HEADINGS[name]), " ".join(sentences[name]))
            for name, text in pictures.items()
        ],
        settings_shown=list(settings_groups(study["settings"])),
    )
