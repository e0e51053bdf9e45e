"""Functions that a sweep calls on a worker of its cluster: do a job, stop it, tell whether the worker can do any.

A job runs in a process of its own beside the worker, started as processes.py does, with the worker's Python and the
worker's copy of this project: relocatable() prepares its command where the sweep runs. versions() is called on the
scheduler, too.
"""

import asyncio
import importlib.metadata
import os
import platform
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine import __version__
from engine.support.command import CHECKOUT
from engine.support.errors import first_line
from engine.sweep.jobs import POLL_SECONDS, SAVING_SECONDS
from engine.sweep.processes import Process

OF_WORKERS = {"MALLOC_TRIM_THRESHOLD_"}  # of the environment: set by Dask for its own memory
PACKAGES = ("numpy", "tokenizers", "distributed")  # whose versions must be those of the sweep

processes: dict[str, Process] = {}  # of this worker, by the token of their job


async def run_job(
    token: str, command: Sequence[str], message: Any, log: str, variables: Mapping[str, str], folder: str
) -> int:
    """Do a job in a process of its own; returns its exit code.

    command: of relocatable(). log: its file. variables: of environment() in cluster.py. folder: names of files are
    relative to it.

    The process is asked to save and end where the task is given up, as when the sweep is killed, and where the worker
    closes.
    """
    from distributed import get_worker

    tasks, cwd = get_worker().state.tasks, folder if os.path.isdir(folder) else None
    own = {name: value for name, value in os.environ.items() if name not in OF_WORKERS}
    variables = {**own, **variables}
    process = Process(local_command(command), message, Path(folder, log), variables, cwd=cwd)
    processes[token] = process
    try:
        while process.code() is None:
            task = tasks.get(key_of(token))
            if task is None or task.state == "cancelled":
                process.stop()
            await asyncio.sleep(POLL_SECONDS)
        return process.process.returncode
    except asyncio.CancelledError:
        process.stop()
        deadline = time.monotonic() + SAVING_SECONDS
        while process.code() is None and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
        raise
    finally:
        del processes[token]
        process.kill()


def describe(path: str) -> dict[str, Any]:
    """The worker's "host", its "versions", and why it cannot use the "folder" in which the sweep made the file `path`.

    That is None where it can.
    """
    why = None
    try:
        os.stat(path)
        with tempfile.TemporaryFile(dir=os.path.dirname(path)):
            pass
    except OSError as error:
        why = error.strerror or first_line(error)
    return {"host": socket.gethostname(), "versions": versions(), "folder": why}


def stop(token: str) -> bool:
    """Ask the process of a job to save and end; False where there is none."""
    if token in processes:
        processes[token].stop()
    return token in processes


def kill(token: str) -> bool:
    """End the process of a job at once; False where there is none."""
    if token in processes:
        processes[token].process.kill()
    return token in processes


def key_of(token: str) -> str:
    """The name of a task of Dask. token: of its job."""
    return f"wave-network-sweep-{token}"


def relocatable(command: Sequence[str]) -> list[str]:
    """A command for local_command(): Python as "", files of this project by their names in it, with "/"."""
    return ["" if word == sys.executable else inside_project(word) for word in command]


def inside_project(word: str) -> str:
    path = Path(word)
    inside = path.is_absolute() and path.is_relative_to(CHECKOUT)
    return f"./{path.relative_to(CHECKOUT).as_posix()}" if inside else word


def local_command(words: Sequence[str]) -> list[str]:
    """The command of relocatable() on this machine."""
    return [sys.executable if not word else str(CHECKOUT / word[2:]) if word[:2] == "./" else word for word in words]


def versions() -> dict[str, str]:
    """The versions that a sweep and its workers must have in common: other ones may give other bits."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {
        "Python": python,
        "wave-network": __version__,
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }
