"""Run directories as a report reads them, in which settings they differ, and which differ in nothing but their seed."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engine.report.html import readable
from engine.report.series import Curves, is_number
from engine.support.errors import UserError
from engine.sweep.run import PLAN_FILE
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import RunSettings
from engine.training.trained_run import read_run_settings

PER_STEP = ("loss", "accuracy", "learning_rate", "gradient_norm")
VALIDATION = {"accuracy": "validation_accuracy", "loss": "validation_loss"}
ABSENT = "–"  # stands for a setting that a run does not have
NAME_CHARACTERS, DIFFERENCE_CHARACTERS = 40, 60  # of a name that is shown, and in the label of a group


class Run(NamedTuple):
    """A run directory.

    name: of the folder, with those above it where that tells runs apart. made_with: the device and the version of the
    program. curves: as engine/report/curves.py draws them. epochs: the number of the last that has begun.
    result: content of result.json, or None while the run is unfinished.
    """

    path: Path
    name: str
    settings: RunSettings
    made_with: dict[str, str]
    curves: Curves
    epochs: int
    result: dict[str, Any] | None


class Group(NamedTuple):
    """Runs that a figure draws as one line. label: no two are alike."""

    label: str
    runs: list[Run]


def runs_in(paths: Sequence[Path | str]) -> tuple[list[Path | str], list[str]]:
    """(run directories, notes) of run directories and folders of sweeps, which stand for their runs by name.

    Runs of a sweep that have not trained a step yet are left out, and a note says so. UserError where none is left.
    """
    found: list[Path | str] = []
    notes = []
    for path in paths:
        if not (Path(path) / PLAN_FILE).is_file():
            found.append(path)
            continue
        folders = [file.parent for file in (Path(path) / "runs").glob("*/config.toml")]
        folders.sort(key=lambda folder: in_number_order(folder.name))
        begun = [folder for folder in folders if has_step(RunDirectory(folder))]
        if not begun:
            raise UserError(f"{path}: no run of this sweep has trained a step yet; wait until one has")
        waiting = len(folders) - len(begun)
        if waiting:
            notes.append(
                f"{path}: {waiting} of {len(folders)} runs {'has' if waiting == 1 else 'have'} not trained a step yet, "
                f"and {'is' if waiting == 1 else 'are'} left out."
            )
        found += begun
    return found, notes


def has_step(directory: RunDirectory) -> bool:
    """Whether a run has begun to write its steps."""
    return directory.metrics_file.is_file() and directory.metrics_file.stat().st_size > 0


def in_number_order(name: str) -> list[tuple[int, str]]:
    """A key by which `a-2` comes before `a-10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def read_runs(paths: Sequence[Path | str], network_classes: Mapping[str, Any]) -> list[Run]:
    """Read a Run from each path. UserError where one is no run, damaged, has not trained a step, or is named twice."""
    directories = [RunDirectory.open(path) for path in paths]
    first: dict[Path, Path] = {}
    for directory in directories:
        if directory.path.resolve() in first:
            raise UserError(f"{directory.path}: is the same run as {first[directory.path.resolve()]}; name each once")
        first[directory.path.resolve()] = directory.path
    return [read_run(directory, name, network_classes) for directory, name in zip(directories, names_of(list(first)))]


def names_of(paths: Sequence[Path]) -> list[str]:
    """Resolved paths → the shortest ends of them of which no two are alike, as texts.

    A run `runs/a` is `a` unless there is another.
    """
    ends = [path.name for path in paths]
    for depth in range(2, max(len(path.parts) for path in paths) + 1):
        count = Counter(ends)
        ends = ["/".join(path.parts[-depth:]) if count[end] > 1 else end for path, end in zip(paths, ends)]
    return ends


def read_run(directory: RunDirectory, name: str, network_classes: Mapping[str, Any]) -> Run:
    settings, result = read_run_settings(directory, network_classes), directory.result()
    lines = directory.read_metrics()
    if not lines:
        raise UserError(
            f"{directory.metrics_file}: holds no step yet; wait until the run has trained some, or leave it out"
        )
    check_lines(directory.metrics_file, lines)
    if result and result.get("steps", len(lines)) != len(lines):
        told = f"{directory.result_file.name} tells of {result['steps']}"
        raise UserError(
            f"{directory.metrics_file}: holds {len(lines)} steps, but {told}; restore the file or train again"
        )
    curves = {key: [line[key] for line in lines] for key in ("step", *PER_STEP)}
    checked = [line for line in lines if VALIDATION["accuracy"] in line]
    curves["validation"] = [
        {"step": line["step"], **{key: line[field] for key, field in VALIDATION.items()}} for line in checked
    ]
    made_with = {key: str(directory.read_config()["run"].get(key, "")) for key in ("device", "version")}
    return Run(directory.path, name, settings, made_with, curves, lines[-1]["epoch"], result)


def check_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Raise UserError, which names the line, unless each holds the numbers of a step, and the steps rise."""
    before = 0
    for number, line in enumerate(lines, start=1):
        validation = [*VALIDATION.values()] if line.keys() & set(VALIDATION.values()) else []
        for key in ("step", "epoch", *PER_STEP, *validation):
            if not is_number(line.get(key)):
                found = repr(line[key]) if key in line else "none"
                raise UserError(
                    f"{path}, line {number}: expected a number as {key}, got {found}; restore the file or train again"
                )
        if line["step"] <= before:
            raise UserError(
                f"{path}, line {number}: step {line['step']} does not come after step {before}; restore the file or "
                "train again"
            )
        before = line["step"]


def settings_by_name(run: Run) -> dict[str, str]:
    """Every setting of a run in one dict, as texts, with the device and the version of the program.

    A setting that is not given is ABSENT.
    """
    settings = {name: value for part in run.settings.sections().values() for name, value in part.items()}
    if settings["train_file"]:
        settings["corpus"] = ""  # names nothing then
    return {name: text_of(value) for name, value in (settings | run.made_with).items()}


def text_of(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or ABSENT


def differences(runs: Sequence[Run]) -> dict[str, list[str]]:
    """{setting: [its text in each run]} for the settings in which the runs are not all equal."""
    each = [settings_by_name(run) for run in runs]
    names = dict.fromkeys(name for settings in each for name in settings)
    columns = {name: [settings.get(name, ABSENT) for settings in each] for name in names}
    return {name: column for name, column in columns.items() if len(set(column)) > 1}


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Groups in the order of the runs: those with different seeds and equal settings stand together.

    Where two runs of a group have one seed as well, they are no seeds of one experiment, and each stands alone.
    """
    equal: dict[tuple[tuple[str, str], ...], list[tuple[str, Run]]] = {}
    for run in runs:
        settings = settings_by_name(run)
        seed = settings.pop("seed")
        equal.setdefault(tuple(settings.items()), []).append((seed, run))
    groups: list[list[Run]] = []
    for members in equal.values():
        distinct = len({seed for seed, _ in members}) == len(members)
        groups += [[run for _, run in members]] if distinct else [[run] for _, run in members]
    differing = {name: dict(zip((run.path for run in runs), column)) for name, column in differences(runs).items()}
    labels = [label_of(group, differing) for group in groups]
    # Cutting may have made two alike.
    unique = [
        f"{number}) {label}" if labels.count(label) > 1 else label for number, label in enumerate(labels, start=1)
    ]
    return [Group(label, group) for label, group in zip(unique, groups)]


def label_of(group: Sequence[Run], differing: Mapping[str, Mapping[Path, str]]) -> str:
    """The run's name, or the number of seeds of the group, and in what it differs from the others, if that is short.

    differing: setting → path of a run → its text.
    """
    first, *others = group
    own = {name: texts[first.path] for name, texts in differing.items() if len({texts[run.path] for run in group}) == 1}
    difference = ", ".join(f"{name}={short(text)}" for name, text in own.items() if text != ABSENT)
    if len(difference) > DIFFERENCE_CHARACTERS:
        difference = ""
    name = readable(first.name, NAME_CHARACTERS)
    if others:
        return f"{len(group)} seeds" + (f": {difference}" if difference else f" as of {name}")
    return f"{name}: {difference}" if difference else name


def short(text: str) -> str:
    """A file's name without its folders, cut."""
    return readable(text.replace("\\", "/").rpartition("/")[2] or text, NAME_CHARACTERS)
