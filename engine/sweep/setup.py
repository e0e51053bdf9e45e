"""The circumstances that the jobs of a sweep, or of a search, have in common."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engine.benchmark.machine import usable_cores
from engine.sweep.description import PlannedRun
from engine.training.run_settings import Choices


class Setup(NamedTuple):
    """The circumstances that all runs of a sweep or search share.

    choices: networks and presets. command: starts a process that does a job (do_job.py). device: "cpu" or "cuda".
    jobs: processes at once, 0 for as many as the cores take. linear: whether the linear SVM is measured. ensemble: the
    number of seeds in an ensemble, 0 for none. cache_dir: None for that of the user. log: takes lines for the user.
    scheduler: the address of a Dask scheduler, on whose workers runs are trained; None for this machine.
    """

    choices: Choices
    command: list[str]
    device: str = "cpu"
    jobs: int = 0
    linear: bool = False
    ensemble: int = 0
    cache_dir: str | None = None
    log: Callable[[str], Any] = print
    scheduler: str | None = None


def default_jobs(runs: Sequence[PlannedRun], device: str) -> int:
    """The number of runs at once that the cores take with the threads of the widest run; on a GPU 1."""
    if device == "cuda":
        return 1
    threads = max(run.settings.training.threads for run in runs)
    return max(1, usable_cores() // max(1, threads))


def shared(setup: Setup) -> dict[str, Any]:
    """The part of the message that all jobs have in common."""
    return {"cache_dir": absolute(setup.cache_dir), "device": setup.device}


def absolute(path: str | None) -> str | None:
    """The absolute name of a folder."""
    return None if path is None else str(Path(path).resolve())
