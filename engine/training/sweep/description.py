"""What a sweep is to run, as a TOML file says it.

    preset = "quick"                               # by default that of the model
    seeds = [0, 1, 2]
    [set]                                          # fields of all runs
    threads = 1
    [grid]                                         # axes; every combination is run with every seed
    operation = ["interference", "modulation"]     # an axis is a field with its values …
    [grid.change]                                  # … or any name, with changes of fields by their labels
    none = {}
    "no dropout" = { token_dropout = 0.0, classifier_dropout = 0.0, preset = "quick" }

Names of files are relative to the folder of the TOML file.
"""

from pathlib import Path
from typing import NamedTuple

import tomli_w

from engine.data.config import DataConfig
from engine.errors import UserError
from engine.files import read_toml
from engine.settings import checked, nearest
from engine.training.config import TrainingConfig
from engine.training.run_settings import model_of
from engine.training.session import FILE_FIELDS
from engine.training.sweep.linear import CLASSIFIER
from engine.training.sweep.results import COLUMNS
from engine.training.sweep.table import RESERVED

KEYS = ("preset", "seeds", "set", "grid", "run")  # "run", of the copy in a sweep's folder: where it ran, not what it was


class Description(NamedTuple):
    """source: the file or command that it comes from; preset: a name or None; seeds: whole numbers; fields: of all runs;
    axes: {name: {label: changes}}, the changes a dict of fields, in which "preset" may stand too. File names are absolute."""

    source: str
    preset: str | None
    seeds: list
    fields: dict
    axes: dict

    def with_preset(self, choices):
        """The same with the name of the preset that is the default today, so that another default later on changes nothing.

        Only where all runs are of one model: else each has the default of its own.
        """
        if self.preset is not None or any("model" in change for axis in self.axes.values() for change in axis.values()):
            return self
        return self._replace(preset=choices.defaults[model_of(choices.classes, self.fields)])

    def to_toml(self, **run):
        """Text of a sweep file that says the same from any folder; run: what [run] is to hold."""
        preset = {} if self.preset is None else {"preset": self.preset}
        return tomli_w.dumps({**preset, "seeds": self.seeds, "set": self.fields, "grid": self.axes, "run": run})


def read_description(path, choices):
    """(Description, what [run] holds) of a sweep file. UserError, with the file's name, for anything that is wrong in it."""
    values = read_toml(path)
    return describe(values, str(path), Path(path).parent, choices), values.get("run", {})


def describe(values, source, folder, choices):
    """The Description in a dict as a sweep file has it. folder: to which the names of files are relative; choices: engine's Choices."""
    for name in values:
        if name not in KEYS:
            where = "is a field, put it into [set]" if name in known_fields(choices) else f"is unknown{nearest(name, KEYS)}"
            raise UserError(f"{source}: {name}: {where}; beside preset and seeds a sweep has the sections [set] and [grid]")
    for name in ("set", "grid"):
        if not isinstance(values.get(name, {}), dict):
            raise UserError(f"{source}: {name}: expected a section [{name}], got {values[name]!r}")
    preset = values.get("preset")
    if preset is not None:
        check_preset(preset, source, choices)
    fields = checked_fields(values.get("set", {}), f"{source}: [set]", folder, choices)
    axes = {name: read_axis(name, axis, source, folder, choices) for name, axis in values.get("grid", {}).items()}
    return Description(source, preset, read_seeds(values.get("seeds"), source), fields, axes)


def read_seeds(seeds, source):
    """The list of seeds as whole numbers, each once."""
    if not isinstance(seeds, list) or not seeds:
        raise UserError(f"{source}: seeds: expected a list of whole numbers such as seeds = [0, 1, 2], got {'nothing' if seeds is None else seeds}")
    numbers = []
    for seed in seeds:
        numbers.append(with_place(f"{source}: seeds", checked, TrainingConfig.fields()["seed"], seed))
    require_distinct(numbers, f"{source}: seeds")
    return numbers


def read_axis(name, axis, source, folder, choices):
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
            raise UserError(f"{where}: is no field{nearest(name, known)}, so its values mean nothing; give labelled changes of fields: [grid.{name}]")
        labels = [str(value).lower() if isinstance(value, bool) else str(value) for value in axis]
        require_distinct(labels, where)
        axis = {label: {name: value} for label, value in zip(labels, axis)}
    read = {}
    for label, changes in axis.items():
        if not label.strip() or not label.isprintable():
            raise UserError(f"{where}: {label!r} is no label; give one that can be read in a table: [grid.{name}]")
        if not isinstance(changes, dict):
            raise UserError(f"{where}, {label}: expected changes of fields such as {label} = {{ epochs = 4 }}, got {changes!r}")
        fields = {field: value for field, value in changes.items() if field != "preset"}
        read[label] = checked_fields(fields, f"{where}, {label}", folder, choices)
        if "preset" in changes:
            check_preset(changes["preset"], f"{where}, {label}", choices)
            read[label]["preset"] = changes["preset"]
    return read


def checked_fields(fields, where, folder, choices):
    """The fields with absolute names of files. UserError for one that no model has, that no model takes with this value, and for a missing file."""
    known, taken = known_fields(choices), {}
    for name, value in fields.items():
        if name == "seed":
            raise UserError(f"{where}: seed: the seeds stand in the list seeds at the top of a sweep; leave it out here")
        if name not in known:
            raise UserError(f"{where}: unknown field {name!r}{nearest(name, known)}; list them with: python train.py describe --fields")
        if name == "model":
            with_place(where, model_of, choices.classes, fields)
        else:
            check_one_of(known[name], value, where)
        if name in FILE_FIELDS and value:
            value = str(Path(folder, value).resolve())
            if not Path(value).is_file():
                raise UserError(f"{where}: {name}: {value} is no file; give an existing one, its name relative to {Path(folder).resolve()}")
        taken[name] = value
    return taken


def known_fields(choices):
    """{name: [the dataclass field of every class that has it]} of data, networks and training."""
    known = {}
    for part in (DataConfig, *choices.classes.values(), TrainingConfig):
        for name, field in part.fields().items():
            known.setdefault(name, []).append(field)
    return known


def check_one_of(fields, value, where):
    """Raise the first field's UserError unless one of the fields takes the value: models may have limits of their own."""
    refusals = []
    for field in fields:
        try:
            checked(field, value)
            return
        except UserError as error:
            refusals.append(error)
    raise UserError(f"{where}: {refusals[0]}")


def check_preset(name, where, choices):
    if name not in choices.presets:
        raise UserError(f"{where}: preset: expected one of {', '.join(choices.presets)}, got {name!r}")


def require_distinct(values, where):
    """Raise UserError where a value stands twice in a list."""
    for value in values:
        if values.count(value) > 1:
            raise UserError(f"{where}: {value} is named twice; name each once")


def with_place(where, function, *arguments):
    """function(*arguments), with `where` before the text of its UserError."""
    try:
        return function(*arguments)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
