"""Options and helpers that several commands share, and the record in which train.py hands in the networks."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import click

from engine.data.config import DataConfig
from engine.support.errors import UserError, require_utf8
from engine.support.settings import Settings
from engine.training.config import TrainingConfig
from engine.training.run_settings import Choices, RunSettings, layered_settings, parse_assignments, read_settings_file

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
Log: TypeAlias = Callable[[str], None]


class Project(NamedTuple):
    """The networks that the commands train and measure, and where the program lies: made by train.py.

    choices: the configs of the networks by model, the presets, and the default preset of each model.
    build_network: function of a config, V token ids, C classes and a seed that returns a network (engine/layer.py).
    program: the file train.py, which a sweep starts in a process for each run.
    packages: the folders whose kernels doctor compiles.
    """

    choices: Choices
    build_network: Callable[..., Any]
    program: Path
    packages: list[Path]

    @property
    def configs(self) -> Mapping[str, type[Settings]]:
        """The configs of the networks by model; the first is the default."""
        return self.choices.classes


def options(*decorators: Decorator) -> Decorator:
    """Combine click options into one decorator, in the order in which --help shows them."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


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


def device_option(
    default: str | None = "cpu", help: str = "Device to compute on; auto takes a usable GPU, else the CPU."
) -> Decorator:
    """The option --device. default: None where it depends on what is resumed."""
    kind = click.Choice(["cpu", "cuda", "auto"])
    return click.option("--device", type=kind, default=default, show_default=default is not None, help=help)


def number_option(flag: str, default: int, help: str, least: int = 1, most: int | None = None) -> Decorator:
    """An option whose value is a whole number from `least` to `most`."""
    return click.option(
        flag, type=click.IntRange(least, most), metavar="N", default=default, show_default=True, help=help
    )


def figure_option(help: str) -> Decorator:
    """The option --figure of a command that can draw its result."""
    return click.option("--figure", type=click.Path(), metavar="FILE", help=help)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
cache_option = click.option(
    "--cache-dir", type=click.Path(), metavar="DIR", help="Folder of downloaded corpora and token ids."
)
data_options = options(
    field_option(
        DataConfig,
        "--corpus",
        "Corpus by name, fetched at first use; the command corpora lists them.  [default: r8]",
        metavar="NAME",
    ),
    field_option(DataConfig, "--train-file", "Own texts: CSV, TSV or JSON lines, also gzip.", metavar="FILE"),
    field_option(
        DataConfig,
        "--validation-file",
        "Texts that choose the best epoch; else split off training.",
        metavar="FILE",
    ),
    field_option(DataConfig, "--test-file", "Texts that are only measured at the end.", metavar="FILE"),
    field_option(
        DataConfig,
        "--text-columns",
        "Text columns: names or positions from 1, comma-separated.",
        metavar="NAMES",
    ),
    field_option(DataConfig, "--label-column", "Label column: name or position from 1.", metavar="NAME"),
    field_option(DataConfig, "--tokenizer", "Existing tokenizer.json or BERT vocab.txt.", metavar="FILE"),
    field_option(DataConfig, "--tokens", "Token type of the learned vocabulary."),
    field_option(DataConfig, "--vocabulary-size", "Largest size of the learned vocabulary.", metavar="N"),
)
training_options = options(
    field_option(TrainingConfig, "--epochs", "Passes over the training texts.", metavar="N"),
    field_option(TrainingConfig, "--batch-size", "Texts per step.", metavar="N"),
    field_option(TrainingConfig, "--learning-rate", "Peak of AdamW's learning rate.", metavar="RATE"),
    field_option(TrainingConfig, "--precision", "Format of matrix products; tf32 on a GPU only."),
    field_option(TrainingConfig, "--seed", "Random seed.", metavar="N"),
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
            help="Fields from a file, such as a run's config.toml.",
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
        help="Kind of network.  [default: that of the preset, else wave]",
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
) -> RunSettings:
    """RunSettings: defaults, then the preset, the file, --set and the options; later ones win."""
    given = {name: value for name, value in fields.items() if value is not None}
    first = read_settings_file(config_file, project.configs) if config_file else {}
    return layered_settings(project.choices, preset, [parse_assignments(assignments), given], first, "--preset")


def given_options(ctx: click.Context, chosen: Callable[[str], bool]) -> list[str]:
    """The options that stand on the command line and whose parameter name chosen(name) accepts."""
    on_line = click.core.ParameterSource.COMMANDLINE
    given = [p for p in ctx.command.params if p.name and ctx.get_parameter_source(p.name) == on_line]
    return [p.opts[0] for p in given if chosen(p.name or "")]


def require_nothing_but(ctx: click.Context, run: str, allowed: Collection[str]) -> None:
    """Raise UserError when options beside `allowed` were given: a run has its settings; none is silently dropped."""
    given = given_options(ctx, lambda name: name not in allowed)
    if given:
        raise UserError(
            f"{run}: takes the run's own settings, so {', '.join(given)} cannot be given with it; leave it out"
        )


def make_log(as_json: bool) -> Log:
    """A function that prints a line of notes: to stdout before a table, to stderr beside JSON."""
    return lambda line: click.echo(line, err=as_json)


def to_json(value: Any, allow_nan: bool = True) -> str:
    """Indented JSON of a result."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=allow_nan)


def names_in(text: str) -> list[str]:
    """The names of a comma-separated list."""
    return [name.strip() for name in text.split(",")]


def decoded(text: str, number: int) -> str:
    """The text; UserError where bytes of the command line are not UTF-8. number: position among the texts, from 1."""
    require_utf8(text, f"TEXT {number}", "convert the text to UTF-8")
    return text
