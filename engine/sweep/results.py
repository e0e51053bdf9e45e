"""The results of a sweep: a row for each combination with mean and spread over its seeds, as text, Markdown and CSV.

results.json holds axes, seeds, rows, failed. A row holds the label on each axis, COLUMNS, and each seed's figures in
"runs". Where ensembles were asked for, both have "ensemble" (with_ensembles() in baselines.py).

The 95 % confidence interval of a mean of n values is mean ± t·s/√n with Student's t.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from engine.support.text import format_table, markdown_table

# Student's t with n − 1 degrees of freedom, by these, lies below the value with probability 0.975: 95 % are around 0.
QUANTILES = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228,
    11: 2.201, 12: 2.179, 13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110, 18: 2.101, 19: 2.093, 20: 2.086,
    21: 2.080, 22: 2.074, 23: 2.069, 24: 2.064, 25: 2.060, 26: 2.056, 27: 2.052, 28: 2.048, 29: 2.045, 30: 2.042,
    40: 2.021, 60: 2.000, 120: 1.980,
}  # fmt: skip


def quantile(degrees: int) -> float:
    """The entry of QUANTILES; between two of them that of the smaller number: an interval is then a little too wide."""
    return QUANTILES[max(known for known in QUANTILES if known <= degrees)]


def mean_interval(values: Sequence[float]) -> list[float] | None:
    """[low, high] that holds the mean of shares in [0, 1] with 95 % if they are normally distributed.

    None for a single value.
    """
    if len(values) < 2:
        return None
    half = quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.mean(values)
    return [max(0.0, mean - half), min(1.0, mean + half)]


MEASURED = {"mean": "test_accuracy", "macro_f1": "test_macro_f1", "validation": "validation_accuracy"}
OF_A_RUN = ("test_accuracy", "test_macro_f1", "validation_accuracy", "train_seconds", "peak_memory_bytes", "best_epoch")
MICRO_F1 = "test_micro_f1"  # of runs in which a text may have several labels; their accuracy is that of whole sets
COLUMNS = (
    "seeds", "planned", "mean", "mean_spread", "interval", "macro_f1", "macro_f1_spread", "validation",
    "validation_spread", "seconds", "peak_memory_bytes", "runs",
)  # fmt: skip
CLASSIFIER = "classifier"  # the axis that is put in for the linear SVM where every axis is about texts


def sweep_results(
    axes: Sequence[str],
    seeds: Sequence[int],
    runs: Sequence[Any],
    found: Mapping[str, dict[str, Any]],
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """The contents of results.json. found: {name of a run: contents of its result.json}; failed: {name: reason}."""
    groups: dict[tuple[str, ...], list[Any]] = {}
    for run in runs:
        groups.setdefault(run.labels, []).append(run)
    rows = [{**dict(zip(axes, labels)), **figures_of_row(group, found)} for labels, group in groups.items()]
    reasons = [{"run": name, "reason": reason} for name, reason in failed.items()]
    return {"axes": list(axes), "seeds": sorted(seeds), "rows": rows, "failed": reasons}


def figures_of_row(group: Sequence[Any], found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The COLUMNS over the runs of one combination that have finished."""
    finished = [run for run in group if run.name in found]
    each = [
        {"seed": run.settings.training.seed, "run": run.name, **figures_of_run(found[run.name])} for run in finished
    ]
    return summary(each, len(group))


def figures_of_run(result: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of OF_A_RUN in a result.json, and MICRO_F1 where it has one."""
    more = {MICRO_F1: result[MICRO_F1]} if MICRO_F1 in result else {}
    return {**{key: result.get(key) for key in OF_A_RUN}, **more}


def summary(runs: Sequence[dict[str, Any]], planned: int) -> dict[str, Any]:
    """The COLUMNS over dicts of OF_A_RUN: means, sample standard deviations, the interval of the mean test accuracy.

    The standard deviation of a single run is None, and so is a figure that a run lacks. Seconds are the mean, memory is
    the largest.
    """
    row: dict[str, Any] = {"seeds": len(runs), "planned": planned}
    for name, key in MEASURED.items():
        values = [run[key] for run in runs]
        row[name], row[f"{name}_spread"] = mean_and_spread(values)
        if name == "mean":
            row["interval"] = None if row[name] is None else mean_interval(values)
    if any(MICRO_F1 in run for run in runs):
        row["micro_f1"], row["micro_f1_spread"] = mean_and_spread([run.get(MICRO_F1) for run in runs])
    row["seconds"] = statistics.mean(run["train_seconds"] for run in runs) if runs else None
    row["peak_memory_bytes"] = max((run["peak_memory_bytes"] for run in runs), default=None)
    return {**row, "runs": runs}


def mean_and_spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """(Mean, sample standard deviation): both None without values or where one is None, the second for a single one."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None, None
    return statistics.mean(known), statistics.stdev(known) if len(known) > 1 else None


HEADINGS = ("seeds", "test accuracy", "95 % interval", "macro F1", "validation", "training", "memory")
CSV_COLUMNS = (
    "seeds", "planned", "mean", "mean_spread", "interval_low", "interval_high", "macro_f1", "macro_f1_spread",
    "validation", "validation_spread", "seconds", "peak_memory_bytes",
)  # fmt: skip
ENSEMBLE_COLUMNS = {
    "ensemble": "accuracy",
    "ensemble_spread": "accuracy_spread",
    "ensemble_macro_f1": "macro_f1",
    "ensemble_macro_f1_spread": "macro_f1_spread",
    "ensemble_groups": "groups",
}  # further columns of table.csv, where ensembles were measured: keys of a row's "ensemble"
NOTE = (
    "mean ± standard deviation over the seeds {seeds}; 95 % interval of the mean (Student's t); "
    "training: mean seconds of one run; memory: its largest peak"
)
ENSEMBLE_NOTE = "; ensemble of {0}: test accuracy of the mean of {0} seeds' class probabilities, over groups of {0}"
MICRO_F1_COLUMNS = ("micro_f1", "micro_f1_spread")  # further ones, where a text may have several labels
RESERVED = {*CSV_COLUMNS, *ENSEMBLE_COLUMNS, *MICRO_F1_COLUMNS}  # names that no axis may have
MISSING = "-"


def as_text(results: dict[str, Any]) -> str:
    """The table for a terminal, with an explanation of its figures."""
    return f"{format_table(*cells(results))}\n\n{note(results)}"


def as_markdown(results: dict[str, Any]) -> str:
    """The table in Markdown, and the runs that failed."""
    failed = "".join(f"\n- {failure['run']}: {failure['reason']}" for failure in results["failed"])
    return f"{markdown_table(*cells(results))}\n\n{note(results)}\n" + (f"\nFailed:\n{failed}\n" if failed else "")


def as_csv(results: dict[str, Any]) -> str:
    """One line for each row of the table, in plain numbers; missing ones are left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    more = [*(ENSEMBLE_COLUMNS if "ensemble" in results else ()), *(MICRO_F1_COLUMNS if has_micro_f1(results) else ())]
    columns = [*results["axes"], *CSV_COLUMNS, *more]
    writer.writerow(columns)
    for row in results["rows"]:
        low, high = row["interval"] or (None, None)
        ensemble = {name: (row.get("ensemble") or {}).get(key) for name, key in ENSEMBLE_COLUMNS.items()}
        flat = {**row, "interval_low": low, "interval_high": high, **ensemble}
        writer.writerow([flat.get(name) for name in columns])
    return text.getvalue()


def has_micro_f1(results: dict[str, Any]) -> bool:
    """Whether some row is of runs in which a text may have several labels."""
    return any("micro_f1" in row for row in results["rows"])


def note(results: dict[str, Any]) -> str:
    """The meaning of the figures."""
    ensemble = ENSEMBLE_NOTE.format(results["ensemble"]) if "ensemble" in results else ""
    return NOTE.format(seeds=", ".join(map(str, results["seeds"]))) + ensemble


def cells(results: dict[str, Any]) -> tuple[list[str], list[list[str]], str]:
    """(headings, rows, alignment) of the table."""
    axes = results["axes"]
    rows = [[*(row[axis] for axis in axes), *figures(row)] for row in results["rows"]]
    headings, align = [*axes, *HEADINGS], "<" * len(axes) + ">" * len(HEADINGS)
    if has_micro_f1(results):
        place = headings.index("macro F1")
        headings.insert(place, "micro F1")
        align += ">"
        for row, cell in zip(results["rows"], rows):
            cell.insert(place, percent(row, "micro_f1") if "micro_f1" in row else MISSING)
    if "ensemble" in results:
        place = len(axes) + HEADINGS.index("test accuracy") + 1
        headings.insert(place, f"ensemble of {results['ensemble']}")
        align += ">"
        for row, cell in zip(results["rows"], rows):
            cell.insert(place, ensemble_cell(row["ensemble"]) if "ensemble" in row else MISSING)
    return headings, rows, align


def ensemble_cell(ensemble: Mapping[str, Any]) -> str:
    """ "97.72 ± 0.05 %", with the number of groups of seeds where some are missing."""
    known, planned = ensemble["groups"], ensemble["planned"]
    return percent(ensemble, "accuracy") + (f" ({known} of {planned})" if 0 < known < planned else "")


def figures(row: Mapping[str, Any]) -> list[str]:
    """The cells under HEADINGS."""
    seeds, low_high = MISSING, MISSING
    if row["planned"] is not None:
        seeds = f"{row['seeds']}" if row["seeds"] == row["planned"] else f"{row['seeds']} of {row['planned']}"
    if row["interval"] is not None:
        low, high = row["interval"]
        low_high = f"{100 * low:.2f} to {100 * high:.2f} %"
    seconds = MISSING if row["seconds"] is None else f"{row['seconds']:.1f} s"
    memory = MISSING if row["peak_memory_bytes"] is None else f"{row['peak_memory_bytes'] / 2**20:,.0f} MiB"
    mean, macro_f1, validation = (percent(row, name) for name in ("mean", "macro_f1", "validation"))
    return [seeds, mean, low_high, macro_f1, validation, seconds, memory]


def percent(row: Mapping[str, Any], name: str) -> str:
    """ "97.30 ± 0.32 %", or without a spread where there is none."""
    mean, spread = row[name], row[f"{name}_spread"]
    if mean is None:
        return MISSING
    return f"{100 * mean:.2f} %" if spread is None else f"{100 * mean:.2f} ± {100 * spread:.2f} %"
