"""The commands that look at networks, runs, corpora and the machine: describe, report, corpora, doctor."""

import importlib
import itertools
from collections.abc import Iterable
from typing import Any

import click

from engine.arrays.backend import resolve_device
from engine.cli import COLUMN_WIDTH
from engine.commands.fields import (
    chosen_settings,
    data_options,
    network_options,
    settings_options,
)
from engine.commands.options import (
    Project,
    cache_option,
    device_option,
    json_option,
    make_log,
    require_nothing_but,
    to_json,
)
from engine.data.config import DataConfig
from engine.support.output import echo
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import field_rows
from engine.training.trained_run import open_run, read_run_settings


def describe_command(project: Project) -> click.Command:
    """The command describe for the networks of a Project."""

    @click.command()
    @click.argument("run_dir", type=click.Path(), required=False)
    @settings_options(project)
    @data_options
    @network_options(project)
    @click.option("--fields", "list_fields", is_flag=True, help="List every field, its value and its meaning.")
    @json_option
    @click.pass_context
    def describe(
        ctx: click.Context,
        /,
        run_dir: str | None,
        preset: str | None,
        config_file: str | None,
        assignments: tuple[str, ...],
        list_fields: bool,
        as_json: bool,
        **fields: Any,
    ) -> None:
        """Show the settings and results of RUN_DIR, and its network's parts, shapes and parameter counts.

        Without RUN_DIR it shows the network of the given settings, whose vocabulary counts at its largest size.
        """
        network, run = None, None
        if run_dir:
            require_nothing_but(ctx, run_dir, {"run_dir", "list_fields", "as_json"})
            run = RunDirectory.open(run_dir)
            settings = read_run_settings(run, project.configs)
            if (run.best / "state.json").exists():
                network = open_run(run_dir, project.configs, project.build_network).network
        else:
            settings = chosen_settings(project, preset, config_file, assignments, fields)
        if list_fields:
            rows = field_rows(settings)
            keys = ("section", "field", "value", "allowed", "meaning")
            echo(to_json([dict(zip(keys, row)) for row in rows]) if as_json else field_list(rows))
            return
        if run is None:
            network = project.build_network(settings.network, *sizes_of(settings.data), settings.training.seed)
        parts = {} if network is None else parts_of(network)
        if run is not None and as_json:
            parts = {"run_directory": run_dir, "settings": settings.sections(), "result": run.result(), **parts}
        if as_json:
            echo(to_json(parts))
            return
        if run is not None:
            from engine.commands.run_screen import run_screen

            echo(run_screen(run, settings, project.choices) + ("\n" if network is not None else ""))
        if network is not None:
            echo(network.describe())
        if run is None and (words := largest_vocabulary(settings.data)):
            echo(f"\n{words}")

    return describe


def parts_of(network: Any) -> dict[str, Any]:
    """The parts of a network with their shapes, and its numbers of parameters."""
    parts = [{"part": part, "shapes": shapes, "parameters": count} for part, shapes, count in network.part_rows()]
    count, others = network.parameter_count(), network.parameters_beside_tables()
    return {"parts": parts, "parameters": count, "without_embedding": others}


def field_list(rows: Iterable[tuple[Any, ...]]) -> str:
    """The rows of field_rows() as a list by section, wrapped to the terminal."""
    formatter = click.HelpFormatter(max_width=COLUMN_WIDTH)
    for section, group in itertools.groupby(rows, key=lambda row: row[0]):
        with formatter.section(section):
            formatter.write_dl(
                [(f"{name}={value}", f"{meaning}; {allowed}") for _, name, value, allowed, meaning in group]
            )
    return formatter.getvalue().strip()


def largest_vocabulary(data: DataConfig) -> str:
    """Sentences on the rows of the embedding before there is a run."""
    lines = []
    if not data.tokenizer:
        size = f"at most {data.vocabulary_size:,} {data.tokens}, as counted here"
        lines.append(f"The vocabulary is learned from the training texts: {size}.")
    if data.ngrams > 1:
        lines.append(f"Up to {data.ngram_vocabulary_size:,} n-grams of the training texts come on top.")
    if data.affixes:
        lines.append("The affixes of their words come on top.")
    if data.char_ngrams:
        most = f"{data.char_ngram_vocabulary_size:,} n-grams of {data.char_ngrams} characters"
        lines.append(f"Up to {most} of their words come on top.")
    return "\n".join(lines)


def sizes_of(data: DataConfig) -> tuple[int, int]:
    """(vocabulary, classes) of a network of these settings, as far as known before training: tokens alone."""
    from engine.data.reading import count_classes
    from engine.data.tokenizer import load_tokenizer

    vocabulary = load_tokenizer(data.tokenizer).get_vocab_size() if data.tokenizer else data.vocabulary_size
    return vocabulary, count_classes(data)


@click.command()
@cache_option
@json_option
def corpora(cache_dir: str | None, as_json: bool) -> None:
    """List the corpora by name: rows, classes, size of the download, whether it is cached, source and terms of use.

    Works offline.
    """
    from engine.data.corpora import as_text, describe_corpora

    rows = describe_corpora(cache_dir)
    echo(to_json(rows) if as_json else as_text(rows))


def doctor_command(project: Project) -> click.Command:
    """The command doctor for the kernels in the packages of a Project."""

    @click.command()
    @json_option
    @click.pass_context
    def doctor(ctx: click.Context, /, as_json: bool) -> None:
        """Show versions, the CUDA device or why there is none, whether every kernel compiles, and what to install.

        Needs no GPU. Exit code 1 if a kernel is refused.
        """
        from engine.cuda.doctor import examine
        from engine.cuda.doctor_text import as_text

        for folder in project.packages:
            for source in folder.rglob("*.cu"):  # the module beside it declares its constants
                importlib.import_module(".".join(source.relative_to(folder.parent).with_suffix("").parts))
        findings = examine(project.packages)
        echo(to_json(findings) if as_json else as_text(findings))
        if findings["ok"] is False:
            ctx.exit(1)

    return doctor


def report_command(project: Project) -> click.Command:
    """The command report for the networks of a Project."""

    @click.command()
    @click.argument("run_dirs", nargs=-1, required=True, type=click.Path(), metavar="RUN_DIR...")
    @click.option(
        "--output",
        type=click.Path(),
        metavar="FILE.html",
        default="report.html",
        show_default=True,
        help="File of the page.",
    )
    @device_option()
    @cache_option
    @json_option
    def report(run_dirs: tuple[str, ...], output: str, device: str, cache_dir: str | None, as_json: bool) -> None:
        """Show what runs get wrong, how sure they are, and how they were trained, as one page.

        The best checkpoint of each finished run labels its test texts: accuracy, macro F1 and the worst class,
        confusion matrix, the texts labelled wrong with most certainty, classes by F1, and calibration. Curves by step
        follow, those of equal settings and different seeds as their mean with a band, and the settings. A RUN_DIR may
        be the folder of a sweep and then stands for all its runs. Needs matplotlib (extra plots).
        """
        from engine.report.page import require_page, write_page
        from engine.report.summary import as_json_object, as_table, make_report

        require_page(output)
        made = make_report(run_dirs, project.configs, project.build_network, resolve_device(device), cache_dir)
        write_page(output, made)
        echo(to_json(as_json_object(made, output)) if as_json else as_table(made))
        make_log(as_json)(f"\npage written to {output}")

    return report
