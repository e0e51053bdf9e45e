"""Trainings that mpiexec starts, and their ranks among the processes of this machine."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
WHY_NOT = (
    "mpi4py is not installed: pip install -e '.[mpi]'"
    if importlib.util.find_spec("mpi4py") is None
    else "mpiexec is not installed"
    if MPIEXEC is None
    else ""
)


def start(ranks, options, **environment):
    """A training on that many ranks, which have a process group of their own; 0: without mpiexec."""
    launcher = [MPIEXEC, "-n", str(ranks)] if ranks else []
    return subprocess.Popen(
        [*launcher, sys.executable, *environment.pop("program", [str(ROOT / "train.py")]), *map(str, options)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
    )  # fmt: skip


def ended(process, seconds=120):
    """(exit code, standard output, lines of standard error but for mpiexec's own)."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out, [line for line in err.splitlines() if not line.startswith("[mpiexec@")]


def rank_of(process, number):
    """The process id of a rank of an mpiexec, by its environment."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                variables = (folder / "environ").read_bytes().split(b"\0")
                if f"PMI_RANK={number}".encode() in variables and process.pid in ancestors(int(folder.name)):
                    return int(folder.name)
            except OSError:
                continue
    raise AssertionError(f"no rank {number}")


def ancestors(number):
    """The process ids from the parent of a process to the first one."""
    while number > 1:
        status = Path(f"/proc/{number}/status").read_text()
        number = int(re.search(r"^PPid:\s*(\d+)", status, re.M)[1])
        yield number
