"""The page of a report: the runs in numbers, what differs, the curves, and for each run what it takes for what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.report.confusion import MOST_CLASSES, OTHERS, Measured, Unmeasured, draw_matrix, largest_confusions
from engine.report.curves import (
    Groups,
    above,
    all_runs,
    draw_learning,
    draw_series,
    learning_caption,
    legend,
    numbers,
    panels,
    window_in,
)
from engine.report.figures import Level, draw_levels, looks, require_matplotlib, svg_text
from engine.report.html import TEMPLATES, Picture, inline_svg, render, require_jinja2, settings_groups
from engine.report.runs import Group, Run
from engine.report.summary import NAME_CHARACTERS, Report, facts_of, of_epochs, percent, seeds_table
from engine.support.command import command_name
from engine.support.errors import UserError
from engine.support.files import require_writable, write_text
from engine.support.text import sanitize
from engine.training.evaluation import ClassRow
from engine.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".html", ".htm")
TEXT_CHARACTERS, SETTING_CHARACTERS = 160, 60
POINT = 4 / 3  # in pixels
NO_BREAK = "\N{NO-BREAK SPACE}"


class RunSection(NamedTuple):
    """The part of a page that shows the errors of one run.

    why: a sentence instead of the matrix where nothing was measured, else "". split: of the texts.
    matrix: an svg element, `width` pixels wide in its own size. warning: "" or a sentence.
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
    mistakes: Sequence[list[str]] = ()


def require_page(path: Path | str) -> None:
    """Raise UserError unless a page can be drawn and, as far as can be seen, written: to be called before the work."""
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise UserError(
            f"--output {str(path)!r}: is no name of a page; let it end in {' or '.join(ENDINGS)}, such as report.html"
        )
    require_writable(path, "--output")
    require_matplotlib(path)
    require_jinja2(path)


def write_page(path: Path | str, report: Report) -> None:
    """Write the page of a Report as one HTML file, whole or not at all. UserError where it cannot be written."""
    write_text(path, page_html(report))


def page_html(report: Report) -> str:
    """The page as text."""
    names = [sanitize(run.name, NAME_CHARACTERS) for run in report.runs]
    single = len(names) == 1
    headings, seeds = seeds_table(report)
    facts = [facts_of(run, measured) for run, measured in zip(report.runs, report.measured)]
    return render(
        TEMPLATES / "report.html",
        title=f"Report of {names[0]}" if single else f"Report of {len(names)} runs",
        unfinished=[unfinished_message(run) for run in report.runs if run.result is None],
        names=names,
        facts=[[term, *(one[term] for one in facts)] for term in facts[0]],
        seeds_headings=headings,
        seeds=seeds,
        differing=[
            [name, *(sanitize(text, SETTING_CHARACTERS) for text in column)]
            for name, column in report.differing.items()
        ],
        pictures=curves_pictures(report.groups),
        runs=[
            run_section(f"run{number}", run, measured)
            for number, (run, measured) in enumerate(zip(report.runs, report.measured), start=1)
        ],
        settings_shown=list(settings_groups(shared_settings(report))),
    )


def unfinished_message(run: Run) -> str:
    step = run.curves["step"][-1]
    return (
        f"{sanitize(run.name)} has not finished: its curves end at step {step}, in epoch {run.epochs}{of_epochs(run)}. "
        f"Once it is not running any more it can be continued: {command_name()} --resume {run.path}"
    )


def shared_settings(report: Report) -> dict[str, dict[str, Any]]:
    """All settings of a single run; of several, those that they share."""
    sections = report.runs[0].settings.sections()
    return {
        title: {name: value for name, value in part.items() if name not in report.differing}
        for title, part in sections.items()
    }


def curves_pictures(groups: Sequence[Group]) -> list[Picture]:
    """The pictures that show all runs."""
    curves = curves_of(groups)
    learning = learning_caption(window_in(curves))
    rates = "Learning rate, and L2 norm of the gradient of all parameters before it is clipped, at every step."
    if any(len(runs) > 1 for runs in curves.values()):
        learning += " Runs that differ in nothing but their seed share a line, the mean of theirs, in a band from the "
        learning += "lowest to the highest."
    pictures = {
        "learning": ("Loss and accuracy", learning_svg(groups), learning),
        "rates": ("Learning rate and gradient", rates_svg(groups), rates),
    }
    return [
        Picture(heading, inline_svg(svg, prefix, heading), caption)
        for prefix, (heading, svg, caption) in pictures.items()
    ]


def learning_svg(groups: Sequence[Group]) -> str:
    """SVG file of loss and accuracy, step by step and of validation."""
    return svg_text(lambda: draw_learning(curves_of(groups)))


def rates_svg(groups: Sequence[Group]) -> str:
    """SVG file of learning rate and norm of the gradient, step by step."""
    return svg_text(lambda: draw_rates(groups))


def matrix_svg(names: Sequence[str], confusion: Array) -> str:
    """SVG file of a confusion matrix; arguments as in draw_matrix."""
    return svg_text(lambda: draw_matrix(names, confusion))


def curves_of(groups: Sequence[Group]) -> Groups:
    """Groups of Runs as engine/report/curves.py draws them."""
    return {group.label: [run.curves for run in group.runs] for group in groups}


def draw_rates(groups: Sequence[Group]) -> Figure:
    """Draw learning rates as lines, and norms of the gradient on a logarithmic axis.

    Where all runs clip the gradient to one norm, a line shows it.
    """
    curves = curves_of(groups)
    figure, (upper, lower) = panels(("learning rate", "norm of the gradient, before clipping"))
    for (color, _, dash), runs in zip(looks(len(curves)), curves.values()):
        style = {"color": color, "linestyle": dash, "linewidth": 1.4, "zorder": above(dash)}
        upper.plot(runs[0]["step"], runs[0]["learning_rate"], **style)
    upper.set_ylim(bottom=0)
    upper.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    clips = {run.settings.training.clip_norm for group in groups for run in group.runs}
    levels = [Level(clip, f"clipped above {clip:g}") for clip in clips if len(clips) == 1 and clip > 0]
    norms = [numbers(run["gradient_norm"]) for run in all_runs(curves)]
    room = numbers([level.y / 2 for level in levels])  # for the text below a level
    draw_series(lower, curves, "gradient_norm", within=[*norms, room])
    draw_levels(lower, levels)
    legend(figure, curves, ("gradient_norm",))
    return figure


def run_section(prefix: str, run: Run, measured: Measured | Unmeasured) -> RunSection:
    """The section of one run: matrix, largest confusions, classes, and texts labelled wrong. prefix: of its ids."""
    name = sanitize(run.name, NAME_CHARACTERS)
    if isinstance(measured, Unmeasured):
        rows = [ClassRow(**row) for row in (run.result or {}).get("classes", ())]
        return RunSection(name, measured.why, "test", classes_rows(rows))
    split = measured.split
    svg = matrix_svg(measured.names, measured.confusion)
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
        mistakes=[
            [one.true, one.predicted, percent(one.probability), sanitize(one.text.strip(), TEXT_CHARACTERS)]
            for one in measured.mistakes
        ],
    )


def matrix_caption(measured: Measured) -> str:
    """Say what a confusion matrix shows, and how well its labels do."""
    caption = (
        f"The {measured.confusion.sum():,} {measured.split} texts: a row for each true class, a column for each "
        "predicted one, by the best checkpoint. Numbers are texts, colours shares of a row. "
        f"Accuracy {percent(measured.accuracy)}, macro F1 {percent(measured.macro_f1)}."
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
    return caption.replace(" %", NO_BREAK + "%")


def changed_message(result: dict[str, Any], measured: Measured) -> str:
    """A warning where the texts or the accuracy are not those of the end of the training, else ""."""
    before, count = result[f"{measured.split}_accuracy"], measured.confusion.sum()
    as_many = result.get("texts", {}).get(measured.split, count) == count
    if before is None or as_many and round(before * count) == measured.confusion.diagonal().sum():
        return ""
    return (
        f"At the end of the training the accuracy was {percent(before)}: the texts, the program or the device are not "
        "the same any more."
    )


def classes_rows(rows: Sequence[ClassRow]) -> list[list[str]]:
    """Rows of the table by class."""
    return [[row.name, f"{row.texts:,}", percent(row.precision), percent(row.recall), percent(row.f1)] for row in rows]
