"""The page of a report: three figures of each run, what it gets wrong, how sure it is, its curves and its settings."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.report.calibration import BINS, Calibration, draw_reliability
from engine.report.confusion import MOST_CLASSES, OTHERS, Measured, Unmeasured, draw_matrix, largest_confusions
from engine.report.curves import (
    Groups,
    all_runs,
    draw_learning,
    draw_marked_line,
    draw_series,
    learning_caption,
    legend,
    numbers,
    panels,
    window_in,
)
from engine.report.figures import DISTINCT, Level, draw_levels, looks, plain, require_matplotlib, svg_text
from engine.report.html import TEMPLATES, Picture, inline_svg, readable, render, require_jinja2, settings_groups
from engine.report.runs import Group, Run
from engine.report.summary import (
    NAME_CHARACTERS,
    NONE,
    Figures,
    Report,
    facts_of,
    figures_of,
    of_epochs,
    percent,
    seeds_table,
)
from engine.support.command import command_name
from engine.support.errors import UserError
from engine.support.files import require_writable, write_text
from engine.training.evaluation import ClassRow
from engine.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".html", ".htm")
BEGINNING, SETTING_CHARACTERS = 240, 60
MISTAKES_SHOWN, CLASSES_SHOWN, MESSAGES_SHOWN = 5, 10, 3  # more of them are folded, or counted
POINT = 4 / 3  # in pixels
NO_BREAK = "\N{NO-BREAK SPACE}"
ON_TOP = ("test accuracy", "test macro F1", "worst class")  # facts that stand above all others
FURTHER = (  # facts of several runs in a folded table
    "training texts",
    "validation texts",
    "test texts",
    "classes",
    "parameters",
    "steps",
    "tokens per second",
    "peak memory",
    "device",
)


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
    names = [readable(run.name, NAME_CHARACTERS) for run in report.runs]
    single = len(names) == 1
    pairs = list(zip(report.runs, report.measured))
    headings, seeds = seeds_table(report)
    facts = [facts_of(run, measured) for run, measured in pairs]
    run_group = [("run", [(term, text) for term, text in facts[0].items() if term not in ON_TOP])] if single else []
    return render(
        TEMPLATES / "report.html",
        title=f"Report of {names[0]}" if single else f"Report of {len(names)} runs",
        messages=[*report.notes, *unfinished_messages(report.runs), *([] if single else texts_messages(report))],
        single=single,
        figures=cards_of(figures_of(*pairs[0])) if single else [],
        overview=overview(report),
        seeds_headings=headings,
        seeds=seeds,
        further=[[name, *(one[term] for term in FURTHER)] for name, one in zip(names, facts)],
        further_headings=list(FURTHER),
        differing=differing_table(report),
        pictures=curves_pictures(report.groups),
        runs=[run_section(f"run{number}", run, found) for number, (run, found) in enumerate(pairs, start=1)],
        mistakes_shown=MISTAKES_SHOWN,
        classes_shown=CLASSES_SHOWN,
        bins=BINS,
        settings_shown=[*run_group, *settings_groups(shared_settings(report))],
    )


def cards_of(figures: Figures | None) -> list[tuple[str, str, str]]:
    """(figure, its name, a note) of the figures on top of the page of one run."""
    if figures is None:
        return []
    cards = [(percent(figures.accuracy), f"{figures.split} accuracy", "")]
    if figures.macro_f1 is not None:
        cards.append((percent(figures.macro_f1), "macro F1", "the mean over the classes"))
    if figures.worst is not None:
        name = readable(figures.worst.name, NAME_CHARACTERS)
        cards.append((percent(figures.worst.f1), "F1 of the worst class", f"class {name}"))
    return [(figure.replace(" ", NO_BREAK), name, note) for figure, name, note in cards]


def overview(report: Report) -> tuple[list[str], list[list[str]]]:
    """(headings, rows) of the table of several runs, a row each, whose first cell is the run's name."""
    seeds = "seed" in report.differing
    headings = ["run", *["seed"] * seeds, "accuracy", "macro F1", "worst class", "its F1", "validation", "best epoch"]
    rows = []
    for run, measured in zip(report.runs, report.measured):
        figures, facts = figures_of(run, measured), facts_of(run, measured)
        worst = figures.worst if figures else None
        accuracy = NONE if figures is None else percent(figures.accuracy)
        if figures and figures.split == "validation":
            accuracy += ", validation"
        rows.append(
            [
                readable(run.name, NAME_CHARACTERS),
                *[facts["seed"]] * seeds,
                accuracy,
                percent(figures.macro_f1 if figures else None),
                readable(worst.name, NAME_CHARACTERS) if worst else NONE,
                percent(worst.f1 if worst else None),
                *(facts[term] for term in ("validation accuracy", "best epoch", "training time")),
            ]
        )
    return [*headings, "training time"], rows


def differing_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """(headings, rows) of the settings in which groups differ, a row for each group; seeds have their own column."""
    first = [report.runs.index(group.runs[0]) for group in report.groups]
    columns = {
        name: [column[row] for row in first]
        for name, column in report.differing.items()
        if name != "seed" and len({column[row] for row in first}) > 1
    }
    texts = ([readable(text, SETTING_CHARACTERS) for text in column] for column in columns.values())
    return ["", *columns], [[group.label, *row] for group, row in zip(report.groups, zip(*texts))]


def unfinished_messages(runs: Sequence[Run]) -> list[str]:
    """A sentence for each run that has not finished; of many one for all."""
    unfinished = [run for run in runs if run.result is None]
    if len(unfinished) <= MESSAGES_SHOWN:
        return [unfinished_message(run) for run in unfinished]
    names = ", ".join(readable(run.name, NAME_CHARACTERS) for run in unfinished[:MESSAGES_SHOWN])
    return [f"{len(unfinished)} of {len(runs)} runs have not finished: {names} and others. Their curves end early."]


def texts_messages(report: Report) -> list[str]:
    """A sentence for each finished run of several whose texts are gone or have changed; of many one for all."""
    found = []
    for run, measured in zip(report.runs, report.measured):
        message = measured.why if isinstance(measured, Unmeasured) else changed_message(run.result or {}, measured)
        if run.result is not None and message:
            found.append(f"{readable(run.name, NAME_CHARACTERS)}: {message}")
    if len(found) <= MESSAGES_SHOWN:
        return found
    return [f"The texts of {len(found)} of {len(report.runs)} runs are gone or have changed, as is said with each run."]


def unfinished_message(run: Run) -> str:
    step, validation = run.curves["step"][-1], run.curves["validation"]
    so_far = f" Validation accuracy so far: {percent(validation[-1]['accuracy'])}." if validation else ""
    return (
        f"{readable(run.name)} has not finished: its curves end at step {step}, in epoch {run.epochs}{of_epochs(run)}."
        f"{so_far} Once it is not running any more it can be continued: {command_name()} --resume {run.path}"
    )


def shared_settings(report: Report) -> dict[str, dict[str, Any]]:
    """All settings of a single run; of several, those that they share. A corpus that files replace is left out."""
    sections = report.runs[0].settings.sections()
    unused = {"corpus"} if report.runs[0].settings.data.train_file else set()
    return {
        title: {name: value for name, value in part.items() if name not in {*report.differing, *unused}}
        for title, part in sections.items()
    }


def curves_pictures(groups: Sequence[Group]) -> list[Picture]:
    """The pictures that show all runs, or of too many groups of them those that validation finds best."""
    count = len(groups)
    groups = best_groups(groups)
    curves = curves_of(groups)
    learning = learning_caption(window_in(curves))
    rates = "Learning rate, and L2 norm of the gradient of all parameters before it is clipped, at every step."
    if any(len(runs) > 1 for runs in curves.values()):
        learning += " Runs that differ in nothing but their seed share a line, the mean of theirs, in a band from the "
        learning += "lowest to the highest."
    if count > len(groups):
        learning += (
            f" Drawn are the {len(groups)} of {count} groups of runs with the highest validation accuracy at the end."
        )
    pictures = {
        "learning": ("Loss and accuracy", learning_svg(groups), learning),
        "rates": ("Learning rate and gradient", rates_svg(groups), rates),
    }
    return [
        Picture(heading, inline_svg(svg, prefix, heading), caption)
        for prefix, (heading, svg, caption) in pictures.items()
    ]


def best_groups(groups: Sequence[Group]) -> list[Group]:
    """As many groups as have looks of their own, in order: those with the highest mean of the last accuracies."""

    def accuracy(group: Group) -> float:
        last = [run.curves["validation"][-1]["accuracy"] for run in group.runs if run.curves["validation"]]
        return statistics.mean(last) if last else 0.0

    best = sorted(range(len(groups)), key=lambda number: -accuracy(groups[number]))[:DISTINCT]
    return [groups[number] for number in sorted(best)]


def learning_svg(groups: Sequence[Group]) -> str:
    """SVG file of loss and accuracy, step by step and of validation."""
    return svg_text(lambda: draw_learning(curves_of(groups)))


def rates_svg(groups: Sequence[Group]) -> str:
    """SVG file of learning rate and norm of the gradient, step by step."""
    return svg_text(lambda: draw_rates(groups))


def matrix_svg(names: Sequence[str], confusion: Array) -> str:
    """SVG file of a confusion matrix; arguments as in draw_matrix."""
    return svg_text(lambda: draw_matrix(names, confusion))


def reliability_svg(calibration: Calibration) -> str:
    """SVG file of a reliability diagram."""
    return svg_text(lambda: draw_reliability(calibration))


def curves_of(groups: Sequence[Group]) -> Groups:
    """Groups of Runs as engine/report/curves.py draws them."""
    return {group.label: [run.curves for run in group.runs] for group in groups}


def draw_rates(groups: Sequence[Group]) -> Figure:
    """Draw learning rates as lines, and norms of the gradient on a logarithmic axis.

    Where all runs clip the gradient to one norm, a line shows it.
    """
    curves = curves_of(groups)
    figure, (upper, lower) = panels(("learning rate", "norm of the gradient, before clipping"))
    for number, (look, runs) in enumerate(zip(looks(len(curves)), curves.values())):
        draw_marked_line(upper, runs[0]["step"], numbers(runs[0]["learning_rate"]), look, number, len(curves))
    upper.set_ylim(bottom=0)
    upper.yaxis.set_major_formatter(lambda value, _: plain(value))
    clips = {run.settings.training.clip_norm for group in groups for run in group.runs}
    levels = [Level(clip, f"clipped above {clip:g}") for clip in clips if len(clips) == 1 and clip > 0]
    norms = [numbers(run["gradient_norm"]) for run in all_runs(curves)]
    room = numbers([level.y / 2 for level in levels])  # for the text below a level
    draw_series(lower, curves, "gradient_norm", within=[*norms, room])
    draw_levels(lower, levels)
    legend(figure, curves, ("gradient_norm",))
    return figure


def run_section(prefix: str, run: Run, measured: Measured | Unmeasured) -> RunSection:
    """The section of one run: matrix, largest confusions, texts labelled wrong, classes, calibration.

    prefix: of its ids.
    """
    name = readable(run.name, NAME_CHARACTERS)
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
            WrongText(one.true, one.predicted, percent(one.probability), *halves(readable(one.text)))
            for one in measured.mistakes
        ],
        mistakes_caption=mistakes_caption(measured),
        reliability=inline_svg(
            reliability_svg(measured.calibration), f"{prefix}-reliability", f"Reliability diagram of the {split} texts"
        ),
        reliability_caption=reliability_caption(measured.calibration),
    )


def halves(text: str) -> tuple[str, str]:
    """(beginning, rest) of a text, between words; a text that is hardly longer than BEGINNING has no rest."""
    if len(text) <= 1.25 * BEGINNING:
        return text, ""
    space = text.rfind(" ", BEGINNING // 2, BEGINNING)
    cut = space if space >= 0 else BEGINNING
    return text[:cut], text[cut:].lstrip()


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


def changed_message(result: dict[str, Any], measured: Measured) -> str:
    """A warning where the texts or what they are labelled are not as at the end of the training, else ""."""
    before, count = result[f"{measured.split}_accuracy"], measured.confusion.sum()
    texts = result.get("texts", {}).get(measured.split, count)
    if before is None:
        return ""
    if texts != count:
        return f"At the end of the training there were {texts:,} {measured.split} texts: they have changed since."
    same = round(before * count) == measured.confusion.diagonal().sum()
    if measured.split == "test":
        same = same and [row.get("texts") for row in result["classes"]] == [row.texts for row in measured.classes]
    if same:
        return ""
    return (
        f"At the end of the training the accuracy was {percent(before)}: the texts, the program or the device are not "
        "the same any more."
    )


def classes_rows(rows: Sequence[ClassRow]) -> list[list[str]]:
    """Rows of the table by class, the lowest F1 first; classes without texts, which have none, last."""
    ordered = sorted(rows, key=lambda row: (not row.texts, row.f1, -row.texts))
    return [
        [row.name, f"{row.texts:,}", percent(row.precision), percent(row.recall), percent(row.f1)] for row in ordered
    ]
