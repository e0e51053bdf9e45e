"""What came out of a sweep: a row for each combination, with mean and spread over its seeds.

results.json: axes, seeds, rows, failed. Of a row: the label on each axis, COLUMNS, and each seed's figures in "runs". Where asked for,
both have "together" (together.py).
"""

import statistics

from engine.training.sweep.interval import mean_interval

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
    rows = [{**dict(zip(axes, labels)), **figures(group, found)} for labels, group in groups.items()]
    reasons = [{"run": name, "reason": reason} for name, reason in failed.items()]
    return {"axes": list(axes), "seeds": sorted(seeds), "rows": rows, "failed": reasons}


def figures(group, found):
    """The COLUMNS of the runs of one combination: of those that have finished."""
    finished = [run for run in group if run.name in found]
    each = [{"seed": run.settings.training.seed, "run": run.name, **{key: found[run.name].get(key) for key in OF_A_RUN}} for run in finished]
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
