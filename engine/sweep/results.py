"""What came out of a sweep: a row for each combination, with mean and spread over its seeds.

results.json: axes, seeds, rows, failed. Of a row: the label on each axis, COLUMNS, and each seed's figures in "runs". Where asked for,
both have "together" (together.py).

The confidence interval of a mean from a few values: mean ± t·s/√n with Student's t.

The results of a sweep for people and for other programs: text, Markdown, CSV.
"""

import csv
import io
import math
import statistics

from engine.support.text import format_table, markdown_table

# Student's t with n − 1 degrees of freedom lies below this with probability 0.975: the 95 % that are left are around the mean.
QUANTILES = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228,
    11: 2.201, 12: 2.179, 13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110, 18: 2.101, 19: 2.093, 20: 2.086,
    21: 2.080, 22: 2.074, 23: 2.069, 24: 2.064, 25: 2.060, 26: 2.056, 27: 2.052, 28: 2.048, 29: 2.045, 30: 2.042,
    40: 2.021, 60: 2.000, 120: 1.980,
}  # fmt: skip


def quantile(degrees):
    """The entry of QUANTILES; between two of them that of the smaller number, with which an interval is a little too wide."""
    return QUANTILES[max(known for known in QUANTILES if known <= degrees)]


def mean_interval(values):
    """[low, high] that holds the mean of shares in [0, 1] with 95 %, if their spread is that of a normal distribution. None for a single value."""
    if len(values) < 2:
        return None
    half = quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.mean(values)
    return [max(0.0, mean - half), min(1.0, mean + half)]


MEASURED = {"mean": "test_accuracy", "macro_f1": "test_macro_f1", "validation": "validation_accuracy"}
OF_A_RUN = ("test_accuracy", "test_macro_f1", "validation_accuracy", "train_seconds", "peak_memory_bytes", "best_epoch")
COLUMNS = (
    "seeds", "planned", "mean", "mean_spread", "interval", "macro_f1", "macro_f1_spread", "validation", "validation_spread",
    "seconds", "peak_memory_bytes", "runs",
)  # fmt: skip


def sweep_results(axes, seeds, runs, found, failed):
    """What results.json holds. runs: PlannedRuns; found: {name: contents of a result.json}; failed: {name: reason}."""
    groups = {}
    for run in runs:
        groups.setdefault(run.labels, []).append(run)
    rows = [{**dict(zip(axes, labels)), **figures_of_row(group, found)} for labels, group in groups.items()]
    reasons = [{"run": name, "reason": reason} for name, reason in failed.items()]
    return {"axes": list(axes), "seeds": sorted(seeds), "rows": rows, "failed": reasons}


def figures_of_row(group, found):
    """The COLUMNS of the runs of one combination: of those that have finished."""
    finished = [run for run in group if run.name in found]
    each = [
        {"seed": run.settings.training.seed, "run": run.name, **{key: found[run.name].get(key) for key in OF_A_RUN}}
        for run in finished
    ]
    return summary(each, len(group))


def summary(runs, planned):
    """The COLUMNS over dicts of OF_A_RUN: means, sample standard deviations (None for a single run), the interval of the mean test accuracy.

    A figure that a run lacks is None. Seconds are the mean, memory is the largest.
    """
    row = {"seeds": len(runs), "planned": planned}
    for name, key in MEASURED.items():
        values = [run[key] for run in runs]
        row[name], row[f"{name}_spread"] = mean_and_spread(values)
        if name == "mean":
            row["interval"] = None if row[name] is None else mean_interval(values)
    row["seconds"] = statistics.mean(run["train_seconds"] for run in runs) if runs else None
    row["peak_memory_bytes"] = max((run["peak_memory_bytes"] for run in runs), default=None)
    return {**row, "runs": runs}


def mean_and_spread(values):
    """(Mean, sample standard deviation): both None of no values or where one is None, the second of a single one."""
    if not values or None in values:
        return None, None
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


HEADINGS = ("seeds", "test accuracy", "95 % interval", "macro F1", "validation", "training", "memory")
CSV_COLUMNS = (
    "seeds", "planned", "mean", "mean_spread", "interval_low", "interval_high", "macro_f1", "macro_f1_spread",
    "validation", "validation_spread", "seconds", "peak_memory_bytes",
)  # fmt: skip
TOGETHER = {
    "together": "accuracy",
    "together_spread": "accuracy_spread",
    "together_macro_f1": "macro_f1",
    "together_macro_f1_spread": "macro_f1_spread",
    "together_groups": "groups",
}  # further columns of table.csv, where seeds were measured together: in a row's "together"
NOTE = "mean ± standard deviation over the seeds {seeds}; 95 % interval of the mean (Student's t); training: mean seconds of one run; memory: its largest peak"
TOGETHER_NOTE = "; {0} together: test accuracy of the mean of {0} seeds' class probabilities, over groups of {0}"
RESERVED = {*CSV_COLUMNS, *TOGETHER}  # names that no axis may have
MISSING = "-"


def as_text(results):
    """The table for a terminal, with what its figures are."""
    return f"{format_table(*cells(results))}\n\n{note(results)}"


def as_markdown(results):
    """The table in Markdown, and the runs that failed."""
    failed = "".join(f"\n- {failure['run']}: {failure['reason']}" for failure in results["failed"])
    return f"{markdown_table(*cells(results))}\n\n{note(results)}\n" + (f"\nFailed:\n{failed}\n" if failed else "")


def as_csv(results):
    """One line for each row of the table, plain numbers, what is missing left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [*results["axes"], *CSV_COLUMNS, *(TOGETHER if "together" in results else ())]
    writer.writerow(columns)
    for row in results["rows"]:
        low, high = row["interval"] or (None, None)
        together = {name: (row.get("together") or {}).get(key) for name, key in TOGETHER.items()}
        flat = {**row, "interval_low": low, "interval_high": high, **together}
        writer.writerow([flat[name] for name in columns])
    return text.getvalue()


def note(results):
    together = TOGETHER_NOTE.format(results["together"]) if "together" in results else ""
    return NOTE.format(seeds=", ".join(map(str, results["seeds"]))) + together


def cells(results):
    """(headings, rows, alignment) of the table."""
    axes = results["axes"]
    rows = [[*(row[axis] for axis in axes), *figures(row)] for row in results["rows"]]
    headings, align = [*axes, *HEADINGS], "<" * len(axes) + ">" * len(HEADINGS)
    if "together" in results:
        place = len(axes) + HEADINGS.index("test accuracy") + 1
        headings.insert(place, f"{results['together']} together")
        align += ">"
        for row, cell in zip(results["rows"], rows):
            cell.insert(place, of_groups(row["together"]) if "together" in row else MISSING)
    return headings, rows, align


def of_groups(together):
    """ "97.72 ± 0.05 %", with the groups of seeds that it is of where some are missing."""
    known, planned = together["groups"], together["planned"]
    return percent(together, "accuracy") + (f" ({known} of {planned})" if 0 < known < planned else "")


def figures(row):
    """The cells under HEADINGS."""
    seeds = (
        MISSING
        if row["planned"] is None
        else str(row["seeds"])
        if row["seeds"] == row["planned"]
        else f"{row['seeds']} of {row['planned']}"
    )
    low_high = (
        MISSING if row["interval"] is None else f"{100 * row['interval'][0]:.2f} to {100 * row['interval'][1]:.2f} %"
    )
    seconds = MISSING if row["seconds"] is None else f"{row['seconds']:.1f} s"
    memory = MISSING if row["peak_memory_bytes"] is None else f"{row['peak_memory_bytes'] / 2**20:,.0f} MiB"
    return [
        seeds,
        percent(row, "mean"),
        low_high,
        percent(row, "macro_f1"),
        percent(row, "validation"),
        seconds,
        memory,
    ]


def percent(row, name):
    """ "97.30 ± 0.32 %", or without a spread where there is none."""
    mean, spread = row[name], row[f"{name}_spread"]
    if mean is None:
        return MISSING
    return f"{100 * mean:.2f} %" if spread is None else f"{100 * mean:.2f} ± {100 * spread:.2f} %"
