"""Run a sweep from start to end, or continue one.

DIR/sweep.toml          the runs, written first: an interrupted sweep continues with them
DIR/runs/NAME           a run directory for each run (engine/training/run_directory.py)
DIR/linear/NAME.json    the figures of the linear SVM, where it was asked for
DIR/ensemble/NAME.json  the figures of ensembles of seeds, where they were asked for
DIR/logs/NAME.log       the output of the process of a run
DIR/results.json, table.md, table.csv    written after every finished run
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from engine import __version__
from engine.arrays.matmul import check_precision
from engine.benchmark.machine import usable_cores
from engine.support.errors import UserError, with_place
from engine.support.files import read_json, remove_leftovers, require_vacant, write_json, write_text
from engine.sweep.baselines import (
    FOLDER,
    Group,
    groups_of,
    linear_peers,
    require_linear,
    with_ensembles,
    with_linear_rows,
)
from engine.sweep.description import Description, PlannedRun, plan, read_description
from engine.sweep.jobs import SAVING_SECONDS, Job, Launcher, run_jobs
from engine.sweep.processes import Processes, ask
from engine.sweep.results import as_csv, as_markdown, sweep_results
from engine.sweep.setup import Setup, absolute, default_jobs, shared
from engine.training.interrupt import Interrupted
from engine.training.run_directory import RunDirectory, locked
from engine.training.run_settings import Choices
from engine.training.session import require_settings

PLAN_FILE = "sweep.toml"


def start_sweep(description: Description, folder: str | Path, setup: Setup) -> dict[str, Any]:
    """Run a Description in a new folder; returns the contents of results.json.

    Raises UserError before anything is trained or written where settings, texts or the folder will not do, and
    Interrupted after Ctrl-C. A run that fails does not stop the others: it is listed in "failed".
    """
    folder = Path(folder)
    require_vacant(folder, PLAN_FILE)
    runs = plan(description, setup.choices)
    with connection(setup) as client:
        check(runs, runs, description.source, setup)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"--output {folder}: cannot be made ({error.strerror}); choose a folder that you may write to"
            ) from error
        where = {"version": __version__, "device": setup.device, "linear": setup.linear, "ensemble": setup.ensemble}
        write_text(folder / PLAN_FILE, description.with_preset(setup.choices).to_toml(**where))
        with sole_sweep(folder):
            return run_all(description, runs, folder, setup, client)


def read_sweep(folder: str | Path, choices: Choices) -> tuple[Description, dict[str, Any]]:
    """(Description, {"device": …, "linear": …, "ensemble": …}) of the folder of a sweep that has begun.

    UserError where it is none. Versions before "ensemble" called it "together", and before that had neither.
    """
    path = Path(folder) / PLAN_FILE
    if not path.is_file():
        raise UserError(f"--resume {folder}: holds no {PLAN_FILE}; give the folder of a sweep that has begun")
    description, where = read_description(path, choices)
    where = where if isinstance(where, dict) else {}
    ensemble: Any = where.get("ensemble", where.get("together", 0))
    counted = isinstance(ensemble, int) and ensemble >= 0 and ensemble != 1
    if where.get("device") not in ("cpu", "cuda") or not isinstance(where.get("linear"), bool) or not counted:
        raise UserError(
            f"{path}: lacks a section [run] with device (cpu or cuda), linear (true or false) and ensemble "
            f"(0, or the number of its seeds); restore the file, or begin a new sweep"
        )
    return description, {"device": where["device"], "linear": where["linear"], "ensemble": int(ensemble)}


def resume_sweep(description: Description, folder: str | Path, setup: Setup) -> dict[str, Any]:
    """Continue the sweep of a folder, as start_sweep() does; finished runs are left as they are."""
    folder = Path(folder)
    runs = plan(description, setup.choices)
    for run in runs:
        directory = directory_of(folder, run)
        if directory.config_file.exists() and directory.config_file.stat().st_size:
            require_settings(directory, run.settings, setup.choices.classes, str(folder / PLAN_FILE))
    unfinished = [run for run in runs if directory_of(folder, run).result() is None]
    with connection(setup) as client, sole_sweep(folder):
        check(runs, unfinished, description.source, setup)
        return run_all(description, runs, folder, setup, client)


def sole_sweep(folder: Path) -> contextlib.AbstractContextManager[None]:
    """A context in which no other process runs the sweep of a folder; UserError where one does."""
    return locked(folder / "lock", f"{folder}: another process runs this sweep; wait until it has ended")


def connection(setup: Setup) -> contextlib.AbstractContextManager[Any]:
    """The connection to the scheduler of a Setup, a distributed.Client; None where there is none."""
    if setup.scheduler is None:
        return contextlib.nullcontext()
    from engine.sweep.cluster_connection import connected

    return connected(setup.scheduler)


def directory_of(folder: Path, run: PlannedRun) -> RunDirectory:
    """The run directory of a run."""
    return RunDirectory(folder / "runs" / run.name)


def check(runs: Sequence[PlannedRun], unfinished: Sequence[PlannedRun], source: str, setup: Setup) -> None:
    """Raise UserError for what would stop a run before its first step; read and tokenize the texts of unfinished runs.

    They are read as the first seed does, in one process that ends: so texts are fetched once, and their memory is not
    held meanwhile.
    """
    if setup.linear:
        require_linear("--linear")
    seeds = len({run.settings.training.seed for run in runs})
    size = setup.ensemble
    if size and seeds % size:
        raise UserError(
            f"{source}: --ensemble {size} takes the seeds in groups of {size}, but there are {seeds}; "
            f"give a multiple of {size}"
        )
    if setup.scheduler is None or setup.device == "cpu":  # of their GPUs the workers know
        for run in runs:
            with_place(f"{source}: {run.name}", check_precision, run.settings.training.precision, setup.device)
    distinct: dict[Any, PlannedRun] = {}
    for run in unfinished:
        distinct.setdefault((run.settings.data, run.settings.needs_sentences()), run)
    if distinct:
        entries = [
            {
                "where": f"{source}: {run.name}",
                "data": data.to_dict(),
                "sentences": sentences,
                "seed": run.settings.training.seed,
            }
            for (data, sentences), run in distinct.items()
        ]
        answer = ask(setup.command, {"kind": "prepare", "data": entries, "cache_dir": absolute(setup.cache_dir)})
        if "error" in answer:
            raise UserError(answer["error"])
        for note in answer["notes"]:
            setup.log(note)


def run_all(
    description: Description, runs: Sequence[PlannedRun], folder: Path, setup: Setup, client: Any
) -> dict[str, Any]:
    """Run what has no result yet; returns the contents of results.json. client: of connection()."""
    try:
        for name in ("runs", "logs", *["linear"] * setup.linear, *[FOLDER] * bool(setup.ensemble)):
            (folder / name).mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}); free some space, or see to its permissions"
        ) from error
    remove_leftovers(folder, *(folder / name for name in ("linear", FOLDER)))
    files = {run.name: directory_of(folder, run).result_file for run in runs}
    if setup.linear:
        files.update({peer.name: folder / "linear" / f"{peer.name}.json" for peer in linear_peers(runs)})
    count = len(files)
    killed = {run.name for run in runs if directory_of(folder, run).lock_file.exists()}  # perhaps at its very end
    found = {name: read_json(path) for name, path in files.items() if path.exists() and name not in killed}
    failed: dict[str, str] = {}
    groups = [group for own in groups_of(runs, setup.ensemble).values() for group in own] if setup.ensemble else []
    files.update({group.name: group.file(folder) for group in groups})
    for group in groups:
        figures = group.known_figures(folder)
        if figures is not None and group.is_ready(found):  # else a run is trained anew
            found[group.name] = figures
    jobs = [job for job in jobs_of(runs, files, folder, setup) if job.name not in found]

    def gather() -> dict[str, Any]:
        results = sweep_results(list(description.axes), description.seeds, runs, found, failed)
        results = with_ensembles(results, runs, found, setup.ensemble) if setup.ensemble else results
        results = with_linear_rows(results, description, runs, found) if setup.linear else results
        write_json(folder / "results.json", results)
        write_text(folder / "table.md", as_markdown(results))
        write_text(folder / "table.csv", as_csv(results))
        return results

    total = len(found) + len(jobs)
    with tqdm(total=total, initial=len(found), desc="runs", unit="run", leave=False, disable=None) as bar:

        def tell(line: str) -> None:
            bar.clear()
            setup.log(line)

        def done(job: Job, reason: str | None) -> None:
            if reason is None:
                found[job.name] = read_json(files[job.name])
            else:
                failed[job.name] = reason
            ended = f"({len(found) + len(failed)} of {bar.total})"
            tell(f"{job.name}: {outcome(found.get(job.name), reason)} {ended}")
            bar.update()
            gather()

        try:
            launcher = launcher_of(runs, count, folder, setup, client, tell)
            run_jobs(jobs, launcher, done)
            ready = [group for group in groups if group.name not in found and group.is_ready(found)]
            bar.total += len(ready)
            run_jobs(ensemble_jobs(ready, files, setup), launcher, done)
        except Interrupted as stop:
            stop.run_path = folder  # it is the sweep that can be continued
            raise
    return gather()


def launcher_of(
    runs: Sequence[PlannedRun], count: int, folder: Path, setup: Setup, client: Any, log: Callable[[str], Any]
) -> Launcher:
    """Where the jobs of a sweep run. count: how many there are; client: of connection(); log: takes lines."""
    if client is not None:
        from engine.sweep.cluster import Cluster

        threads = 0 if setup.device == "cuda" else max(1, *(run.settings.training.threads for run in runs))
        return Cluster(client, setup.command, folder, threads, setup.jobs, log)
    count = min(count, setup.jobs or default_jobs(runs, setup.device))
    return Processes(setup.command, folder / "logs", count, max(1, usable_cores() // count))


def jobs_of(runs: Sequence[PlannedRun], files: Mapping[str, Path], folder: Path, setup: Setup) -> list[Job]:
    """The Jobs of all runs and linear peers."""
    common = {**shared(setup), "plan": str(folder / PLAN_FILE)}
    if setup.scheduler is not None:
        common["wait"] = SAVING_SECONDS  # for the process of a worker that was lost
    jobs = []
    for run in runs:
        message = {"kind": "run", "settings": run.settings.sections(), "output": str(files[run.name].parent), **common}
        jobs.append(Job(run.name, message, run.settings.training.threads))
    for peer in linear_peers(runs) if setup.linear else ():
        message = {"kind": "linear", "data": peer.data.to_dict(), "output": str(files[peer.name]), **common}
        jobs.append(Job(peer.name, message))
    return jobs


def ensemble_jobs(groups: Sequence[Group], files: Mapping[str, Path], setup: Setup) -> list[Job]:
    """The Jobs of Groups whose runs have finished."""
    jobs = []
    for group in groups:
        folders = [str(files[name].parent) for name in group.runs]
        message = {"kind": "ensemble", "runs": folders, "output": str(files[group.name]), **shared(setup)}
        jobs.append(Job(group.name, message))
    return jobs


def outcome(result: Mapping[str, Any] | None, reason: str | None) -> str:
    """The outcome of a run in a few words: its reason of failure, or its result."""
    if reason is not None or result is None:
        return f"failed: {reason}"
    accuracy = result["test_accuracy"]
    shown = "no test texts" if accuracy is None else f"test accuracy {100 * accuracy:.2f} %"
    return f"{shown}, {result['train_seconds']:.1f} s"
