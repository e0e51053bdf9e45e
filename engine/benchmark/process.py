"""Whole commands, each in a process of its own: CPU seconds, wall seconds, peak memory, and what it printed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.benchmark.timing import ROOT
from engine.support.command import child_environment
from engine.support.errors import UserError

LAUNCHER = Path(__file__).with_name("launcher.py")
# The variables by which libraries are told how many threads to take.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


class ProcessUse(NamedTuple):
    """The use of a process and of those that it waited for, and its standard output."""

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    output: str


def measured_process(subject: str, command: Sequence[object], cores: int = 0, **environment: str) -> ProcessUse:
    """Run a command to its end in a process of its own. cores: how many it may use, 0 for all; environment: variables.

    It ends, with what it started, when this process is interrupted or ends. Where it fails, a UserError names the
    subject and its last words.
    """
    if not hasattr(os, "wait4"):
        raise UserError(f"measuring {subject}: this system does not tell what a process used; use Linux or macOS")
    threads = dict.fromkeys(THREADS, str(cores)) if cores else {}
    with tempfile.TemporaryDirectory() as folder, open_pipe() as pipe:
        stdout, stderr = Path(folder) / "stdout", Path(folder) / "stderr"
        launched = [sys.executable, "-I", "-S", str(LAUNCHER), str(stdout), str(stderr), str(cores), str(pipe)]
        with subprocess.Popen(
            [*launched, *map(str, command)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=child_environment(**threads, **environment),
            pass_fds=[pipe],
            start_new_session=True,  # a group of its own, that can be ended with all that it started
        ) as launcher:
            try:
                told, _ = launcher.communicate()
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(launcher.pid, signal.SIGKILL)
                raise
        if launcher.returncode:
            raise UserError(f"measuring {subject} failed: its launcher ended with code {launcher.returncode}")
        code, cpu, wall, peak = json.loads(told)
        if code:
            raise UserError(f"measuring {subject} failed: {last_words(stderr, code)}")
        return ProcessUse(cpu, wall, peak, stdout.read_text(encoding="utf-8", errors="replace"))


@contextlib.contextmanager
def open_pipe() -> Iterator[int]:
    """The reading end of a pipe; its only writing end is this process, while the context lasts."""
    ends = os.pipe()
    try:
        yield ends[0]
    finally:
        for end in ends:
            os.close(end)


def last_words(stderr: Path, code: int) -> str:
    """The last line that a process wrote on stderr, or the exit code with which it ended."""
    lines = [line for line in stderr.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else f"it ended with code {code}"
