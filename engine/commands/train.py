"""The command train."""

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from engine.arrays.backend import resolve_device
from engine.commands.autotune import autotune_options, is_search, run_search, search_table
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
    all_classes_option,
    cache_option,
    device_option,
    json_option,
    make_log,
    percent,
    require_nothing_but,
    to_json,
)
from engine.support.files import AnyPath
from engine.support.output import echo
from engine.training.config import TrainingConfig
from engine.training.launchers import launched_ranks
from engine.training.observers import Observer, TensorBoard
from engine.training.run_settings import RunSettings
from engine.training.selection import best_text
from engine.training.session import resume_run, start_run
from engine.training.trained_run import open_run
from engine.training.transfer import Source


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
        help="Run directory.  [default: runs/<date-time>-…]",
    )
    @click.option(
        "--resume",
        type=click.Path(),
        metavar="RUN_DIR",
        help="Continue a run with its own settings.",
    )
    @click.option(
        "--init-from",
        type=click.Path(),
        metavar="RUN_DIR",
        help="Start from a run's weights and settings.",
    )
    @click.option(
        "--tensorboard",
        type=click.Path(),
        metavar="DIR",
        help="Write TensorBoard curves into DIR/<run>.",
    )
    @autotune_options
    @device_option(None, "Device.  [default: cpu, or the resumed run's]")
    @cache_option
    @all_classes_option
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
        init_from: str | None,
        tensorboard: str | None,
        device: str | None,
        cache_dir: str | None,
        all_classes: bool,
        as_json: bool,
        autotune: str | None,
        trials: str | None,
        jobs: int | None,
        **fields: Any,
    ) -> None:
        """Train a network, measure it on test texts, keep everything in a folder.

        Ctrl-C saves; --resume RUN_DIR goes on, with --epochs N past the run's end.
        mpiexec -n N … trains on N processes.
        """
        if is_search(ctx):
            around = None if resume else chosen_settings(project, preset, config_file, assignments, fields)
            folder = resume or output or (f"{new_run_path(around)}-autotune" if around else "")
            record = run_search(ctx, project, around, folder, make_log(as_json))
            tables = search_table(record), result_table(record["result"], all_classes)
            echo(to_json(record) if as_json else "\n".join(tables))
            return
        with launched_ranks() as ranks:
            log = make_log(as_json) if ranks.is_root else lambda line: None
            given, curves_in = (cache_dir, log, None, ranks), tensorboard if ranks.is_root else None
            if resume is not None:
                allowed = {"resume", "epochs", "tensorboard", "device", "cache_dir", "all_classes", "as_json"}
                require_nothing_but(ctx, f"--resume {resume}", allowed)
                epochs = None if fields["epochs"] is None else TrainingConfig(epochs=fields["epochs"]).epochs
                with curves(curves_in, resume) as observers:
                    result = resume_run(
                        resume, project.configs, project.build_network, device, *given, observers, epochs
                    )
            else:
                settings = chosen_settings(project, preset, config_file, assignments, fields, init_from)
                ranks.choose_device(device or "cpu")
                path, device = output or new_run_path(settings), resolve_device(device or "cpu")
                source = None
                if init_from is not None:
                    source = Source(init_from, open_run(init_from, project.configs, project.build_network))
                with curves(curves_in, path) as observers:
                    result = start_run(settings, project.build_network, path, device, *given, observers, source)
            if ranks.is_root:
                echo(to_json(result) if as_json else result_table(result, all_classes))

    return train


@contextlib.contextmanager
def curves(folder: str | None, run_path: AnyPath) -> Iterator[list[Observer]]:
    """The observers of a training that are asked for: TensorBoard's, where a folder is given."""
    if folder is None:
        yield []
        return
    with TensorBoard(folder, Path(run_path).resolve().name) as observer:
        yield [observer]


def new_run_path(settings: RunSettings) -> Path:
    """runs/<date-time>-<corpus>-<operation or model>, with a number behind it where that exists.

    A corpus of files is called by the first part of its name, with "_" for characters that not every system takes.
    """
    corpus = re.sub(r"[^\w+=-]+", "_", settings.data.name().strip(".").partition(".")[0]).strip("_") or "files"
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{corpus}-{settings.network.label()}"
    path, number = Path("runs") / name, 2
    while path.exists():
        path, number = Path("runs") / f"{name}-{number}", number + 1
    return path


def result_table(result: dict[str, Any], all_classes: bool = False) -> str:
    """The result of a training run as text: a row per class (of many, some: see class_table), then the figures."""
    lines = [""]
    if result["classes"]:
        lines += [class_table(result["classes"], all_classes), ""]
    figures = result_figures(result)
    width = max(len(name) for name, _ in figures)
    return "\n".join(lines + [f"{name:{width}}  {value}" for name, value in figures])


def result_figures(result: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, figure) of a result, in the order in which they are shown."""
    best = f"(epoch {best_text(result)})"
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
    return figures + [
        ("training time", f"{result['train_seconds']:.1f} s, {result['tokens_per_second']:,.0f} tokens/s"),
        ("peak memory", f"{result['peak_memory_bytes'] / 2**20:,.0f} MiB"),
        ("run directory", result["run_directory"]),
    ]
