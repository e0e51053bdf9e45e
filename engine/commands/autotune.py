"""The options of train that search for settings, and the table of a search."""

import re
import shlex
from pathlib import Path
from statistics import mean
from typing import Any

import click

from engine.arrays.backend import resolve_device
from engine.commands.options import Log, Project, given_options, options, percent, require_nothing_but
from engine.support.command import command_name
from engine.support.errors import UserError
from engine.support.text import duration, format_table
from engine.training.launchers import place
from engine.training.run_settings import RunSettings

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}  # seconds
NOT_WITH = ("--tensorboard", "--init-from")
OF_SEARCH = ("autotune", "trials", "jobs")  # parameters
NOT_REPEATED = (*OF_SEARCH, "output", "resume", "as_json", "all_classes")  # in a line that trains the same settings

autotune_options = options(
    click.option("--autotune", metavar="TIME", help="Search settings within 90s, 5m or 1h first."),
    click.option("--trials", metavar="N", help="Search with N trainings, not a time."),
    click.option("--jobs", type=click.IntRange(1), metavar="N", help="Trainings at a time of a search."),
)


def is_search(ctx: click.Context) -> bool:
    """Whether a search is asked for, or is to be resumed. UserError for options that do not go with it."""
    resume = ctx.params["resume"]
    if resume is not None:
        from engine.sweep.autotune_trainings import RECORD

        return (Path(resume) / RECORD).is_file()
    if ctx.params["autotune"] is None and ctx.params["trials"] is None:
        if ctx.params["jobs"] is not None:
            raise UserError("--jobs: goes with --autotune or --trials; give one of them too, or leave this out")
        return False
    return True


def run_search(ctx: click.Context, project: Project, settings: RunSettings | None, folder: str | Path, log: Log) -> Any:
    """Search around RunSettings into a new folder, or where they are None continue in an old one; returns its record.

    UserError for bad values of the options, and for others that do not go with a search.
    """
    from engine.commands.sweep import job_command
    from engine.sweep.autotune import Budget, read_record, resume_autotune, start_autotune
    from engine.sweep.setup import Setup

    if place() is not None:
        raise UserError("--autotune: trains in processes of its own; start it without mpiexec, torchrun or srun")
    params = ctx.params
    if settings is None:
        require_nothing_but(ctx, f"--resume {folder}", {"resume", "jobs", "cache_dir", "all_classes", "as_json"})
    device = resolve_device(read_record(folder)["device"] if settings is None else params["device"] or "cpu")
    command, jobs, cache_dir = job_command(project), params["jobs"] or 0, params["cache_dir"]
    setup = Setup(project.choices, command, device, jobs, cache_dir=cache_dir, log=log)
    if settings is None:
        return resume_autotune(folder, setup, project.build_network)
    for option in given_options(ctx, lambda name: True):
        if option in NOT_WITH:
            raise UserError(f"--autotune: {option} cannot be given with it; train the settings that it finds with that")
    if params["autotune"] is not None and params["trials"] is not None:
        raise UserError("--autotune and --trials: a time or a number of trainings; give one of the two")
    budget = Budget(
        None if params["autotune"] is None else seconds_in(params["autotune"]),
        None if params["trials"] is None else number_in(params["trials"]),
    )
    model, given = settings.network.model, given_fields(ctx)
    space, first = project.search_space.get(model, {}), project.first_points.get(model, [])
    return start_autotune(
        settings, space, first, given, budget, folder, setup, project.build_network, command_line(ctx)
    )


def seconds_in(text: str) -> float:
    """The seconds of a time such as 90s, 5m, 1h or 90. UserError for anything else, and for nothing."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smh]?)", text.strip(), re.ASCII)
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not seconds:
        raise UserError(f"--autotune {text}: expected a time such as 90s, 5m or 1h, or a number of seconds")
    return seconds


def number_in(text: str) -> int:
    """The number of trainings of --trials. UserError for less than those of the smallest search."""
    from engine.sweep.autotune_search import START_TRIALS, WIDTHS, trials_of

    least = START_TRIALS + trials_of(WIDTHS[-1])
    if not re.fullmatch(r"\d{1,9}", text.strip(), re.ASCII) or int(text) < least:
        raise UserError(
            f"--trials {text}: expected a whole number from {least}: the settings given are trained {START_TRIALS} "
            f"times, {WIDTHS[-1]} others for a short time, and the best of these {START_TRIALS} times"
        )
    return int(text)


def given_fields(ctx: click.Context) -> set[str]:
    """The fields that stand on the command line: they stay as they are. Those of a --config file do not."""
    from engine.training.run_settings import parse_assignments

    on_line = click.core.ParameterSource.COMMANDLINE
    names = {name for name in ctx.params if ctx.get_parameter_source(name) == on_line}
    return names | parse_assignments(ctx.params["assignments"]).keys()


def command_line(ctx: click.Context) -> str:
    """The command that trains the settings of this one, without the options that search."""
    words = []
    on_line = click.core.ParameterSource.COMMANDLINE
    for option in ctx.command.params:
        name = option.name or ""
        if ctx.get_parameter_source(name) != on_line or name in NOT_REPEATED:
            continue
        values = ctx.params[name] if option.multiple else [ctx.params[name]]
        is_flag = bool(getattr(option, "is_flag", False))
        words += [word for value in values for word in ([option.opts[0]] if is_flag else [option.opts[0], str(value)])]
    return f"{command_name()} {shlex.join(words)}".strip()


def search_table(record: dict[str, Any]) -> str:
    """The table of a search: a row for each point that was tried, the best, and the commands that repeat it."""
    from engine.sweep.autotune_search import START_TRIALS
    from engine.sweep.autotune_trainings import FIRST, point_text, share_text, value_text

    shares = sorted({entry["share"] for entry in record["trials"]})
    points: dict[str, list[dict[str, Any]]] = {}
    for entry in record["trials"]:
        points.setdefault(point_text(entry["point"], record["first"]), []).append(entry)
    rows = []
    for name, entries in points.items():
        scores = [[entry["validation"] for entry in entries if entry["share"] == share] for share in shares]
        rows.append([name, *map(score_cell, scores), f"{sum(entry['seconds'] for entry in entries):.1f} s"])
    headings = ["settings", *map(share_text, shares), "time"]
    best, repeated = record["best"], f"{record['command']} --trials {record['best']['trials']}"
    lines = ["", format_table(headings, rows), ""]
    lines.append(
        "validation after a share of a full training; full: mean of two seeds, each with its own validation texts "
        "unless these are given"
    )
    lines += [f"{FIRST}: {point_text(point)}" for point in record["first"] if FIRST in points]
    if best["validation"] is None:
        lines.append(
            f"no trial ended within {duration(record['budget']['seconds'])}: settings as given; give more time"
        )
        return "\n".join(lines)
    lines.append(
        f"best: {point_text(best['point'])}, {percent(best['validation'])} "
        f"(as given {percent(best['validation_of_start'])})"
    )
    if best["trials"] > START_TRIALS:
        lines.append(f"{len(record['trials'])} trainings, {duration(record['seconds'])} in all; to repeat: {repeated}")
    else:
        lines.append("the time allowed no other settings; give more")
    changes = " ".join(f"--set {name}={value_text(value)}" for name, value in best["changes"].items())
    lines.append(f"to train the best by hand: {record['command']} {changes}".rstrip())
    return "\n".join(lines)


def score_cell(scores: list[float | None]) -> str:
    """The mean of the scores of a point's trainings of one length; "failed" where one has none, "" without any."""
    if not scores:
        return ""
    known = [score for score in scores if score is not None]
    return percent(mean(known)) if len(known) == len(scores) else "failed"
