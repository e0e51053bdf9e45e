"""Run the trainings of a reproduction, or continue: each is a job with its own result, and finished ones are skipped.

DIR/reproduction.toml    the protocol, written first: a folder continues with no other
DIR/data                 shares of corpora, and joined files, as JSON lines
DIR/runs/NAME            a run directory for each training; its checkpoints are removed when it has ended
DIR/studies/CORPUS-sN    gradients and independence: folders of the command study, in the end without their runs
DIR/logs/NAME.log        the output of the process of a training
"""

import contextlib
import math
import shutil
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tomli_w

from engine import __version__
from engine.benchmark.machine import usable_cores
from engine.data.batching import take
from engine.support.errors import UserError
from engine.support.files import read_json, read_toml, require_vacant, write_text
from engine.sweep import jobs as sweep_jobs
from engine.sweep.processes import Processes
from engine.training.evaluation import evaluate
from engine.training.interrupt import Interrupted
from engine.training.run_directory import RunDirectory
from engine.training.session import start_or_resume
from layers.experiments.reproduction.estimate import EVERY, PROBE_TEXTS, texts
from layers.experiments.reproduction.plan import Job
from layers.experiments.reproduction.protocol import FILE, Protocol, Sources
from layers.experiments.study.figures import write_figures
from layers.experiments.study.measures import BINS
from layers.experiments.study.page import write_page
from layers.experiments.study.run import Study, continue_study, start_study
from layers.experiments.study.summary import summarize
from layers.networks import CONFIGS, build_network

PROGRAM = Path(__file__).resolve().parents[3] / "train.py"
SNAPSHOTS = 10
Log: TypeAlias = Callable[[str], Any]


class State(NamedTuple):
    """A reproduction under way.

    missing: {corpus: why it cannot be had}; found: {job: its result}; failed: {job: reason}.
    """

    protocol: Protocol
    tables: list[str]
    sources: Sources
    missing: dict[str, str]
    jobs: list[Job]
    found: dict[str, dict[str, Any]]
    failed: dict[str, str]


def claim(folder: Path, protocol: Protocol) -> None:
    """Write the protocol into a new folder, or compare it with that of one that has begun.

    UserError where they differ, and where the folder holds something else.
    """
    path = folder / FILE
    wanted = {"version": __version__, **protocol._asdict()}
    if not path.exists():
        require_vacant(folder, FILE)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--output {folder}: cannot be made ({error.strerror}); choose another folder") from error
        write_text(path, tomli_w.dumps(wanted))
        return
    saved = read_toml(path)
    for name, value in wanted.items():
        if saved.get(name) != value:
            raise UserError(
                f"{path}: {name} is {saved.get(name)!r} there and {value!r} now; "
                "repeat the settings with which it began, or choose another --output"
            )


def finished(folder: Path, jobs: Iterable[Job]) -> dict[str, dict[str, Any]]:
    """{job: result} of the Jobs that have ended."""
    found = {}
    for job in jobs:
        if job.kind == "study":
            study = study_folder(folder, job)
            if (study / "study.json").exists() and not (study / "runs").exists():
                found[job.name] = study_result(read_json(study / "study.json"), job.cell)
        else:
            result = RunDirectory(folder / "runs" / job.name).result()
            if result is not None:
                found[job.name] = run_result(folder, job, result)
    return {name: result for name, result in found.items() if result}


def run_result(folder: Path, job: Job, result: dict[str, Any]) -> dict[str, Any]:
    """The content of result.json that the tables need, and curves from the metrics of convergence and Fig. 7."""
    keys = ("test_accuracy", "validation_accuracy", "best_epoch", "epochs", "steps", "train_seconds", "parameters")
    found = {key: result[key] for key in (*keys, "peak_memory_bytes", "texts", "device")}
    found["classes"] = len(result["classes"])
    lines = [] if job.kind == "run" else RunDirectory(folder / "runs" / job.name).read_metrics()
    if job.kind == "convergence":
        found["curve"] = [[line["step"], line["test_accuracy"]] for line in lines if "test_accuracy" in line]
    if job.kind == "fig7":
        checked = [line for line in lines if "validation_accuracy" in line]
        found["curve"] = [[line["epoch"], line["validation_accuracy"]] for line in checked]
        last = [line["accuracy"] for line in lines if line["epoch"] == result["epochs"]]
        found["last_training_accuracy"] = statistics.mean(last)
    return found


def study_folder(folder: Path, job: Job) -> Path:
    return folder / "studies" / f"{job.corpus}-s{job.settings.training.seed}"


def study_result(study: dict[str, Any], name: str) -> dict[str, Any]:
    """Numbers of one run of a study, {} where it is not among them."""
    if name not in study["runs"]:
        return {}
    summary = summarize(study)[name]
    changes = {key: getattr(summary, key) for key in ("mean_absolute_correlation", "effective_rank")}
    return {
        "parameters": summary.parameters,
        **{
            key: [value if math.isfinite(value) else None for value in values]
            for key, values in {**summary.gradients, **changes}.items()
        },
    }


def run_all(
    state: State, remaining: Sequence[Job], folder: Path, cache_dir: str | None, log: Log, gather: Callable[[], Any]
) -> None:
    """Do some Jobs that have no result yet; gather() is called after each. One that fails does not stop the others.

    Raises Interrupted after one of its SIGNALS: what has ended is kept, the training under way has saved its state.
    """
    more = (state.protocol.device, cache_dir)

    def done(job: Job, reason: str | None) -> None:
        if reason is None:
            state.found.update(finished(folder, [job]))
            shutil.rmtree(folder / "runs" / job.name / "checkpoints", ignore_errors=True)
        else:
            state.failed[job.name] = reason
        log(f"{job.name}: {'done' if reason is None else f'failed: {reason}'}")
        gather()

    try:
        apart = {job.name: job for job in remaining if job.kind in ("run", "fig7")}
        (folder / "runs").mkdir(exist_ok=True)
        (folder / "logs").mkdir(exist_ok=True)
        where = {"cache_dir": None if cache_dir is None else str(Path(cache_dir).resolve())}
        messages = {
            name: {
                "kind": "run",
                "settings": job.settings.sections(),
                "output": str((folder / "runs" / name).resolve()),
                "plan": str(folder / FILE),
                "device": state.protocol.device,
                **where,
            }
            for name, job in apart.items()
        }
        cores = usable_cores()
        each = [
            sweep_jobs.Job(name, message, apart[name].settings.training.threads or cores)
            for name, message in messages.items()
        ]
        processes = Processes([sys.executable, str(PROGRAM), "sweep-job"], folder / "logs", 1)
        sweep_jobs.run_jobs(each, processes, lambda job, reason: done(apart[job.name], reason))
        for job in remaining:
            if job.kind == "convergence":
                done(job, outcome(partial(converge, job, folder, *more)))
        studies = {study_folder(folder, job): None for job in remaining if job.kind == "study"}
        for path in studies:
            own = [job for job in state.jobs if job.kind == "study" and study_folder(folder, job) == path]
            reason = outcome(partial(learn, own, path, *more))
            for job in own:
                done(job, reason)
    except Interrupted as stop:
        stop.run_path = folder  # it is the reproduction that can be continued
        raise


def quiet(line: str) -> None:
    """Take the lines of a training that shares this process: its folder holds all that they say."""


def outcome(work: Callable[[], Any]) -> str | None:
    """None, or the reason why some work failed."""
    try:
        work()
    except UserError as error:
        return str(error)
    return None


def converge(job: Job, folder: Path, device: str, cache_dir: str | None) -> None:
    """Train a network in this process, and label test texts every EVERY batches."""
    path = folder / "runs" / job.name
    start_or_resume(
        job.settings, CONFIGS, build_network, path, device, cache_dir, quiet, watch_test, str(folder / FILE)
    )


def watch_test(trainer: Any) -> dict[str, float]:
    """The test accuracy after every EVERY batches, as a field of a step's line of metrics; evenly chosen test texts."""
    count = texts(trainer.data.test)
    if trainer.progress.step % EVERY or not count:
        return {}
    trainer.optimizer.catch_up()
    rows = np.arange(min(count, PROBE_TEXTS)) * count // min(count, PROBE_TEXTS)
    return {"test_accuracy": evaluate(trainer.network, take(trainer.data.test, rows), trainer.data.classes).accuracy}


def learn(jobs: Sequence[Job], path: Path, device: str, cache_dir: str | None) -> None:
    """Train networks as the command study does, into a folder of its own, with its figures and its page."""
    study = Study({job.cell: job.settings for job in jobs}, SNAPSHOTS, build_network, lambda *_: None, BINS)
    begin = partial(continue_study if (path / "study.toml").exists() else start_study, study, path)
    recorded, matrices = begin(device, cache_dir, quiet)
    with contextlib.suppress(UserError):  # without the extra plots
        write_page(path / "study.html", recorded, write_figures(path, recorded, matrices))
    shutil.rmtree(path / "runs")
