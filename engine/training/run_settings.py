"""The settings of a run: fields of data, network and training in one namespace, from presets, files and options."""

from typing import NamedTuple

from engine.data.config import DataConfig
from engine.errors import UserError
from engine.files import read_toml
from engine.settings import Settings, allowed, nearest
from engine.training.config import TrainingConfig


class RunSettings(NamedTuple):
    data: DataConfig
    network: Settings
    training: TrainingConfig

    def sections(self):
        """dict of dicts, for config.toml."""
        return {name: part.to_dict() for name, part in self._asdict().items()}

    def are_those_of(self, saved):
        """Whether the sections() of a checkpoint say the same. A field that they lack is newer than they are, and had its default."""
        try:
            return build_settings(type(self.network), *saved.values()) == self
        except (UserError, AttributeError, TypeError):
            return False


def build_settings(network_class, *layers):
    """RunSettings from flat dicts of fields, later ones winning. Unknown fields and bad values raise UserError."""
    classes = RunSettings(DataConfig, network_class, TrainingConfig)
    values = {name: value for layer in layers for name, value in layer.items()}
    known = {name for cls in classes for name in cls.fields()}
    for name in values:
        if name not in known:
            raise UserError(f"unknown field {name!r}{nearest(name, known)}; list them with: python train.py describe --fields")
    return RunSettings(*(cls(**{name: values[name] for name in cls.fields() if name in values}) for cls in classes))


def read_settings_file(path):
    """Flat dict of fields from a TOML file: fields at the top, or in the sections of a run's config.toml."""
    values = {}
    for name, value in read_toml(path).items():
        if name in RunSettings._fields and isinstance(value, dict):
            values.update(value)
        elif name != "run":  # of a run's config.toml: where it ran, not what it was
            values[name] = value
    return values


def parse_assignments(assignments):
    """{"name": "value"} from "name=value" texts; the values are parsed by their fields."""
    values = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text}: expected name=value, such as --set dropout=0.1")
        values[name.strip()] = value.strip()
    return values


def field_rows(settings):
    """(section, field, value, what it may be, meaning) of every field of RunSettings."""
    rows = []
    for section, part in settings._asdict().items():
        for name, field in type(part).fields().items():
            rows.append((section, name, getattr(part, name), allowed(field), field.metadata["help"]))
    return rows
