"""The description of a sweep in a TOML file, and the runs that it plans: every combination of the axes with every seed.

    preset = "quick"                               # by default that of the model
    seeds = [0, 1, 2]
    [set]                                          # fields of all runs
    threads = 1
    [grid]                                         # axes; every combination is run with every seed
    operation = ["interference", "modulation"]     # an axis is a field with its values …
    [grid.change]                                  # … or any name, with changes of fields by their labels
    none = {}
    "no dropout" = { token_dropout = 0.0, classifier_dropout = 0.0, preset = "quick" }

Names of files are relative to the folder of the TOML file. Among the fields of a run later ones win: preset (of an
axis, else of the sweep, else of the model), [set], the axes, the seed.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import Field
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from engine.data.config import DataConfig
from engine.data.corpora import known_corpus
from engine.support.errors import UserError, with_place
from engine.support.files import read_toml
from engine.support.paths import absolute, names_of
from engine.support.settings import Settings, checked, nearest
from engine.sweep.results import CLASSIFIER, COLUMNS, RESERVED
from engine.training.config import TrainingConfig
from engine.training.run_settings import (
    FILE_FIELDS,
    Choices,
    RunSettings,
    layered_settings,
    model_of,
    pinned,
    unknown_field,
)

# "run" stands in the copy in a sweep's folder: where it ran, not what it was.
KEYS = ("preset", "seeds", "set", "grid", "run")


class Description(NamedTuple):
    """The runs that a sweep asks for; names of files are absolute.

    source: the file or command that it comes from. preset: a name or None. seeds: whole numbers. fields: those of all
    runs. axes: {name: {label: changes}}, the changes a dict of fields, in which "preset" may stand too.
    """

    source: str
    preset: str | None
    seeds: list[int]
    fields: dict[str, Any]
    axes: dict[str, dict[str, dict[str, Any]]]

    def with_preset(self, choices: Choices) -> "Description":
        """The same with the name of today's default preset, so that another default later on changes nothing.

        Only where all runs are of one model: else each has the default of its own.
        """
        if self.preset is not None or any("model" in change for axis in self.axes.values() for change in axis.values()):
            return self
        return self._replace(preset=choices.defaults[model_of(choices.classes, self.fields)])

    def to_toml(self, **run: Any) -> str:
        """Text of a sweep file that says the same from any folder. run: the contents of [run]."""
        preset = {} if self.preset is None else {"preset": self.preset}
        return tomli_w.dumps({**preset, "seeds": self.seeds, "set": self.fields, "grid": self.axes, "run": run})


def read_description(path: str | Path, choices: Choices) -> tuple[Description, Any]:
    """(Description, contents of [run]) of a sweep file. UserError, with the file's name, for anything wrong in it."""
    values = read_toml(path)
    return describe(values, str(path), Path(path).parent, choices), values.get("run", {})


def describe(values: dict[str, Any], source: str, folder: Path, choices: Choices) -> Description:
    """The Description in a dict as a sweep file has it. folder: names of files are relative to it."""
    for name in values:
        if name not in KEYS:
            where = (
                "is a field, put it into [set]" if name in known_fields(choices) else f"is unknown{nearest(name, KEYS)}"
            )
            raise UserError(
                f"{source}: {name}: {where}; beside preset and seeds a sweep has the sections [set] and [grid]"
            )
    for name in ("set", "grid"):
        if not isinstance(values.get(name, {}), dict):
            raise UserError(f"{source}: {name}: expected a section [{name}], got {values[name]!r}")
    preset = values.get("preset")
    if preset is not None:
        check_preset(preset, source, choices)
    fields = checked_fields(values.get("set", {}), f"{source}: [set]", folder, choices)
    axes = {name: read_axis(name, axis, source, folder, choices) for name, axis in values.get("grid", {}).items()}
    return Description(source, preset, read_seeds(values.get("seeds"), source), fields, axes)


def read_seeds(seeds: Any, source: str) -> list[int]:
    """The list of seeds as whole numbers, each once."""
    if not isinstance(seeds, list) or not seeds:
        got = "nothing" if seeds is None else seeds
        raise UserError(f"{source}: seeds: expected a list of whole numbers such as seeds = [0, 1, 2], got {got}")
    field = TrainingConfig.fields()["seed"]
    numbers = [with_place(f"{source}: seeds", checked, field, seed) for seed in seeds]
    require_distinct(numbers, f"{source}: seeds")
    return numbers


def read_axis(name: str, axis: Any, source: str, folder: Path, choices: Choices) -> dict[str, dict[str, Any]]:
    """{label: changes} of an axis: a list of values of the field `name`, or a table of labelled changes."""
    where = f"{source}: axis {name}"
    if name in {*COLUMNS, *RESERVED, CLASSIFIER}:
        raise UserError(f"{where}: the table of results has a column of that name; choose another")
    if not isinstance(axis, (list, dict)):
        raise UserError(f"{where}: expected a list of values or a table of labelled changes, got {axis!r}")
    if not axis:
        raise UserError(f"{where}: is empty; give it at least one value, or leave it out")
    if isinstance(axis, list):
        known = {*known_fields(choices), "preset"}
        if name not in known:
            raise UserError(
                f"{where}: is no field{nearest(name, known)}, so its values mean nothing; "
                f"give labelled changes of fields: [grid.{name}]"
            )
        labels = [str(value).lower() if isinstance(value, bool) else str(value) for value in axis]
        require_distinct(labels, where)
        axis = {label: {name: value} for label, value in zip(labels, axis)}
    read = {}
    for label, changes in axis.items():
        if not label.strip() or not label.isprintable():
            raise UserError(f"{where}: {label!r} is no label; give one that can be read in a table: [grid.{name}]")
        if not isinstance(changes, dict):
            raise UserError(
                f"{where}, {label}: expected changes of fields such as {label} = {{ epochs = 4 }}, got {changes!r}"
            )
        fields = {field: value for field, value in changes.items() if field != "preset"}
        read[label] = checked_fields(fields, f"{where}, {label}", folder, choices)
        if "preset" in changes:
            check_preset(changes["preset"], f"{where}, {label}", choices)
            read[label]["preset"] = changes["preset"]
    return read


def checked_fields(fields: dict[str, Any], where: str, folder: Path, choices: Choices) -> dict[str, Any]:
    """The fields with absolute names of files.

    UserError for a field that no model has, that no model takes with this value, and for a missing file.
    """
    known, taken = known_fields(choices), {}
    for name, value in fields.items():
        if name == "seed":
            raise UserError(
                f"{where}: seed: the seeds stand in the list seeds at the top of a sweep; leave it out here"
            )
        if name not in known:
            raise UserError(f"{where}: {unknown_field(name, known)}")
        if name == "model":
            with_place(where, model_of, choices.classes, fields)
        else:
            check_one_of(known[name], value, where)
        if name in FILE_FIELDS and value:
            value = absolute(str(value), folder)  # a number names a file, too
            if not all(Path(file).is_file() for file in with_place(where, names_of, value)):
                raise UserError(
                    f"{where}: {name}: {value} is no file; "
                    f"give an existing one, its name relative to {Path(folder).resolve()}"
                )
        taken[name] = value
    return taken


def known_fields(choices: Choices) -> dict[str, list[Field[Any]]]:
    """{name: [the dataclass field of every class that has it]} of data, networks and training."""
    known: dict[str, list[Field[Any]]] = {}
    parts: tuple[type[Settings], ...] = (DataConfig, *choices.classes.values(), TrainingConfig)
    for part in parts:
        for name, field in part.fields().items():
            known.setdefault(name, []).append(field)
    return known


def check_one_of(fields: Sequence[Field[Any]], value: Any, where: str) -> None:
    """Raise the first field's UserError unless one of the fields takes the value: models may differ in their limits."""
    refusals = []
    for field in fields:
        try:
            checked(field, value)
            return
        except UserError as error:
            refusals.append(error)
    raise UserError(f"{where}: {refusals[0]}")


def check_preset(name: Any, where: str, choices: Choices) -> None:
    """Raise UserError for an unknown preset."""
    if name not in choices.presets:
        raise UserError(f"{where}: preset: expected one of {', '.join(choices.presets)}, got {name!r}")


def require_distinct(values: Sequence[Any], where: str) -> None:
    """Raise UserError where a value stands twice in a list."""
    for value, count in Counter(values).items():
        if count > 1:
            raise UserError(f"{where}: {value} is named twice; name each once")


MOST_RUNS = 10_000  # of a sweep: the plan of more takes minutes and memory before the first is trained
NAME_BYTES = 200  # of 255 that file systems take, the rest for what is put behind it


class PlannedRun(NamedTuple):
    """name: of its folder; labels: one of each axis."""

    name: str
    labels: tuple[str, ...]
    settings: RunSettings


def plan(description: Description, choices: Choices) -> list[PlannedRun]:
    """The PlannedRuns of a Description, seed after seed within each combination.

    UserError for a combination that cannot be.
    """
    count = math.prod(map(len, description.axes.values())) * len(description.seeds)
    if count > MOST_RUNS:
        raise UserError(
            f"{description.source}: asks for {count:,} runs, {MOST_RUNS:,} at most are planned; "
            "leave out seeds or values of an axis"
        )
    runs = []
    seen: dict[RunSettings, str] = {}
    for combination in itertools.product(*(axis.items() for axis in description.axes.values())):
        labels = tuple(label for label, _ in combination)
        named = ", ".join(f"{axis} {label}" for axis, label in zip(description.axes, labels)) or "[set]"
        where = f"{description.source}: {named}"
        settings = with_place(where, combined_settings, description, [changes for _, changes in combination], choices)
        if settings in seen:
            raise UserError(f"{where}: is the same as {seen[settings]}; leave one of the two out")
        seen[settings] = named
        for seed in description.seeds:
            seeded = settings._replace(training=settings.training.replace(seed=seed))
            runs.append(PlannedRun(run_name(labels, seed, where), labels, seeded))
    require_distinct_names(runs, description.source)
    return runs


def combined_settings(description: Description, changes: Sequence[Mapping[str, Any]], choices: Choices) -> RunSettings:
    """RunSettings of one combination, with the first seed.

    UserError, too, where two axes change one field: neither would be as labelled.
    """
    for first, second in itertools.combinations(zip(description.axes, changes), 2):
        for name in first[1].keys() & second[1].keys():
            raise UserError(
                f"{name}: is changed by axis {first[0]} and by axis {second[0]}; let only one of them do so"
            )
    presets = [change["preset"] for change in changes if "preset" in change]
    layers = [{name: value for name, value in change.items() if name != "preset"} for change in changes]
    preset = presets[0] if presets else description.preset
    settings = layered_settings(choices, preset, [description.fields, *layers, {"seed": description.seeds[0]}])
    if not settings.data.train_file:
        known_corpus(settings.data.corpus)
    return pinned(settings)


def run_name(labels: Sequence[str], seed: int, where: str) -> str:
    """<labels>-<seed>, with "_" for characters that not every file system takes in a name."""
    name = "-".join([*(re.sub(r"[^\w.+=-]+", "_", label) for label in labels), str(seed)])
    if len(name.encode()) > NAME_BYTES:
        raise UserError(
            f"{where}: gives a folder's name of more than {NAME_BYTES} bytes; "
            "label the changes: [grid.NAME] with LABEL = { FIELD = VALUE }"
        )
    return name


def require_distinct_names(runs: Sequence[PlannedRun], source: str) -> None:
    """Raise UserError where two runs would share a folder; some file systems take A and a for the same."""
    seen: dict[str, PlannedRun] = {}
    for run in runs:
        first = seen.setdefault(run.name.casefold(), run)
        if first is not run:
            labels = " and ".join(", ".join(labels) for labels in (first.labels, run.labels))
            raise UserError(
                f"{source}: the labels {labels} give folders of the same name, {run.name}; change one of them"
            )
