"""The runs of a report in numbers: for the terminal, for the page, and as JSON."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from engine.report.errors import Errors, Measured, MeasuredSets, largest_confusions, measure, remembering
from engine.report.html import readable
from engine.report.runs import NAME_CHARACTERS, Group, Run, differences, grouped, read_runs, runs_in
from engine.support.text import format_table
from engine.training.evaluation import ClassRow
from engine.training.selection import best_text

NONE = "–"  # stands for a number that there is not
ON_TERMINAL = (
    "network",
    "parameters",
    "test accuracy",
    "test macro F1",
    "worst class",
    "validation accuracy",
    "best epoch",
    "training time",
)
SEEDS = {  # figures whose means are shown
    "test accuracy": "test_accuracy",
    "test macro F1": "test_macro_f1",
    "validation accuracy": "validation_accuracy",
}


class Report(NamedTuple):
    """Runs, the confusions of each, their groups, and the settings in which they differ (see differences()).

    notes: sentences on runs that were left out.
    """

    runs: Sequence[Run]
    measured: Sequence[Errors]
    groups: Sequence[Group]
    differing: dict[str, list[str]]
    notes: Sequence[str] = ()


class Figures(NamedTuple):
    """The figures of a run that come first. split: of the texts, "test" or "validation"; worst: by F1.

    macro_f1 and worst are None where only the accuracy is known, micro_f1 where a text has one label.
    """

    split: str
    accuracy: float
    macro_f1: float | None
    worst: ClassRow | None
    micro_f1: float | None = None


def make_report(
    paths: Sequence[Path | str],
    network_classes: Mapping[str, Any],
    build_network: Callable[..., Any],
    device: str = "cpu",
    cache_dir: Path | str | None = None,
) -> Report:
    """Read and measure the run directories and folders of sweeps `paths`.

    UserError where one is none, or damaged; all are read before one is measured.
    """
    paths, notes = runs_in(paths)
    runs = read_runs(paths, network_classes)
    read = remembering(cache_dir)
    bar = tqdm(runs, desc="report", unit="run", leave=False, disable=None)
    measured = [measure(run, network_classes, build_network, read, device) for run in bar]
    return Report(runs, measured, grouped(runs), differences(runs), notes)


def figures_of(run: Run, measured: Errors) -> Figures | None:
    """The Figures of a run as measured now, or else as at the end of its training; None where there are none."""
    if isinstance(measured, (Measured, MeasuredSets)):
        micro = measured.micro_f1 if isinstance(measured, MeasuredSets) else None
        return Figures(measured.split, measured.accuracy, measured.macro_f1, worst_class(measured.classes), micro)
    result = run.result or {}
    if result.get("test_accuracy") is not None:
        worst = worst_class([ClassRow(**row) for row in result["classes"]])
        return Figures("test", result["test_accuracy"], result["test_macro_f1"], worst, result.get("test_micro_f1"))
    if result.get("validation_accuracy") is not None:
        return Figures("validation", result["validation_accuracy"], None, None, result.get("validation_micro_f1"))
    return None


def worst_class(classes: Sequence[ClassRow]) -> ClassRow | None:
    """The class with the lowest F1 of those that have texts; of equal ones that with most texts."""
    return min((row for row in classes if row.texts), key=lambda row: (row.f1, -row.texts), default=None)


def facts_of(run: Run, measured: Errors) -> dict[str, str]:
    """{term: text} for one run, in the order in which they are shown."""
    data, result = run.settings.data, run.result or {}
    network: Any = run.settings.network
    known = measured.names if isinstance(measured, (Measured, MeasuredSets)) else result.get("classes", ())
    classes = len(known)
    figures = figures_of(run, measured)
    # Earlier versions kept no "texts".
    texts = {"test": sum(row["texts"] for row in result.get("classes", ())) or None, **result.get("texts", {})}
    return {
        "corpus": readable(Path(data.train_file).name, NAME_CHARACTERS) if data.train_file else data.corpus,
        **{f"{split} texts": number(texts.get(split)) for split in ("training", "validation", "test")},
        "classes": f"{classes:,}" if classes else NONE,
        "network": network.label(),
        **{field: str(getattr(network, field, NONE)) for field in ("dimension", "blocks")},
        "parameters": number(result.get("parameters")),
        "test accuracy": percent(result.get("test_accuracy")),
        "test macro F1": percent(result.get("test_macro_f1")),
        **({"test micro F1": percent(result["test_micro_f1"])} if result.get("test_micro_f1") is not None else {}),
        "worst class": worst_text(figures and figures.worst),
        "validation accuracy": percent(result.get("validation_accuracy")),
        "best epoch": best_text(result) if result else f"unfinished, {run.epochs}{of_epochs(run)}",
        "steps": number(run.curves["step"][-1]),
        "training time": f"{result['train_seconds']:,.1f} s" if result else NONE,
        "tokens per second": number(result.get("tokens_per_second")),
        "peak memory": f"{result['peak_memory_bytes'] / 2**20:,.0f} MiB" if result else NONE,
        "device": result.get("device", run.made_with["device"]),
        "seed": str(run.settings.training.seed),
    }


def worst_text(worst: ClassRow | None) -> str:
    return NONE if worst is None else f"{readable(worst.name, NAME_CHARACTERS)}, F1 {percent(worst.f1)}"


def of_epochs(run: Run) -> str:
    """ " of N", the epochs of an unfinished run; nothing where a step budget may end it earlier."""
    training = run.settings.training
    return "" if training.step_budget else f" of {training.epochs}"


def number(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.2f} %"


def seeds_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """(headings, rows) of texts: mean ± standard deviation of every group of several finished runs.

    Without such a group there are no rows.
    """
    rows = []
    for group in report.groups:
        results = [run.result for run in group.runs if run.result]
        if len(results) > 1:
            figures = ([result[key] for result in results if result[key] is not None] for key in SEEDS.values())
            rows.append([group.label, str(len(results)), *map(spread, figures)])
    return ["settings", "seeds", *SEEDS], rows


def spread(values: Sequence[float]) -> str:
    return f"{100 * statistics.mean(values):.2f} ± {100 * statistics.stdev(values):.2f} %" if len(values) > 1 else NONE


def as_table(report: Report) -> str:
    """Tables for the terminal."""
    rows = []
    for run, measured in zip(report.runs, report.measured):
        facts = facts_of(run, measured)
        rows.append([readable(run.name), *(facts[term] for term in ON_TERMINAL)])
    tables = [format_table(["run", *ON_TERMINAL], rows, align="<<" + ">" * (len(ON_TERMINAL) - 1))]
    headings, seeds = seeds_table(report)
    return "\n\n".join(tables + ([format_table(headings, seeds)] if seeds else []))


def as_json_object(report: Report, page: Path | str) -> dict[str, Any]:
    """Object that --json prints. page: the path of the page."""
    groups = [{"label": group.label, "runs": [run.name for run in group.runs]} for group in report.groups]
    runs = [{**run_object(run), **measured_object(found)} for run, found in zip(report.runs, report.measured)]
    return {
        "page": str(page),
        "notes": report.notes,
        "differing_settings": report.differing,
        "groups": groups,
        "runs": runs,
    }


def run_object(run: Run) -> dict[str, Any]:
    steps = run.curves["step"][-1]
    return {
        "name": run.name,
        "run_directory": str(run.path),
        "finished": run.result is not None,
        "steps": steps,
        "result": run.result,
    }


def measured_object(found: Errors) -> dict[str, Any]:
    if isinstance(found, MeasuredSets):
        rows = {name: [row._asdict() for row in getattr(found, name)] for name in ("classes", "mistakes")}
        return {"measured": {**found._asdict(), **rows}}
    if not isinstance(found, Measured):
        return {"measured": None, "why": found.why}
    return {
        "measured": {
            "split": found.split,
            "accuracy": found.accuracy,
            "macro_f1": found.macro_f1,
            "expected_calibration_error": found.calibration.error,
            "calibration": [one._asdict() for one in found.calibration.bins],
            "names": found.names,
            "confusion": found.confusion.tolist(),
            "largest_confusions": [pair._asdict() for pair in largest_confusions(found.names, found.confusion)],
            "mistakes": [mistake._asdict() for mistake in found.mistakes],
        }
    }
