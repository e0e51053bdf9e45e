"""A tiny corpus, the command line in this process, and trainings in it instead of in processes of their own."""

import numpy as np
import pytest

import train
from engine.sweep import jobs as sweep_jobs
from engine.training.run_settings import settings_of
from engine.training.session import start_or_resume
from layers.networks import CONFIGS, build_network

TOPICS = {"1": "ball goal team score", "2": "bank rate loan dollar"}


@pytest.fixture
def files(tmp_path):
    """NAME=TRAIN:TEST of two TSV files with 60 and 16 rows, two sentences a text."""
    paths = []
    for split, count in (("train", 60), ("test", 16)):
        rng, path = np.random.default_rng(count), tmp_path / f"{split}.tsv"
        rows = []
        for row in range(count):
            label = list(TOPICS)[row % 2]
            words = rng.choice(TOPICS[label].split() + ["the", "a", "of"], size=10).tolist()
            rows.append(f"{label}\t{' '.join(words[:5])}. {' '.join(words[5:])}.\n")
        path.write_text("".join(rows), encoding="utf-8")
        paths.append(str(path))
    return f"toy={paths[0]}:{paths[1]}"


@pytest.fixture
def options(files, tmp_path):
    """Options of the command with which a training takes four steps."""
    small = ["--dimension", "8", "--seeds", "2", "--share", "0.5", "--fig7-share", "0.5"]
    fields = [
        part for field in ("epochs=2", "step_budget=4", "batch_size=15", "threads=1") for part in ("--set", field)
    ]
    cache = ["--cache-dir", tmp_path / "cache"]
    return ["reproduce", "--corpora", "toy", "--files", files, *small, *fields, *cache, "--output", tmp_path / "out"]


@pytest.fixture
def run(capsys):
    """run(*arguments) → (exit code, stdout, stderr) of the command line."""

    def call(*arguments):
        code = train.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def trained(monkeypatch):
    """Let the jobs of processes run in this one; returns the list of their names, in order."""
    names = []

    def run_jobs(jobs, launcher, done):
        for job in jobs:
            message = job.message
            start_or_resume(
                settings_of(message["settings"], CONFIGS), CONFIGS, build_network, message["output"], "cpu",
                message["cache_dir"], lambda line: None, plan=message["plan"],
            )  # fmt: skip
            names.append(job.name)
            done(job, None)

    monkeypatch.setattr(sweep_jobs, "run_jobs", run_jobs)
    return names
