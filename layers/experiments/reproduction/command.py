"""The command reproduce: repeat the experiments of the paper by its protocol, beside the figures that it prints."""

from pathlib import Path
from typing import Any

import click

from engine.arrays.backend import resolve_device
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
from engine.support.errors import UserError
from engine.support.output import echo
from engine.support.text import format_table
from engine.training.run_settings import parse_assignments
from layers.experiments.reproduction.plan import TABLES

SHARE = click.FloatRange(0, 1, min_open=True)


@click.command()
@click.option(
    "--table", "tables", multiple=True, type=click.Choice(TABLES), help="Table to repeat; repeatable.  [default: all]"
)
@click.option("--corpora", metavar="NAMES", help="Corpora, comma-separated.  [default: r8, and those of --files]")
@click.option("--files", multiple=True, metavar="NAME=TRAIN[,TRAIN...]:TEST", help="Own files of a corpus; repeatable.")
@number_option("--seeds", 3, "Number of seeds.")
@click.option(
    "--share",
    type=SHARE,
    default=0.25,
    show_default=True,
    metavar="SHARE",
    help="Share of the training rows for controls, gradients and independence.",
)
@click.option("--fig7-share", type=SHARE, default=0.05, show_default=True, metavar="SHARE", help="The same for Fig. 7.")
@number_option("--dimension", 768, "Dimension of all networks; the paper's is 768.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Set any field that no table varies.")
@click.option(
    "--output",
    type=click.Path(),
    metavar="DIR",
    default="runs/reproduction",
    show_default=True,
    help="Folder; one that has begun is continued, if its settings are the same.",
)
@click.option("--resume", type=click.Path(), metavar="DIR", help="Continue a folder with its own settings.")
@click.option(
    "--only",
    multiple=True,
    metavar="PATTERN",
    help="Trainings to do now, such as 'run-*-modulation-s0', and leave the others for another call; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Only estimate the hours.")
@device_option()
@cache_option
@json_option
@click.pass_context
def reproduce(
    ctx: click.Context,
    /,
    tables: tuple[str, ...],
    output: str,
    resume: str | None,
    only: tuple[str, ...],
    dry_run: bool,
    cache_dir: str | None,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Repeat the experiments of the Wave Network paper by its protocol, and print its figures beside those found here.

    Every training is kept: the same command, or --resume DIR, goes on where it was stopped. Prints its estimated hours
    first. Writes reproduction.json after every training and at the end figures and a page, reproduction.html (extra
    plots). What needs pre-trained weights, or texts that cannot be fetched, is listed as not run.
    """
    from layers.experiments.reproduction import run
    from layers.experiments.reproduction.estimate import estimate
    from layers.experiments.reproduction.page import write_record, write_report
    from layers.experiments.reproduction.paper import HEADINGS
    from layers.experiments.reproduction.plan import chosen_jobs, plan_jobs
    from layers.experiments.reproduction.protocol import find_sources, read_protocol

    log = make_log(as_json)
    if resume is not None:
        rest = {"tables", "resume", "only", "dry_run", "cache_dir", "as_json"}
        require_nothing_but(ctx, f"--resume {resume}", rest)
        protocol = read_protocol(Path(resume))
    else:
        protocol = chosen_protocol(**chosen)
    folder, wanted = Path(resume or output), list(dict.fromkeys(tables or TABLES))
    run.claim(folder, protocol)
    sources, missing = find_sources(protocol, folder, cache_dir)
    for name, reason in missing.items():
        log(f"not run: {name}: {reason}")
    jobs = plan_jobs(protocol, wanted, sources)
    state = run.State(protocol, wanted, sources, missing, jobs, run.finished(folder, jobs), {})
    remaining = [job for job in chosen_jobs(jobs, only) if job.name not in state.found]
    log(f"{len(jobs)} trainings, {len(state.found)} of them done, {len(remaining)} to do")
    if remaining:
        estimated = estimate(remaining, protocol.device, cache_dir)
        rows = [(name, count, f"{seconds:.3g}", f"{hours:.3g}") for name, count, seconds, hours in estimated]
        log(format_table(["network", "trainings", "seconds a step", "hours"], rows))
        log(f"estimated: {sum(row[-1] for row in estimated):.3g} hours, without reading texts and starting processes")
    if dry_run:
        return
    run.run_all(state, remaining, folder, cache_dir, log, lambda: write_record(folder, state))
    record = write_record(folder, state)
    written = "reproduction.json"
    try:
        write_report(folder, record)
        written += ", figures and reproduction.html"
    except UserError as error:
        log(f"no page: {error}")
    if as_json:
        echo(to_json(record, allow_nan=False))
    else:
        for title, lines in record["tables"].items():
            table = format_table(HEADINGS, [row.values() for row in lines], align="<" * 4)
            echo(f"\n{title}\n\n{table}")
    log(f"\n{written} are in {folder}")
    for name, reason in state.failed.items():
        log(f"failed: {name}: {reason}")
    if state.failed:
        ctx.exit(1)


def chosen_protocol(
    corpora: str | None, files: tuple[str, ...], assignments: tuple[str, ...], device: str, **numbers: Any
) -> Any:
    """The Protocol of the options, checked."""
    from layers.experiments.reproduction.protocol import Protocol, check_corpora, check_fields, parse_files

    found = parse_files(files)
    names = list(dict.fromkeys(names_in(corpora) if corpora else ["r8", *found]))
    check_corpora(names, found)
    protocol = Protocol(names, found, device=resolve_device(device), fields=parse_assignments(assignments), **numbers)
    check_fields(protocol)
    return protocol
