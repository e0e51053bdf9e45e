"""The column "together" of a sweep: what the seeds of a combination reach when they label the test texts together.

DIR/together/NAME.json: test_accuracy, test_macro_f1, test_loss; runs; train_seconds of all of them.
"""

from typing import NamedTuple

from engine.files import write_json
from engine.training.run_directory import RunDirectory
from engine.training.together import evaluate_together


class Group(NamedTuple):
    """name: of its file, which no run has, since theirs are free of "@"; labels: of its combination; runs: their names."""

    name: str
    labels: tuple
    runs: list


def groups_of(runs):
    """A Group for each combination of PlannedRuns."""
    groups = {}
    for run in runs:
        groups.setdefault(run.labels, []).append(run.name)
    return [Group(f"together@{names[0]}", labels, names) for labels, names in groups.items()]


def is_ready(group, found):
    """Whether several runs of a Group have finished, none is missing, and there are texts to label. found: {name of a run: its result}."""
    return len(group.runs) > 1 and all(found.get(name, {}).get("test_accuracy") is not None for name in group.runs)


def measure_together(folders, output, network_classes, build_network, device, cache_dir, tell):
    """Write the figures of run directories that label the test texts of the first of them."""
    test = evaluate_together(folders, network_classes, build_network, device, cache_dir, tell=tell)
    figures = {"test_accuracy": test.accuracy, "test_macro_f1": test.macro_f1, "test_loss": test.loss}
    seconds = sum(RunDirectory.open(folder).result()["train_seconds"] for folder in folders)
    write_json(output, {**figures, "runs": folders, "train_seconds": seconds})


def with_together(results, runs, found):
    """The results of a sweep with "together" in each row: test accuracy and macro F1, or None where they are not known."""
    rows = []
    for row, group in zip(results["rows"], groups_of(runs)):
        figures = found.get(group.name)
        rows.append({**row, "together": figures and {key: figures[f"test_{key}"] for key in ("accuracy", "macro_f1")}})
    return {**results, "rows": rows}
