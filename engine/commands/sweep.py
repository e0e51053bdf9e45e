"""The commands sweep and accuracy, and the hidden sweep-job: many runs in processes side by side, and their table."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from engine.arrays.backend import resolve_device
from engine.commands.fields import (
    chosen_settings,
    model_option,
    settings_options,
)
from engine.commands.options import (
    Decorator,
    Project,
    cache_option,
    device_option,
    json_option,
    make_log,
    names_in,
    options,
    require_nothing_but,
    to_json,
)
from engine.data.corpora import SMALL_CORPORA
from engine.support.errors import UserError
from engine.support.output import echo
from engine.support.settings import Settings
from engine.training.run_settings import parse_assignments, read_settings_file

OPERATIONS = ("interference", "modulation")  # what accuracy compares unless told otherwise


def sweep_options(default: str) -> Decorator:
    """The options of a command that runs a sweep. default: the name that its folder begins with by default."""
    return options(
        click.option(
            "--jobs",
            type=click.IntRange(1),
            metavar="N",
            help="Number of runs at a time; 1 to measure seconds.  [default: as many as cores allow]",
        ),
        click.option("--linear", is_flag=True, help="Also measure TF-IDF with a linear SVM (extra bench)."),
        click.option(
            "--ensemble",
            type=click.IntRange(2),
            metavar="N",
            help="Also measure ensembles of N seeds: the mean of their class probabilities.",
        ),
        click.option("--together", type=click.IntRange(2), hidden=True),  # the former name of --ensemble
        click.option(
            "--output",
            type=click.Path(),
            metavar="DIR",
            help=f"Folder of runs and tables.  [default: runs/{default}-<date-time>]",
        ),
        click.option(
            "--resume",
            type=click.Path(),
            metavar="DIR",
            help="Continue an interrupted sweep; finished runs are left as they are.",
        ),
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="Train on the workers of this Dask scheduler, such as tcp://HOST:8786 (extra cluster).  "
            "[default: in processes of this machine]",
        ),
        device_option(None, "cpu, cuda, or auto.  [default: cpu, or that of the resumed sweep]"),
        cache_option,
        json_option,
    )


def accuracy_command(project: Project) -> click.Command:
    """The command accuracy for the networks of a Project."""

    @click.command()
    @settings_options(project)
    @click.option(
        "--corpora",
        metavar="NAMES",
        default=",".join(SMALL_CORPORA),
        show_default=True,
        help="Corpora by name, comma-separated.",
    )
    @model_option(project)
    @click.option(
        "--operations",
        metavar="NAMES",
        help="Operations of model wave, comma-separated.  [default: interference,modulation]",
    )
    @click.option(
        "--seeds", metavar="NUMBERS", default="0,1,2", show_default=True, help="Random seeds, comma-separated."
    )
    @sweep_options("accuracy")
    @click.pass_context
    def accuracy(
        ctx: click.Context,
        /,
        preset: str | None,
        config_file: str | None,
        assignments: tuple[str, ...],
        corpora: str,
        model: str | None,
        operations: str | None,
        seeds: str,
        **running: Any,
    ) -> None:
        """Train every corpus with every operation and seed; print mean and spread of the test accuracy.

        It is a sweep: a file for the command sweep can vary any setting.
        """
        from engine.sweep.description import Description
        from engine.sweep.description import describe as describe_sweep

        def description() -> Description:
            base = chosen_settings(project, preset, config_file, assignments, {"model": model})
            if base.data.train_file:
                raise UserError("accuracy: measures corpora by name; leave train_file out of --set and --config")
            fields = read_settings_file(config_file, project.configs) if config_file else {}
            fields = {**fields, **parse_assignments(assignments), "model": base.network.model}
            kinds = names_in(operations) if operations else operations_of(base.network)
            grid = {
                "corpus": {name: {"corpus": name} for name in named_once("--corpora", names_in(corpora))},
                "network": {name: {"operation": name} for name in named_once("--operations", kinds)}
                or {base.network.label(): {}},
            }
            values = {
                **({} if preset is None else {"preset": preset}),
                "seeds": names_in(seeds),
                "set": {name: value for name, value in fields.items() if name not in ("seed", "corpus")},
                "grid": grid,
            }
            return describe_sweep(values, "accuracy", Path(), project.choices)

        run_sweep(project, ctx, description, **running)

    return accuracy


def operations_of(network: Settings) -> list[str]:
    """The operations of the papers that a config's model can use; none where the model has no such field."""
    field = network.fields().get("operation")
    return [] if field is None else [name for name in OPERATIONS if name in field.metadata["choices"]]


def named_once(option: str, names: list[str]) -> list[str]:
    """The names; UserError where one stands twice."""
    from engine.sweep.description import require_distinct

    require_distinct(names, option)
    return names


def sweep_command(project: Project) -> click.Command:
    """The command sweep for the networks of a Project."""

    @click.command()
    @click.argument("file", type=click.Path(), required=False, metavar="[FILE.toml]")
    @sweep_options("sweep")
    @click.pass_context
    def sweep(ctx: click.Context, /, file: str | None, **running: Any) -> None:
        """Train every combination of settings in FILE.toml with every seed, in processes side by side; print a table.

        \b
            seeds = [0, 1, 2]
            [set]                                        # fields of all runs
            epochs = 4
            [grid]                                       # a field with its values, or labelled changes
            operation = ["interference", "modulation"]
            [grid.change]
            none = {}
            "no dropout" = { token_dropout = 0.0, classifier_dropout = 0.0 }

        preset = "NAME" may stand at the top or in a change. Names of files are relative to the folder of FILE.toml.
        Ctrl-C saves and stops; --resume DIR goes on. Exit code 1 if a run fails; the others are run nevertheless.
        """
        from engine.sweep.description import Description, read_description

        def description() -> Description:
            if file is None:
                raise click.UsageError("expected FILE.toml, or --resume DIR", ctx)
            return read_description(file, project.choices)[0]

        run_sweep(project, ctx, description, **running)

    return sweep


def run_sweep(
    project: Project,
    ctx: click.Context,
    description: Callable[[], Any],
    jobs: int | None,
    linear: bool,
    ensemble: int | None,
    together: int | None,
    output: str | None,
    resume: str | None,
    scheduler: str | None,
    device: str | None,
    cache_dir: str | None,
    as_json: bool,
) -> None:
    """Run description() in a new folder, or what an old one describes; print the table, and which runs failed."""
    from engine.sweep.results import as_text
    from engine.sweep.run import read_sweep, resume_sweep, start_sweep
    from engine.sweep.setup import Setup

    log, command = make_log(True), job_command(project)

    def setup(device: str, linear: bool, ensemble: int) -> Setup:
        if scheduler is None:
            device = resolve_device(device)
        elif device == "auto":
            raise UserError("--device auto: is of this machine, and --scheduler names others; give cpu or cuda")
        return Setup(project.choices, command, device, jobs or 0, linear, ensemble, cache_dir, log, scheduler)

    if resume is not None:
        require_nothing_but(
            ctx, f"--resume {resume}", {"resume", "jobs", "scheduler", "device", "cache_dir", "as_json"}
        )
        folder, (described, where) = resume, read_sweep(resume, project.choices)
        results = resume_sweep(described, folder, setup(device or where["device"], where["linear"], where["ensemble"]))
    else:
        folder = output or f"runs/{ctx.info_name}-{time.strftime('%Y%m%d-%H%M%S')}"
        results = start_sweep(description(), folder, setup(device or "cpu", linear, ensemble or together or 0))
    echo(to_json(results) if as_json else as_text(results))
    log(f"\nruns, results.json, table.md and table.csv are in {folder}")
    for failure in results["failed"]:
        log(f"failed: {failure['run']}: {failure['reason']}")
    if results["failed"]:
        ctx.exit(1)


def job_command(project: Project) -> list[str]:
    """The command that starts a process which does a job of a sweep."""
    return [sys.executable, str(project.program), "sweep-job"]


def sweep_job_command(project: Project) -> click.Command:
    """The hidden command sweep-job for the networks of a Project."""

    @click.command("sweep-job", hidden=True)
    def sweep_job() -> None:
        """Do one job of a sweep, which stands on standard input: the command sweep starts this one."""
        from engine.sweep.do_job import do_job

        do_job(sys.stdin.fileno(), project.configs, project.build_network)

    return sweep_job
