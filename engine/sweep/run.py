"""A sweep from start to end, or on from where it stands.

DIR/sweep.toml          what is run, written first: what an interrupted sweep continues with
DIR/runs/NAME           a run directory for each run (engine/training/run_directory.py)
DIR/linear/NAME.json    what the linear peer reached, where it was asked for
DIR/together/NAME.json  what several seeds of a combination reach together, where it was asked for
DIR/logs/NAME.log       what the process of a run printed
DIR/results.json, table.md, table.csv    written after every finished run
"""

from pathlib import Path
from typing import Callable, NamedTuple

from tqdm import tqdm

from engine import __version__
from engine.arrays.matmul import check_precision
from engine.benchmark.machine import usable_cores
from engine.support.errors import UserError
from engine.support.files import read_json, require_vacant, write_json, write_text
from engine.sweep.baselines import groups_of, is_ready, known_figures, linear_peers, with_linear_rows, with_together
from engine.sweep.description import plan, read_description, with_place
from engine.sweep.linear_svm import require_linear
from engine.sweep.results import as_csv, as_markdown, sweep_results
from engine.sweep.workers import Job, ask, run_jobs
from engine.training.interrupt import Interrupted
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import Choices
from engine.training.session import require_settings

PLAN_FILE = "sweep.toml"


class Setup(NamedTuple):
    """What all runs of a sweep share. choices: networks and presets; command: starts a process that does a job (job.py); device:
    "cpu" or "cuda"; jobs: processes at once, 0 for as many as the cores take; linear: whether the linear peer is measured;
    together: how many seeds of a combination are measured as one, 0 for none; cache_dir: None for that of the user; tell: takes lines for the user."""

    choices: Choices
    command: list
    device: str = "cpu"
    jobs: int = 0
    linear: bool = False
    together: int = 0
    cache_dir: str | None = None
    tell: Callable = print


def start_sweep(description, folder, setup):
    """Run a Description in a new folder; returns what results.json holds.

    Raises UserError before anything is trained or written where settings, texts or the folder will not do, and Interrupted after
    Ctrl-C. A run that fails does not stop the others: it is listed in "failed".
    """
    folder = Path(folder)
    require_vacant(folder, PLAN_FILE)
    runs = plan(description, setup.choices)
    check(runs, runs, description.source, setup)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--output {folder}: cannot be made ({error.strerror}); choose a folder that you may write to"
        ) from error
    where = {"version": __version__, "device": setup.device, "linear": setup.linear, "together": setup.together}
    write_text(folder / PLAN_FILE, description.with_preset(setup.choices).to_toml(**where))
    return run_all(description, runs, folder, setup)


def read_sweep(folder, choices):
    """(Description, {"device": …, "linear": …, "together": …}) of the folder of a sweep that has begun. UserError where it is none."""
    path = Path(folder) / PLAN_FILE
    if not path.is_file():
        raise UserError(f"--resume {folder}: holds no {PLAN_FILE}; give the folder of a sweep that has begun")
    description, where = read_description(path, choices)
    where = {"together": 0, **where} if isinstance(where, dict) else {}
    together = where.get("together")
    counted = isinstance(together, int) and together >= 0 and together != 1
    if where.get("device") not in ("cpu", "cuda") or not isinstance(where.get("linear"), bool) or not counted:
        raise UserError(
            f"{path}: lacks a section [run] with device (cpu or cuda), linear (true or false) and together "
            f"(0, or how many seeds are measured as one); restore the file, or begin a new sweep"
        )
    return description, {"device": where["device"], "linear": where["linear"], "together": int(together)}


def resume_sweep(description, folder, setup):
    """Continue what read_sweep gave: finished runs are left as they are. Returns and raises as start_sweep does."""
    folder = Path(folder)
    runs = plan(description, setup.choices)
    for run in runs:
        directory = directory_of(folder, run)
        if directory.config_file.exists() and directory.config_file.stat().st_size:
            require_settings(directory, run.settings, setup.choices.classes, folder / PLAN_FILE)
    check(runs, [run for run in runs if directory_of(folder, run).result() is None], description.source, setup)
    return run_all(description, runs, folder, setup)


def directory_of(folder, run):
    return RunDirectory(folder / "runs" / run.name)


def check(runs, unfinished, source, setup):
    """Raise UserError for what would stop a run before its first step; read and tokenize the texts of unfinished runs, as the first seed does.

    That is done in one process, which ends: so texts are fetched once, and their memory is not held meanwhile.
    """
    if setup.linear:
        require_linear("--linear")
    seeds = len({run.settings.training.seed for run in runs})
    if setup.together and seeds % setup.together:
        raise UserError(
            f"{source}: --together {setup.together} takes the seeds in groups of {setup.together}, but there are {seeds}; give a multiple of {setup.together}"
        )
    for run in runs:
        with_place(f"{source}: {run.name}", check_precision, run.settings.training.precision, setup.device)
    distinct = {}
    for run in unfinished:
        distinct.setdefault(run.settings.data, run)
    if distinct:
        entries = [
            {"where": f"{source}: {run.name}", "data": data.to_dict(), "seed": run.settings.training.seed}
            for data, run in distinct.items()
        ]
        answer = ask(setup.command, {"kind": "prepare", "data": entries, "cache_dir": absolute(setup.cache_dir)})
        if "error" in answer:
            raise UserError(answer["error"])
        for note in answer["notes"]:
            setup.tell(note)


def absolute(path):
    return None if path is None else str(Path(path).resolve())


def run_all(description, runs, folder, setup):
    """Run what has no result yet; returns what results.json holds."""
    try:
        for name in ("runs", "logs", *(name for name in ("linear", "together") if getattr(setup, name))):
            (folder / name).mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}); free some space, or see to its permissions"
        ) from error
    files = {run.name: directory_of(folder, run).result_file for run in runs}
    if setup.linear:
        files.update({peer.name: folder / "linear" / f"{peer.name}.json" for peer in linear_peers(runs)})
    count = min(len(files), setup.jobs or default_jobs(runs, setup.device))
    found = {name: read_json(path) for name, path in files.items() if path.exists()}
    failed = {}
    groups = [group for own in groups_of(runs, setup.together).values() for group in own] if setup.together else []
    files.update({group.name: folder / "together" / f"{group.name}.json" for group in groups})
    for group in groups:
        figures = known_figures(group, files[group.name])
        if figures is not None and is_ready(group, found):  # else a run is trained anew
            found[group.name] = figures
    share = max(1, usable_cores() // count)
    jobs = [job for job in jobs_of(runs, files, folder, setup, share) if job.name not in found]

    def gather():
        results = sweep_results(list(description.axes), description.seeds, runs, found, failed)
        results = with_together(results, runs, found, setup.together) if setup.together else results
        results = with_linear_rows(results, description, runs, found) if setup.linear else results
        write_json(folder / "results.json", results)
        write_text(folder / "table.md", as_markdown(results))
        write_text(folder / "table.csv", as_csv(results))
        return results

    with tqdm(
        total=len(found) + len(jobs), initial=len(found), desc="runs", unit="run", leave=False, disable=None
    ) as bar:

        def done(job, reason):
            if reason is None:
                found[job.name] = read_json(files[job.name])
            else:
                failed[job.name] = reason
            bar.clear()
            setup.tell(
                f"{job.name}: {outcome(found.get(job.name), reason)} ({len(found) + len(failed)} of {bar.total})"
            )
            bar.update()
            gather()

        try:
            run_jobs(jobs, count, setup.command, folder / "logs", done)
            ready = [group for group in groups if group.name not in found and is_ready(group, found)]
            bar.total += len(ready)
            run_jobs(together_jobs(ready, files, setup, share), count, setup.command, folder / "logs", done)
        except Interrupted as stop:
            stop.run_path = folder  # it is the sweep that can be continued
            raise
    return gather()


def default_jobs(runs, device):
    """As many runs at once as the cores take with the threads of the widest; on a GPU one."""
    if device == "cuda":
        return 1
    threads = max(run.settings.training.threads for run in runs)
    return max(1, usable_cores() // max(1, threads))


def jobs_of(runs, files, folder, setup, share):
    """The Jobs of all runs and linear peers. share: threads of a run that leaves them to NumPy's BLAS."""
    common = {**shared(setup), "plan": str(folder / PLAN_FILE)}
    jobs = []
    for run in runs:
        message = {"kind": "run", "settings": run.settings.sections(), "output": str(files[run.name].parent), **common}
        jobs.append(Job(run.name, message, run.settings.training.threads or share))
    for peer in linear_peers(runs) if setup.linear else ():
        message = {"kind": "linear", "data": peer.data.to_dict(), "output": str(files[peer.name]), **common}
        jobs.append(Job(peer.name, message, share))
    return jobs


def together_jobs(groups, files, setup, share):
    """The Jobs of Groups whose runs have finished."""
    jobs = []
    for group in groups:
        folders = [str(files[name].parent) for name in group.runs]
        jobs.append(
            Job(
                group.name,
                {"kind": "together", "runs": folders, "output": str(files[group.name]), **shared(setup)},
                share,
            )
        )
    return jobs


def shared(setup):
    """What every job is told."""
    return {"cache_dir": absolute(setup.cache_dir), "device": setup.device}


def outcome(result, reason):
    """What became of a run, in a few words."""
    if reason is not None:
        return f"failed: {reason}"
    accuracy = result["test_accuracy"]
    return f"{'no test texts' if accuracy is None else f'test accuracy {100 * accuracy:.2f} %'}, {result['train_seconds']:.1f} s"
