"""The hours that trainings take: a few steps of each distinct network are timed, and all steps counted."""

import statistics
import time
from collections.abc import Sequence
from typing import Any

from engine.arrays.backend import random_generator
from engine.data.batching import epoch_batches, take
from engine.data.prepare import PreparedData, prepare
from engine.data.reading import open_corpus
from engine.training.adamw import AdamW
from engine.training.config import computing
from engine.training.run_settings import RunSettings
from engine.training.session import network_for
from engine.training.step import NotFinite, update
from layers.experiments.reproduction.plan import Job
from layers.networks import build_network

TIMED_STEPS = 3  # after one that is not timed
EVALUATION = 1 / 3  # time of a text that is only labelled, of that of one in training: forward without backward
EVERY = 10  # batches between two measurements of the test accuracy in convergence runs
PROBE_TEXTS = 2000  # test texts at most that are labelled then


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
            corpus = open_corpus(settings.data, cache_dir)
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
    batches = -(-train // training.batch_size_over(train))
    epochs = training.epochs_over(batches, len(data.classes))
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
