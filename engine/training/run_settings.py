"""The settings of a run: fields of data, network and training in one namespace.

They come from layers of fields, of which later ones win: a preset, then dicts from files and options.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from engine.data.config import DataConfig
from engine.support.command import command_name
from engine.support.errors import UserError, with_place
from engine.support.files import AnyPath, read_toml
from engine.support.paths import absolute
from engine.support.settings import Settings, allowed, nearest
from engine.support.text import SHOWN_CHARACTERS, sanitize, shown
from engine.training.config import TrainingConfig

Fields: TypeAlias = Mapping[str, Any]  # values by field name
NetworkClasses: TypeAlias = Mapping[str, type[Settings]]  # settings of networks by the value of their field "model"

OF_TEXTS = (  # of DataConfig: where texts are, and how their files are read
    "corpus", "train_file", "validation_file", "test_file", "text_columns", "label_column", "labels",
    "label_separator", "label_columns", "encoding", "delimiter", "quotechar",
)  # fmt: skip
LENGTH = ("epochs", "step_budget", "many_classes_epochs")  # of TrainingConfig: how long a run goes on
FILE_FIELDS = ("train_file", "validation_file", "test_file", "tokenizer", "vectors")  # of DataConfig: names of files


class RunSettings(NamedTuple):
    """The settings of one run. network: Settings with a field "model"."""

    data: DataConfig
    network: Any
    training: TrainingConfig

    def sections(self) -> dict[str, dict[str, Any]]:
        """dict of dicts, for config.toml."""
        return {name: part.to_dict() for name, part in self._asdict().items()}

    def needs_sentences(self) -> bool:
        """Whether the network takes something of sentences rather than of whole texts."""
        return bool(getattr(self.network, "levels", "text") != "text")

    def matches(self, saved: Any) -> bool:
        """Whether these are the settings in the sections() of a checkpoint.

        A field that is missing there is newer than the checkpoint, and had its default. The number of epochs may be
        another: a run can be prolonged.
        """
        try:
            found = settings_of(saved, {self.network.model: type(self.network)})
            length = {name: getattr(self.training, name) for name in LENGTH}
            return found._replace(training=found.training.replace(**length)) == self
        except (UserError, AttributeError, KeyError, TypeError):
            return False


def build_settings(network_classes: NetworkClasses, *layers: Fields) -> RunSettings:
    """RunSettings from flat dicts of fields, later ones winning. Unknown fields and bad values raise UserError.

    network_classes: the Settings of the network by the value of the field "model"; the first where it is not given.
    """
    values = {name: value for layer in layers for name, value in layer.items()}
    model = model_of(network_classes, values)
    classes: tuple[type[Settings], ...] = DataConfig, network_classes[model], TrainingConfig
    known = {name for cls in classes for name in cls.fields()}
    for name in values:
        if name not in known:
            owners = [owner for owner, cls in network_classes.items() if name in cls.fields()]
            if owners:
                raise UserError(
                    f"{name}: is a field of model {owners[0]}, not of model {model}; leave it out, "
                    f"or set model={owners[0]}"
                )
            raise UserError(unknown_field(name, known))
    parts: list[Any] = [cls(**{name: values[name] for name in cls.fields() if name in values}) for cls in classes]
    settings = RunSettings(*parts)
    check_places(settings)
    return settings


def unknown_field(name: str, known: Collection[str]) -> str:
    """The message about a name that is no field."""
    return f"unknown field {shown(name)}{nearest(name, known)}; list them with: {command_name()} describe --fields"


def check_places(settings: RunSettings) -> None:
    """Raise UserError for data in which tokens lack the place, in the text or in a sentence, that the network asks for.

    A network with a field "positions" knows the places of tokens, but for position_encoding "none".
    """
    data, network = settings.data, settings.network
    positions = getattr(network, "positions", None)
    if getattr(network, "position_encoding", None) == "none":
        positions = None
    if positions is not None and data.max_tokens > positions:
        raise UserError(
            f"max_tokens: expected at most the {positions} positions of the network, got {data.max_tokens}; "
            "set one of the two"
        )
    if positions is not None and data.ngrams > 1:
        raise UserError(
            f"ngrams: expected 1, got {data.ngrams}: the network knows the places of tokens, "
            "and n-grams have none; leave it out"
        )
    if positions is not None and data.affixes:
        raise UserError(
            "affixes: expected false, got true: the network knows the places of tokens, and affixes have none; "
            "leave it out"
        )
    if positions is not None and data.char_ngrams:
        raise UserError(
            f"char_ngrams: expected none, got {data.char_ngrams}: the network knows the places of tokens, "
            "and character n-grams have none; leave it out"
        )
    if settings.needs_sentences() and (data.ngrams > 1 or data.affixes or data.char_ngrams):
        raise UserError(
            f"levels: expected text, got {network.levels}: n-grams and affixes stand in no sentence; "
            "set ngrams=1, affixes=false and char_ngrams=, or levels=text"
        )


def settings_of(sections: Mapping[str, Any], network_classes: NetworkClasses) -> RunSettings:
    """RunSettings from the result of sections()."""
    return build_settings(network_classes, *(sections[name] for name in RunSettings._fields))


def model_of(network_classes: NetworkClasses, values: Fields) -> str:
    """The name of the network class that a dict of fields asks for. UserError for an unknown one."""
    name: str = values.get("model", next(iter(network_classes)))
    if name not in network_classes:
        raise UserError(f"model: expected one of {', '.join(network_classes)}, got {name!r}")
    return name


def read_settings_file(path: AnyPath, network_classes: NetworkClasses) -> dict[str, Any]:
    """Flat dict of fields from a TOML file: fields at the top, or in the sections of a run's config.toml.

    The config.toml of a run stands for all fields: those that its version did not have yet get their defaults, not the
    values of a preset.
    """
    values = {}
    sections = read_toml(path)
    for name, value in sections.items():
        if name in RunSettings._fields and isinstance(value, dict):
            values.update(value)
        elif name != "run":  # of a run's config.toml: where it ran, not what it was
            values[name] = value
    if isinstance(sections.get("run"), dict) and "version" in sections["run"]:
        model = with_place(str(path), model_of, network_classes, values)
        classes = DataConfig, network_classes[model], TrainingConfig
        values = {**{name: field.default for cls in classes for name, field in cls.fields().items()}, **values}
    return values


def parse_assignments(assignments: Iterable[str]) -> dict[str, str]:
    """{"name": "value"} from "name=value" texts; the values are parsed by their fields."""
    values = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {sanitize(text, SHOWN_CHARACTERS)}: expected name=value, such as --set dropout=0.1")
        values[name.strip()] = value.strip()
    return values


def field_rows(settings: RunSettings) -> list[tuple[str, str, Any, str, str]]:
    """(section, field, value, allowed values, meaning) of every field of RunSettings.

    A field that data and network share, such as `labels`, is listed once: it is set once.
    """
    rows: dict[str, tuple[str, str, Any, str, str]] = {}
    for section, part in settings._asdict().items():
        for name, field in type(part).fields().items():
            row = (section, name, getattr(part, name), allowed(field), field.metadata["help"])
            rows.setdefault(name, row)
    return list(rows.values())


class Choices(NamedTuple):
    """The networks and presets to choose from.

    classes: {model: Settings of its network}, the first one by default. presets: {name: dict of fields}.
    defaults: {model: name of its preset}.
    """

    classes: NetworkClasses
    presets: Mapping[str, Fields]
    defaults: Mapping[str, str]


# {field of training: the fields by which a preset changes it with the number of texts or classes}
CHANGED_BY = {
    "epochs": ("step_budget", "many_classes_epochs"),
    "batch_size": ("largest_batch_size",),
    "learning_rate": ("many_classes_learning_rate",),
}


def layered_settings(
    choices: Choices, preset: str | None, layers: Sequence[Fields], first: Fields | None = None, option: str = "preset"
) -> RunSettings:
    """RunSettings of a preset (None: that of the model) and dicts of fields, the last of which wins.

    first: fields below `layers`, such as a run's whole config.toml, in which a corpus may stand beside files. Within
    one of `layers` a corpus takes the place of the files of those before it. What a preset would change in a field that
    is asked for (CHANGED_BY) does not apply. option: how the preset was given, for messages.
    Raises UserError for unknown fields, bad values, a preset of another model, and a corpus beside a train_file.
    """
    asked = {name for layer in (first or {}, *layers) for name in layer}
    fixed = {other: 0 for name in asked for other in CHANGED_BY.get(name, ()) if other not in asked}
    resolved = [fixed, first or {}]
    for layer in layers:
        if layer.get("train_file") and "corpus" in layer:
            raise UserError("corpus and train_file: both name the training texts; give one of the two")
        cleared = dict.fromkeys(("train_file", "validation_file", "test_file"), "") if "corpus" in layer else {}
        resolved.append({**cleared, **layer})
    settings = build_settings(choices.classes, preset_fields(choices, preset, resolved, option), *resolved)
    return fitted_to_vectors(settings, "dimension" in asked)


def fitted_to_vectors(settings: RunSettings, fixed: bool) -> RunSettings:
    """The same settings with the dimension of the file of word vectors, if one is named.

    fixed: whether the dimension was asked for; UserError where that of the file is another. UserError, too, where
    nothing can be frozen.
    """
    path = settings.data.vectors
    if not path:
        if settings.training.freeze_vectors:
            raise UserError("freeze_vectors: there are no word vectors to freeze; name a file (--vectors FILE)")
        return settings
    from engine.data.vectors import open_vectors, require_dimension

    dimension = open_vectors(path).dimension
    if fixed:
        require_dimension(path, dimension, settings.network.dimension)
    return settings._replace(network=settings.network.replace(dimension=dimension))


def preset_fields(choices: Choices, preset: str | None, layers: Iterable[Fields], option: str) -> Fields:
    """The fields of a preset, by default that of the model which the layers of fields ask for.

    UserError where the two disagree.
    """
    asked = {name: value for layer in layers for name, value in layer.items() if name == "model"}
    if preset is None:
        return choices.presets[choices.defaults[model_of(choices.classes, asked)]]
    of_preset = model_of(choices.classes, choices.presets[preset])
    if asked.get("model", of_preset) != of_preset:
        raise UserError(
            f"{option} {preset}: is of model {of_preset}, but model {asked['model']} is asked for; "
            "leave one of the two out"
        )
    return choices.presets[preset]


def pinned(settings: RunSettings) -> RunSettings:
    """The same settings with absolute file names, so that a run can be resumed from any folder.

    Shards are computed with one thread where none are given, so that they have the same bits on any number of ranks.
    """
    given = {name: getattr(settings.data, name) for name in FILE_FIELDS}
    moved = {name: absolute(value) for name, value in given.items() if value}
    settings = settings._replace(data=settings.data.replace(**moved))
    if settings.training.shards > 1 and not settings.training.threads:
        settings = settings._replace(training=settings.training.replace(threads=1))
    return settings


def for_ranks(settings: RunSettings, size: int) -> RunSettings:
    """The settings of a new run on that many ranks: a shard for each, unless shards are given."""
    if size > 1 and not settings.training.shards:
        settings = settings._replace(training=settings.training.replace(shards=size))
    check_ranks(settings, size)
    return settings


def check_ranks(settings: RunSettings, size: int, where: AnyPath = "") -> None:
    """Raise UserError where that many ranks do not divide the shards of a run. where: names it."""
    shards = settings.training.shards or 1
    if shards % size:
        place = f"{where}: " if where else ""
        raise UserError(
            f"{place}shards: expected a multiple of the number of ranks, {size}, got {shards}; "
            "start a number of ranks that divides it"
        )
