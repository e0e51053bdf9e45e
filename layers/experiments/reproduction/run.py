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
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tomli_w

from engine import __version__
from engine.arrays.backend import random_generator
from engine.benchmark.machine import usable_cores
from engine.data.batching import epoch_batches, take
from engine.data.prepare import PreparedData, prepare, read_corpus
from engine.support.errors import UserError
from engine.support.files import read_json, read_toml, require_vacant, write_text
from engine.sweep import workers
from engine.training.adamw import AdamW
from engine.training.config import computing
from engine.training.evaluation import evaluate
from engine.training.interrupt import Interrupted
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import RunSettings
from engine.training.session import network_for, start_or_resume
from engine.training.step import NotFinite, update
from layers.experiments.reproduction.plan import Job
from layers.experiments.reproduction.protocol import FILE, Protocol, Sources
from layers.experiments.study.figures import write_figures
from layers.experiments.study.measures import BINS
from layers.experiments.study.page import write_page
from layers.experiments.study.run import Study, continue_study, start_study
from layers.experiments.study.summary import summarize
from layers.networks import CONFIGS, build_network

PROGRAM = Path(__file__).resolve().parents[3] / "train.py"
EVERY = 10  # batches between two measurements of the test accuracy in convergence runs
PROBE_TEXTS = 2000  # test texts at most that are labelled then
SNAPSHOTS = 10
TIMED_STEPS = 3  # after one that is not timed
EVALUATION = 1 / 3  # time of a text that is only labelled, of that of one in training: forward without backward
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


# --- estimate ------------------------------------------------------------------------------------------------------


def estimate(jobs: Sequence[Job], device: str, cache_dir: str | None) -> list[tuple[str, int, float, float]]:
    """(network, trainings, seconds a step, hours of all) of Jobs that remain.

    A few steps of each distinct network and corpus are timed; texts that are only labelled count EVALUATION.
    """
    prepared: dict[Any, PreparedData] = {}
    seconds: dict[Any, float] = {}
    found: dict[tuple[str, str], tuple[int, float, float]] = {}
    for job in sorted(jobs, key=lambda job: (job.corpus, job.share)):
        settings = job.settings
        data_key = (settings.data, settings.needs_sentences())
        if data_key not in prepared:
            prepared = {key: data for key, data in prepared.items() if key[0] == settings.data}  # the last corpus alone
            corpus, _ = read_corpus(settings.data, cache_dir)
            prepared[data_key] = prepare(settings.data, corpus, 0, cache_dir=cache_dir, sentences=data_key[1])
        data, step_key = prepared[data_key], (data_key, settings.network, settings.training.batch_size)
        if step_key not in seconds:
            seconds[step_key] = step_seconds(settings, data, device)
        key, hours = (f"{job.kind}-{job.corpus}", job.cell), seconds[step_key] * equal_steps(job, data) / 3600
        count, _, before = found.get(key, (0, 0.0, 0.0))
        found[key] = (count + 1, seconds[step_key], before + hours)
    return [(f"{kind}, {cell}", *numbers) for (kind, cell), numbers in found.items()]


def equal_steps(job: Job, data: PreparedData) -> float:
    """Steps of a Job, with what is only labelled as so many steps more."""
    training, (train, validation, test) = job.settings.training, map(texts, (data.train, data.validation, data.test))
    batches = -(-train // training.batch_size)
    epochs = training.epochs_over(batches)
    labelled = validation * epochs + test
    if job.kind == "convergence":
        labelled += min(test, PROBE_TEXTS) * (epochs * batches // EVERY)
    return epochs * batches + EVALUATION * labelled / training.batch_size


def texts(batch: Any) -> int:
    return 0 if batch is None else len(batch.offsets) - 1


def step_seconds(settings: RunSettings, data: PreparedData, device: str) -> float:
    """The median time of a few updates of a new network."""
    training, times = settings.training, []
    with computing(training, device):
        network = network_for(settings, build_network, data)
        network.to(device)
        moments = (training.beta1, training.beta2, training.epsilon, training.weight_decay)
        optimizer = AdamW(network.parameters(), *moments, training.embedding_update)
        batches = epoch_batches(data.train.offsets, training.batch_size, training.seed, 0)[: TIMED_STEPS + 1]
        for step, rows in enumerate(batches):
            rng, batch = random_generator(training.seed, step, device=device), take(data.train, rows)
            started = time.perf_counter()
            try:
                float(update(network, optimizer, batch, rng, 1e-6, training.clip_norm).loss)
            except NotFinite:
                break
            times.append(time.perf_counter() - started)
    return statistics.median(times[1:] or times or [0.0])


# --- trainings -----------------------------------------------------------------------------------------------------


def run_all(state: State, folder: Path, cache_dir: str | None, log: Log, gather: Callable[[], Any]) -> None:
    """Do the Jobs that have no result yet; gather() is called after each. One that fails does not stop the others.

    Raises Interrupted after Ctrl-C or SIGTERM: what has ended is kept, and the training under way has saved its state.
    """
    remaining = [job for job in state.jobs if job.name not in state.found]
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
            workers.Job(name, message, apart[name].settings.training.threads or cores)
            for name, message in messages.items()
        ]
        command = [sys.executable, str(PROGRAM), "sweep-job"]
        workers.run_jobs(each, 1, command, folder / "logs", lambda job, reason: done(apart[job.name], reason))
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
