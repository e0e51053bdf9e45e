"""Options that set the fields of a run: of its data, its network and its training."""

from collections.abc import Collection, Iterable
from typing import Any

import click

from engine.commands.options import Decorator, Project, options
from engine.data.config import DataConfig
from engine.support.errors import UserError
from engine.support.settings import Settings
from engine.training.config import TrainingConfig
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import (
    CHANGED_BY,
    OF_TEXTS,
    RunSettings,
    layered_settings,
    parse_assignments,
    read_settings_file,
)


class LiveChoice(click.Choice):
    """A choice among the names that a mapping has when the option is read: what is registered later counts too."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__([])
        self.names = names

    @property
    def choices(self) -> tuple[str, ...]:
        return tuple(self.names)

    @choices.setter
    def choices(self, _: Any) -> None:
        """Ignore what click stores at the start."""


def field_option(part: type[Settings], flag: str, help: str | None = None, **more: Any) -> Decorator:
    """An option that sets the field of its name in a settings class; choices and the default help are the field's."""
    name = flag[2:].replace("-", "_")
    metadata = part.fields()[name].metadata
    free: type[str] | click.Path = click.Path() if more.get("metavar") == "FILE" else str
    kind = LiveChoice(metadata["choices"]) if metadata["choices"] else free
    return click.option(
        flag, name, type=kind, help=help or f"{metadata['help'][0].upper()}{metadata['help'][1:]}.", **more
    )


data_options = options(
    field_option(
        DataConfig,
        "--corpus",
        "Corpus by name (see corpora).  [default: r8]",
        metavar="NAME",
    ),
    field_option(DataConfig, "--train-file", "Own texts: CSV, JSON, parquet, a folder, …", metavar="FILE"),
    field_option(
        DataConfig,
        "--validation-file",
        "Texts to choose the epoch; else split off.",
        metavar="FILE",
    ),
    field_option(DataConfig, "--test-file", "Texts that are only measured at the end.", metavar="FILE"),
    field_option(DataConfig, "--text-columns", "Names or positions from 1, comma-separated.", metavar="NAMES"),
    field_option(DataConfig, "--label-column", "Label column: name or position from 1.", metavar="NAME"),
    click.option(
        "--multi-label",
        "labels",
        flag_value="several",
        default=None,
        help="A text may have several labels, or none.",
    ),
    field_option(DataConfig, "--label-separator", "What stands between them.  [default: ,]", metavar="TEXT"),
    field_option(DataConfig, "--label-columns", "Columns of 0 and 1, a label each.", metavar="NAMES"),
    field_option(DataConfig, "--encoding", "Encoding of the files.  [default: utf-8]", metavar="NAME"),
    field_option(DataConfig, "--delimiter", "Character between columns of CSV, or tab.", metavar="SIGN"),
    field_option(DataConfig, "--quotechar", "Character around cells of CSV, or none.", metavar="SIGN"),
    field_option(DataConfig, "--tokenizer", "Existing tokenizer.json or BERT vocab.txt.", metavar="FILE"),
    field_option(DataConfig, "--vectors", "Word vectors as initial embeddings.", metavar="FILE"),
    field_option(DataConfig, "--tokens", "Token type of the learned vocabulary."),
    field_option(DataConfig, "--vocabulary-size", "Largest size of the learned vocabulary.", metavar="N"),
)
training_options = options(
    field_option(TrainingConfig, "--epochs", "Passes over the training texts.", metavar="N"),
    field_option(TrainingConfig, "--batch-size", "Texts per step.", metavar="N"),
    field_option(TrainingConfig, "--learning-rate", "Peak of AdamW's learning rate.", metavar="RATE"),
    field_option(TrainingConfig, "--precision", "Products' format; tf32 on a GPU only."),
    field_option(TrainingConfig, "--seed", "Random seed.", metavar="N"),
    click.option(
        "--no-keep-optimizer",
        "keep_optimizer",
        flag_value="false",
        default=None,
        help="Drop the optimizer's moments at the end.",
    ),
)


def settings_options(project: Project) -> Decorator:
    """The options --preset, --config and --set."""
    presets, defaults = project.choices.presets, project.choices.defaults
    return options(
        click.option(
            "--preset",
            type=click.Choice(list(presets)),
            help=f"Named set of fields.  [default: {', '.join(defaults.values())}, by model]",
        ),
        click.option(
            "--config",
            "config_file",
            type=click.Path(),
            metavar="FILE.toml",
            help="Fields from a file: a run's config.toml.",
        ),
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="NAME=VALUE",
            help="Set any field; describe --fields lists them.",
        ),
    )


def model_option(project: Project) -> Decorator:
    """The option --model."""
    return click.option(
        "--model",
        type=click.Choice(list(project.configs)),
        help="Kind of network.  [default: by the preset]",
    )


def network_options(project: Project) -> Decorator:
    """The option --model and those of the most important fields of a network, of the first model that has the field."""

    def option(flag: str, help: str, **more: Any) -> Decorator:
        owner = next(part for part in project.configs.values() if flag[2:] in part.fields())
        return field_option(owner, flag, help, **more)

    return options(
        model_option(project),
        option("--operation", "How the two waves are combined."),
        option("--readout", "How a wave becomes real numbers."),
        option("--dimension", "Length of a token's embedding.", metavar="D"),
        option("--blocks", "Number of blocks.", metavar="N"),
    )


def chosen_settings(
    project: Project,
    preset: str | None,
    config_file: str | None,
    assignments: Collection[str],
    fields: dict[str, Any],
    init_from: str | None = None,
) -> RunSettings:
    """RunSettings: defaults, then the preset, the file, --set and the options; later ones win.

    init_from: a run whose settings stand in place of those of the file, unless there is one.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    layers = [parse_assignments(assignments), given]
    first = read_settings_file(config_file, project.configs) if config_file else {}
    if init_from and not config_file:
        first = settings_to_start_from(init_from, project, {name for layer in layers for name in layer})
    try:
        return layered_settings(project.choices, preset, layers, first, "--preset")
    except UserError as error:
        if config_file and is_of_file(error, project, preset, first):
            raise UserError(f"{config_file}: {error}") from None
        raise


def is_of_file(error: UserError, project: Project, preset: str | None, fields: dict[str, Any]) -> bool:
    """Whether the fields of a file alone raise the same error."""
    try:
        layered_settings(project.choices, preset, [], fields, "--preset")
    except UserError as alone:
        return str(alone) == str(error)
    return False


def settings_to_start_from(path: str, project: Project, asked: Collection[str]) -> dict[str, Any]:
    """The fields of a run for another that starts from its weights; those of its texts only where no others are asked.

    asked: the names of the fields that are given beside them.
    """
    found = read_settings_file(RunDirectory.open(path).config_file, project.configs)
    if {"corpus", "train_file"} & set(asked):
        found = {name: value for name, value in found.items() if name not in OF_TEXTS}
    if "epochs" in asked:
        found.update(dict.fromkeys(CHANGED_BY["epochs"], 0))
    found.update(vectors="", freeze_vectors=False)  # its weights have come out of them
    return found
