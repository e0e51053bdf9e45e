"""Run directories as a report reads them."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from engine.analysis.series import is_number
from engine.errors import UserError
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import RunSettings
from engine.training.session import read_run_settings

PER_STEP = ("loss", "accuracy", "learning_rate", "gradient_norm")
VALIDATION = {"accuracy": "validation_accuracy", "loss": "validation_loss"}


class Run(NamedTuple):
    """name: of the folder, with those above it where that tells runs apart. made_with: the device and the version of the program.

    curves: as engine/analysis/step_curves.py draws them. epochs: the number of the last that has begun.
    result: what result.json holds, or None while the run is unfinished.
    """

    path: Path
    name: str
    settings: RunSettings
    made_with: dict
    curves: dict
    epochs: int
    result: dict | None


def read_runs(paths, network_classes):
    """A Run of each path. UserError where one is no run, damaged, has not trained a step, or is named twice."""
    directories = [RunDirectory.open(path) for path in paths]
    first = {}
    for directory in directories:
        if directory.path.resolve() in first:
            raise UserError(f"{directory.path}: is the same run as {first[directory.path.resolve()]}; name each once")
        first[directory.path.resolve()] = directory.path
    return [read_run(directory, name, network_classes) for directory, name in zip(directories, names_of(list(first)))]


def names_of(paths):
    """Resolved paths → the shortest ends of them of which no two are alike, as texts. A run `runs/a` is `a` unless there is another."""
    ends = [path.name for path in paths]
    for depth in range(2, max(len(path.parts) for path in paths) + 1):
        count = Counter(ends)
        ends = ["/".join(path.parts[-depth:]) if count[end] > 1 else end for path, end in zip(paths, ends)]
    return ends


def read_run(directory, name, network_classes):
    settings, result = read_run_settings(directory, network_classes), directory.result()
    lines = directory.read_metrics()
    if not lines:
        raise UserError(f"{directory.metrics_file}: holds no step yet; wait until the run has trained some, or leave it out")
    check_lines(directory.metrics_file, lines)
    if result and result.get("steps", len(lines)) != len(lines):
        told = f"{directory.result_file.name} tells of {result['steps']}"
        raise UserError(f"{directory.metrics_file}: holds {len(lines)} steps, but {told}; restore the file or train again")
    curves = {"step": [line["step"] for line in lines], **{key: [line[key] for line in lines] for key in PER_STEP}}
    checked = [line for line in lines if VALIDATION["accuracy"] in line]
    curves["validation"] = [{"step": line["step"], **{key: line[field] for key, field in VALIDATION.items()}} for line in checked]
    made_with = {key: str(directory.read_config()["run"].get(key, "")) for key in ("device", "version")}
    return Run(directory.path, name, settings, made_with, curves, lines[-1]["epoch"], result)


def check_lines(path, lines):
    """Raise UserError, which names the line, unless each holds the numbers of a step, and the steps rise."""
    before = 0
    for number, line in enumerate(lines, start=1):
        validation = VALIDATION.values() if line.keys() & set(VALIDATION.values()) else ()
        for key in ("step", "epoch", *PER_STEP, *validation):
            if not is_number(line.get(key)):
                found = repr(line[key]) if key in line else "none"
                raise UserError(f"{path}, line {number}: expected a number as {key}, got {found}; restore the file or train again")
        if line["step"] <= before:
            raise UserError(f"{path}, line {number}: step {line['step']} does not come after step {before}; restore the file or train again")
        before = line["step"]
