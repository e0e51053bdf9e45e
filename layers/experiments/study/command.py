"""The command study: train waves and a Transformer on the same texts in the same order, and compare how they learn."""

import time
from pathlib import Path
from typing import Any

import click

from engine.arrays.backend import resolve_device
from engine.commands.fields import (
    data_options,
    field_option,
)
from engine.commands.options import (
    cache_option,
    device_option,
    json_option,
    make_log,
    names_in,
    number_option,
    require_nothing_but,
    to_json,
)
from engine.support.output import echo
from engine.support.text import format_table
from engine.training.config import TrainingConfig
from engine.training.run_settings import parse_assignments
from layers.experiments.study.plan import RUNS
from layers.networks import CONFIGS, build_network


@click.command()
@data_options
@click.option("--dimension", metavar="D", help="Dimension of all networks.  [default: 256]")
@field_option(TrainingConfig, "--epochs", "Passes over the training texts.  [default: 5]", metavar="N")
@field_option(TrainingConfig, "--batch-size", "Texts per step.  [default: 64]", metavar="N")
@field_option(TrainingConfig, "--seed", "Random seed.", metavar="N")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="[RUN.]NAME=VALUE",
    help="Set any field, in all runs that have it or in one.",
)
@click.option(
    "--runs", metavar="NAMES", default=",".join(RUNS), show_default=True, help="Runs to compare, comma-separated."
)
@number_option("--snapshots", 10, "Number of measurements of independence and waves.")
@click.option(
    "--output", type=click.Path(), metavar="DIR", help="Folder of the study.  [default: runs/study-<date-time>]"
)
@click.option("--resume", type=click.Path(), metavar="DIR", help="Continue an interrupted study with its own settings.")
@device_option(None, "cpu, cuda, or auto.  [default: cpu, or that of the resumed study]")
@cache_option
@json_option
@click.pass_context
def study(
    ctx: click.Context,
    /,
    dimension: str | None,
    assignments: tuple[str, ...],
    runs: str,
    snapshots: int,
    output: str | None,
    resume: str | None,
    device: str | None,
    cache_dir: str | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Train interference, modulation and a Transformer on the same texts in the same order, and compare how they learn.

    Every step records loss, accuracy, and the gradient at [CLS], at all input tokens and at the classifier; snapshots
    record how independent the embedding's dimensions are, phases and magnitudes. Writes study.json, figures and a page,
    study.html (extra plots). Ctrl-C saves and stops; --resume DIR goes on from there.
    """
    from engine.report.figures import require_matplotlib
    from engine.report.html import require_jinja2
    from layers.experiments.study import run as studies
    from layers.experiments.study.figures import write_figures
    from layers.experiments.study.measures import BINS, wave_counts
    from layers.experiments.study.page import write_page
    from layers.experiments.study.plan import plan
    from layers.experiments.study.summary import summary_table

    require_matplotlib("study.svg")
    require_jinja2("study.html")
    log = make_log(as_json)
    if resume is not None:
        require_nothing_but(ctx, f"--resume {resume}", {"resume", "device", "cache_dir", "as_json"})
        folder = Path(resume)
        planned, before = studies.read_study(folder, CONFIGS, build_network, wave_counts, BINS)
        recorded, matrices = studies.continue_study(planned, folder, resolve_device(device or before), cache_dir, log)
    else:
        chosen = {name: value for name, value in {"dimension": dimension, **fields}.items() if value is not None}
        settings = plan(chosen, parse_assignments(assignments).items(), names_in(runs))
        planned = studies.Study(settings, snapshots, build_network, wave_counts, BINS)
        folder = Path(output or f"runs/study-{time.strftime('%Y%m%d-%H%M%S')}")
        recorded, matrices = studies.start_study(planned, folder, resolve_device(device or "cpu"), cache_dir, log)
    write_page(folder / "study.html", recorded, write_figures(folder, recorded, matrices))
    headings, rows = summary_table(recorded)
    table = "\n" + format_table(headings, rows, align="<" + ">" * len(headings[1:]))
    echo(to_json(recorded) if as_json else table)
    log(f"\nstudy.json, figures and study.html are in {folder}")
