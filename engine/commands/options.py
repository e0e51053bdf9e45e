"""Options and helpers that several commands share, and the record in which train.py hands in the networks."""

import importlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import click

from engine.support.errors import UserError, require_utf8
from engine.support.output import note, takes_unicode

if TYPE_CHECKING:
    from engine.support.settings import Settings
    from engine.training.run_settings import Choices

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
Log: TypeAlias = Callable[[str], None]


DIGITS = 6  # of numbers that --json prints; files of a run hold all


class Project(NamedTuple):
    """The networks that the commands train and measure, and where the program lies: made by train.py.

    networks: the name of the module with CONFIGS, PRESETS, DEFAULTS, SEARCH_SPACE, FIRST_POINTS and build_network,
    imported where they are needed.
    program: the file train.py, which a sweep starts in a process for each run.
    packages: the folders whose kernels doctor compiles.
    """

    networks: str
    program: Path
    packages: list[Path]

    @property
    def choices(self) -> "Choices":
        """The configs of the networks by model, the presets, and the default preset of each model."""
        from engine.training.run_settings import Choices

        networks = importlib.import_module(self.networks)
        return Choices(networks.CONFIGS, networks.PRESETS, networks.DEFAULTS)

    @property
    def configs(self) -> "Mapping[str, type[Settings]]":
        """The configs of the networks by model; the first is the default."""
        return self.choices.classes

    @property
    def build_network(self) -> Callable[..., Any]:
        """Function of a config, V token ids, C classes and a seed that returns a network (engine/layer.py)."""
        build: Callable[..., Any] = importlib.import_module(self.networks).build_network
        return build

    @property
    def search_space(self) -> "Mapping[str, Mapping[str, Sequence[Any]]]":
        """{model: {field: values that --autotune tries}}."""
        space: Mapping[str, Mapping[str, Sequence[Any]]] = importlib.import_module(self.networks).SEARCH_SPACE
        return space

    @property
    def first_points(self) -> "Mapping[str, Sequence[dict[str, Any]]]":
        """{model: changes of several fields that --autotune tries first}."""
        points: Mapping[str, Sequence[dict[str, Any]]] = importlib.import_module(self.networks).FIRST_POINTS
        return points

    @property
    def save_onnx(self) -> Callable[..., Any]:
        """Function that writes the model.onnx of a run into an exported folder (engine/serving/export.py)."""
        save: Callable[..., Any] = importlib.import_module(f"{self.networks}.onnx_graph").save_onnx
        return save


def options(*decorators: Decorator) -> Decorator:
    """Combine click options into one decorator, in the order in which --help shows them."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


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
all_classes_option = click.option("--all-classes", is_flag=True, help="Show every class, not some of many.")
cache_option = click.option(
    "--cache-dir", type=click.Path(), metavar="DIR", help="Folder of downloaded corpora and token ids."
)
with_option = click.option(
    "--with",
    "others",
    type=click.Path(),
    multiple=True,
    metavar="RUN_DIR",
    help="Average the class probabilities with this run's; repeatable.",
)


file_options = options(
    click.option("--text-columns", metavar="NAMES", help="Text columns: names or positions from 1, with commas."),
    click.option("--encoding", metavar="NAME", help="Encoding of the file.  [default: utf-8]"),
    click.option("--delimiter", metavar="SIGN", help="Character between columns of CSV, or tab."),
    click.option("--quotechar", metavar="SIGN", help="Character around cells of CSV, or none."),
)


server_options = options(
    click.option(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        show_default=True,
        help="Address to listen on; 127.0.0.1 is reached from this machine alone, 0.0.0.0 from every other.",
    ),
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        metavar="N",
        default=8000,
        show_default=True,
        help="Port to listen on; 0 takes one that is free.",
    ),
    click.option(
        "--allow-host",
        "names",
        multiple=True,
        metavar="NAME",
        help="Name by which the server is reached, beside its address; repeatable.",
    ),
)


def require_file(flag: str, given: dict[str, str | None]) -> None:
    """Raise UserError where options of a file are given without it. flag: the option that gives it."""
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if names:
        raise UserError(f"{', '.join(names)}: goes with {flag} FILE; give it too, or leave this out")


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
    return lambda line: note(line, err=as_json)


def to_json(value: Any, allow_nan: bool = True) -> str:
    """Indented JSON of a result for standard output, its numbers as rounded() gives them."""
    return json.dumps(rounded(value), indent=2, ensure_ascii=not takes_unicode(), allow_nan=allow_nan)


def rounded(value: Any) -> Any:
    """A tree of dicts and lists whose floats have DIGITS significant digits; whole numbers stay."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, (list, tuple)) else value


def percent(share: float | None) -> str:
    """A share in percent, "-" for None."""
    return "-" if share is None else f"{100 * share:.2f} %"


def names_in(text: str) -> list[str]:
    """The names of a comma-separated list."""
    return [name.strip() for name in text.split(",")]


def decoded(text: str, number: int) -> str:
    """The text; UserError where bytes of the command line are not UTF-8. number: position among the texts, from 1."""
    require_utf8(text, f"TEXT {number}", "convert the text to UTF-8")
    return text
