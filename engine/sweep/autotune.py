"""Find settings on validation texts within a time, or with a number of trainings, and train a run with the best.

DIR/autotune.json   what is searched, every training so far, and the best point: a search that is stopped continues
DIR/best            an ordinary run directory, trained at the end; it alone looks at the test texts, once
DIR/logs            the output of the processes
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from engine import __version__
from engine.arrays.matmul import check_precision
from engine.benchmark.machine import usable_cores
from engine.support.errors import UserError
from engine.support.files import read_json, remove_leftovers, require_vacant, write_json
from engine.sweep.autotune_search import Best, search
from engine.sweep.autotune_space import Point, Space, rows_for, settings_at
from engine.sweep.autotune_trainings import RECORD, Trainings
from engine.sweep.description import PlannedRun
from engine.sweep.processes import Processes, ask
from engine.sweep.setup import Setup, absolute, default_jobs
from engine.training.interrupt import Interrupted
from engine.training.run_directory import locked
from engine.training.run_settings import CHANGED_BY, RunSettings, pinned, settings_of
from engine.training.session import start_or_resume

BEST = "best"
FORMAT = 2  # of the record


class Budget(NamedTuple):
    """How long to search: seconds in all, the training of the kept run among them, or a number of trainings."""

    seconds: float | None = None
    trials: int | None = None


def start_autotune(
    settings: RunSettings,
    space: Mapping[str, Sequence[Any]],
    first: Sequence[Point],
    given: Collection[str],
    budget: Budget,
    folder: str | Path,
    setup: Setup,
    build_network: Callable[..., Any],
    command: str = "",
) -> dict[str, Any]:
    """Search around `settings` into a new folder; returns the record, with "result", that of the run in DIR/best.

    space: {field: candidate values}. first: points that are tried before all others. given: fields that stay as they
    are. command: the line that trains `settings`. Raises UserError where settings, texts or the folder will not do, and
    Interrupted after Ctrl-C: what has been trained is kept.
    """
    began, folder, settings = time.monotonic(), Path(folder), pinned(settings)
    if not settings.data.validation_file and not settings.data.validation_fraction:
        raise UserError("validation_fraction: is 0, and a search chooses by validation texts; set it above 0")
    check_precision(settings.training.precision, setup.device)
    rows = rows_for(space, settings, given)
    if not rows:
        raise UserError("--autotune: every setting that could be tried is given; leave some of them out")
    require_vacant(folder, RECORD)
    prepare_texts(settings, setup)
    record = {
        "version": __version__,
        "device": setup.device,
        "command": command,
        "budget": budget._asdict(),
        "space": rows,
        "format": FORMAT,
        "given": sorted(given),
        "first": [{name: value for name, value in point.items() if name not in given} for point in first],
        "settings": settings.sections(),
        "seconds": 0.0,
        "widths": [],
        "trials": [],
        "best": None,
    }
    record["seconds"] = time.monotonic() - began
    make_folder(folder)
    write_json(folder / RECORD, record)
    return run_autotune(record, folder, setup, build_network)


def resume_autotune(folder: str | Path, setup: Setup, build_network: Callable[..., Any]) -> dict[str, Any]:
    """Continue the search of a folder, as start_autotune() does."""
    folder = Path(folder)
    return run_autotune(read_record(folder), folder, setup, build_network)


def read_record(folder: str | Path) -> dict[str, Any]:
    """The content of RECORD. UserError where it is damaged."""
    path = Path(folder) / RECORD
    record = read_json(path)
    kinds: dict[str, Any] = {
        "device": str,
        "settings": dict,
        "space": dict,
        "budget": dict,
        "trials": list,
        "widths": list,
        "seconds": (int, float),
    }
    for name, kind in kinds.items():
        if not isinstance(record.get(name), kind):
            raise UserError(f"{path}: lacks {name}; restore the file, or begin a new search")
    if record.get("format") != FORMAT and record.get("best") is None:
        raise UserError(f"{path}: was begun by another version of the program; begin a new search")
    return {"given": [], "first": [], **record}


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--output {folder}: cannot be made ({error.strerror}); choose a folder that you may write to"
        ) from error


def prepare_texts(settings: RunSettings, setup: Setup) -> None:
    """Read and tokenize the texts, in one process that ends; tell what was read. UserError where that fails."""
    entry = {"where": settings.data.name(), "data": settings.data.to_dict(), "sentences": settings.needs_sentences()}
    message = {"kind": "prepare", "data": [{**entry, "seed": settings.training.seed}]}
    answer = ask(setup.command, {**message, "cache_dir": absolute(setup.cache_dir)})
    if "error" in answer:
        raise UserError(answer["error"])
    for note in answer["notes"]:
        setup.log(note)


def run_autotune(
    record: dict[str, Any], folder: Path, setup: Setup, build_network: Callable[..., Any]
) -> dict[str, Any]:
    """Search from where the record stands, and train the best point into DIR/best."""
    classes = setup.choices.classes
    settings = settings_of(record["settings"], classes)
    jobs = setup.jobs or default_jobs([PlannedRun("", (), settings)], setup.device)
    launcher = Processes(setup.command, folder / "logs", jobs, max(1, usable_cores() // jobs))
    try:
        with locked(folder / "lock", f"{folder}: another process is searching here; wait until it has ended"):
            make_folder(folder / "logs")
            remove_leftovers(folder, folder / "logs")
            trainings = Trainings(record, settings, folder, setup, launcher, jobs)
            if record["best"] is None:
                fits = fits_for(settings, setup, record["given"])
                space = Space(record["space"], settings.training.seed, fits, record["first"])
                best = search(space, trainings.train, trainings.width, trainings.margin)
                record["best"] = best_of(best, trainings, settings, setup)
                trainings.save()
            chosen = settings_at(settings, record["best"]["point"], classes, record["given"])
            where = (folder / BEST, setup.device, setup.cache_dir, setup.log)
            result = start_or_resume(chosen, classes, build_network, *where, plan=str(folder / RECORD))
            trainings.save()
    except Interrupted as stop:
        stop.run_path = folder  # it is the search that can be continued
        raise
    return {**record, "result": result}


def fits_for(settings: RunSettings, setup: Setup, given: Collection[str]) -> Callable[[Point], bool]:
    """The function that says whether the settings of a point can be trained."""

    def fits(point: Point) -> bool:
        try:
            settings_at(settings, point, setup.choices.classes, given)
        except UserError:
            return False
        return True

    return fits


def best_of(best: Best, trainings: Trainings, settings: RunSettings, setup: Setup) -> dict[str, Any]:
    """The record of the best point: "point", "changes" as --set takes them, "validation", that of the start on the same
    splits, "trials".

    trials: the number of trainings with which the search can be repeated.
    """
    point = best.point
    chosen = settings_at(settings, point, setup.choices.classes, trainings.record["given"])
    changes = dict(point)
    for name, others in CHANGED_BY.items():  # which would change it otherwise
        if name in point:
            changes.update({other: getattr(chosen.training, other) for other in others})
    start = [entry["validation"] for entry in trainings.record["trials"] if not entry["point"]]
    searched = trainings.completed > 0
    return {
        "point": point,
        "changes": changes,
        "validation": mean(best.scores) if searched else None,
        "validation_of_start": mean(start[: len(best.scores)]) if searched else None,
        "trials": trainings.completed,
    }
