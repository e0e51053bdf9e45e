"""The column "ensemble" of a sweep: the accuracy of several seeds of a combination that label the test texts as one.

DIR/ensemble/NAME.json, one for each group of seeds, holds test_accuracy, test_macro_f1, test_loss, runs, and
train_seconds of all of them. Files of former versions, DIR/together/NAME.json with the same contents, are read as well.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engine.support.errors import UserError
from engine.support.files import read_json, write_json
from engine.support.settings import Settings
from engine.sweep.description import PlannedRun
from engine.sweep.results import mean_and_spread
from engine.training.ensemble import evaluate_ensemble
from engine.training.evaluation import Evaluation
from engine.training.run_directory import RunDirectory

# In a row of results.json, each with its spread: in the file of a group.
FIGURES = {"accuracy": "test_accuracy", "macro_f1": "test_macro_f1"}
SAME = 0.001  # largest difference between two accuracies of a run on the same texts
FOLDER, FORMER_FOLDER = "ensemble", "together"


class Group(NamedTuple):
    """Runs of one combination, by name."""

    runs: list[str]

    @property
    def name(self) -> str:
        """Name of its job and file, which no run has: names of runs are free of "@"."""
        return f"{FOLDER}@{self.runs[0]}"

    def file(self, folder: Path) -> Path:
        """Its file in the folder of a sweep."""
        return folder / FOLDER / f"{self.name}.json"

    def known_figures(self, folder: Path) -> dict[str, Any] | None:
        """The contents of its file, also of a former version.

        None where there is none, or where it is damaged or of other seeds: then the group is measured anew.
        """
        for path in (self.file(folder), folder / FORMER_FOLDER / f"{FORMER_FOLDER}@{self.runs[0]}.json"):
            try:
                figures = read_json(path)
            except UserError:
                continue
            whole = all(isinstance(figures.get(key), (int, float)) for key in (*FIGURES.values(), "train_seconds"))
            if whole and figures.get("runs") == self.runs:
                return figures
        return None

    def is_ready(self, found: Mapping[str, dict[str, Any]]) -> bool:
        """Whether all its runs have finished, and had test texts. found: {name of a run: its result}."""
        return all(found.get(name, {}).get("test_accuracy") is not None for name in self.runs)


def groups_of(runs: Sequence[PlannedRun], size: int) -> dict[tuple[str, ...], list[Group]]:
    """{labels of a combination: its Groups of `size` seeds each, in their order}; none for seeds that fill no group."""
    names: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        names.setdefault(run.labels, []).append(run.name)
    return {
        labels: [Group(own[i : i + size]) for i in range(0, len(own) - size + 1, size)] for labels, own in names.items()
    }


def measure_ensemble(
    folders: Sequence[str | Path],
    output: str | Path,
    network_classes: Mapping[str, type[Settings]],
    build_network: Callable[..., Any],
    device: str,
    cache_dir: str | None,
    log: Callable[[str], Any],
) -> None:
    """Write the figures of the ensemble of run directories on the test texts of the first.

    UserError as in evaluate_ensemble(), and where these are not the texts that the runs were measured on.
    """
    test, each = evaluate_ensemble(folders, network_classes, build_network, device, cache_dir, log=log)
    results: list[Any] = [RunDirectory.open(folder).result() for folder in folders]
    for folder, own, result in zip(folders, each, results):
        require_same_texts(folder, own, result)
    figures = {"test_accuracy": test.accuracy, "test_macro_f1": test.macro_f1, "test_loss": test.loss}
    seconds = sum(result["train_seconds"] for result in results)
    write_json(output, {**figures, "runs": [Path(folder).name for folder in folders], "train_seconds": seconds})


def require_same_texts(folder: str | Path, found: Evaluation, result: Mapping[str, Any]) -> None:
    """Raise UserError where the Evaluation of a run differs from its result.json by more than rounding explains.

    Rounding may differ on another device or with other threads.
    """
    count = sum(row.texts for row in found.classes)
    if abs(found.accuracy - result["test_accuracy"]) > max(SAME, 1.5 / count):
        now, before = (f"{100 * accuracy:.2f} %" for accuracy in (found.accuracy, result["test_accuracy"]))
        told = f"has a test accuracy of {now} on the test texts as they are now, and of {before} in its result.json"
        raise UserError(f"{folder}: {told}; restore the texts, or begin a new sweep")


def with_ensembles(
    results: dict[str, Any], runs: Sequence[PlannedRun], found: Mapping[str, dict[str, Any]], size: int
) -> dict[str, Any]:
    """The results of a sweep with "ensemble": the seeds of a group, and in each row the figures of its groups.

    These are the numbers of groups measured and planned, and mean and standard deviation of the FIGURES over the
    former, None where there is none.
    """
    rows = []
    for row, groups in zip(results["rows"], groups_of(runs, size).values()):
        measured = [found[group.name] for group in groups if group.name in found]
        ensemble: dict[str, Any] = {"groups": len(measured), "planned": len(groups)}
        for name, key in FIGURES.items():
            ensemble[name], ensemble[f"{name}_spread"] = mean_and_spread([figures[key] for figures in measured])
        rows.append({**row, "ensemble": ensemble})
    return {**results, "ensemble": size, "rows": rows}
