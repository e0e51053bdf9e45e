"""The page of a report, of one run or of several: their figures, their curves, a section for each run, the settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.report.curve_pictures import curves_pictures
from engine.report.errors import Unmeasured
from engine.report.figures import require_matplotlib
from engine.report.html import NO_BREAK, TEMPLATES, readable, render, require_jinja2, settings_groups
from engine.report.run_section import changed_message, run_section
from engine.report.runs import NAME_CHARACTERS, Run
from engine.report.summary import NONE, Figures, Report, facts_of, figures_of, of_epochs, percent, seeds_table
from engine.support.command import command_name
from engine.support.errors import UserError
from engine.support.files import require_writable, write_text
from engine.training.calibration import BINS

ENDINGS = (".html", ".htm")
SETTING_CHARACTERS = 60
MISTAKES_SHOWN, CLASSES_SHOWN, MESSAGES_SHOWN = 5, 10, 3  # more of them are folded, or counted
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
    if figures.micro_f1 is not None:
        cards = [
            (percent(figures.micro_f1), f"{figures.split} micro F1", f"all labels right: {percent(figures.accuracy)}")
        ]
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
