"""The command train."""

import time
from pathlib import Path
from typing import Any

import click

from engine.arrays.backend import resolve_device
from engine.commands.evaluate import class_table
from engine.commands.fields import (
    chosen_settings,
    data_options,
    network_options,
    settings_options,
    training_options,
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
from engine.training.run_settings import RunSettings
from engine.training.session import resume_run, start_run


def train_command(project: Project) -> click.Command:
    """The command train for the networks of a Project."""

    @click.command()
    @settings_options(project)
    @data_options
    @network_options(project)
    @training_options
    @click.option(
        "--output",
        type=click.Path(),
        metavar="DIR",
        help="Run directory.  [default: runs/<date-time>-<corpus>-<network>]",
    )
    @click.option("--resume", type=click.Path(), metavar="RUN_DIR", help="Continue a run with its own settings.")
    @device_option(None, "cpu, cuda, or auto.  [default: cpu, or that of the resumed run]")
    @cache_option
    @json_option
    @click.pass_context
    def train(
        ctx: click.Context,
        /,
        preset: str | None,
        config_file: str | None,
        assignments: tuple[str, ...],
        output: str | None,
        resume: str | None,
        device: str | None,
        cache_dir: str | None,
        as_json: bool,
        **fields: Any,
    ) -> None:
        """Train a network, measure it on the test texts, keep everything in a run directory.

        Ctrl-C saves and stops; --resume RUN_DIR goes on from there.
        """
        log = make_log(as_json)
        if resume is not None:
            require_nothing_but(ctx, f"--resume {resume}", {"resume", "device", "cache_dir", "as_json"})
            result = resume_run(resume, project.configs, project.build_network, device, cache_dir, log)
        else:
            settings = chosen_settings(project, preset, config_file, assignments, fields)
            path, device = output or new_run_path(settings), resolve_device(device or "cpu")
            result = start_run(settings, project.build_network, path, device, cache_dir, log)
        click.echo(to_json(result) if as_json else result_table(result))

    return train


def new_run_path(settings: RunSettings) -> Path:
    """runs/<date-time>-<corpus>-<operation or model>, with a number behind it where that exists."""
    corpus = "files" if settings.data.train_file else settings.data.corpus
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{corpus}-{settings.network.label()}"
    path, number = Path("runs") / name, 2
    while path.exists():
        path, number = Path("runs") / f"{name}-{number}", number + 1
    return path


def result_table(result: dict[str, Any]) -> str:
    """The result of a training run as text: a row per class, then the figures."""
    lines = [""]
    if result["classes"]:
        lines += [class_table(result["classes"]), ""]
    best = f"(epoch {result['best_epoch']} of {result['epochs']})"
    figures = [
        ("test accuracy", percent(result["test_accuracy"])),
        ("test macro F1", percent(result["test_macro_f1"])),
        ("validation accuracy", f"{percent(result['validation_accuracy'])} {best}"),
    ]
    if "test_micro_f1" in result:  # a text may have several labels
        figures = [
            ("test micro F1", percent(result["test_micro_f1"])),
            ("test macro F1", percent(result["test_macro_f1"])),
            ("test subset accuracy", percent(result["test_accuracy"])),
            ("validation micro F1", f"{percent(result['validation_micro_f1'])} {best}"),
        ]
    figures += [
        ("training time", f"{result['train_seconds']:.1f} s, {result['tokens_per_second']:,.0f} tokens/s"),
        ("peak memory", f"{result['peak_memory_bytes'] / 2**20:,.0f} MiB"),
        ("run directory", result["run_directory"]),
    ]
    width = max(len(name) for name, _ in figures)
    return "\n".join(lines + [f"{name:{width}}  {value}" for name, value in figures])


def percent(share: float | None) -> str:
    """A share in percent, "-" for None."""
    return "-" if share is None else f"{100 * share:.2f} %"
