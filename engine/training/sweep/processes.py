"""Jobs side by side, each in a process of its own: so each has its own memory to measure, and its own number of threads.

A process is started by a command that the door hands in (job.py says what it then does); what it prints goes into a log file.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

from engine.errors import UserError
from engine.training.interrupt import Interrupted, SignalWatch
from engine.training.sweep.job import HELD

POLL_SECONDS = 0.05
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "RAYON_NUM_THREADS")  # the last: tokenizers


class Job(NamedTuple):
    """name: of its log; message: what job.py reads; threads: that it may take, unless the user's environment says otherwise."""

    name: str
    message: dict
    threads: int


def run_jobs(jobs, count, command, logs, done):
    """Do Jobs, `count` at a time; after each call done(job, None or the reason of its failure).

    Raises Interrupted after SIGINT or SIGTERM, when all processes have saved and ended; at a second Ctrl-C KeyboardInterrupt, and kills them.
    """
    waiting, running, asked = deque(jobs), [], False
    with SignalWatch() as watch:
        try:
            while running or (waiting and watch.caught is None):
                while waiting and len(running) < count and watch.caught is None:
                    job = waiting.popleft()
                    running.append((job, begin(job, command, logs)))
                if watch.caught is not None and not asked:
                    for _, process in running:
                        process.terminate()
                    asked = True
                time.sleep(POLL_SECONDS)
                for job, process in [entry for entry in running if entry[1].poll() is not None]:
                    running.remove((job, process))
                    close(process)
                    if process.returncode == 0 or not asked:
                        done(job, None if process.returncode == 0 else reason(process.returncode, log_of(logs, job)))
        finally:
            for _, process in running:
                process.kill()
                close(process)
    if watch.caught is not None:
        raise Interrupted(watch.caught)


def begin(job, command, logs):
    """The process of a job, which has been told what to do."""
    environment = {**dict.fromkeys(THREADS, str(job.threads)), **os.environ, "PYTHONIOENCODING": "utf-8"}
    with open(log_of(logs, job), "wb") as log:
        process = start(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    tell(process, job.message)
    return process


def start(command, **more):
    """A process with a pipe to its standard input. Signals wait until it is ready for them."""
    with signals_held():
        return subprocess.Popen(command, stdin=subprocess.PIPE, **more)


@contextlib.contextmanager
def signals_held():
    """What is sent to this process meanwhile arrives at the end, and in a process started meanwhile when that allows it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def tell(process, message):
    """Send a process its job; the pipe stays open."""
    with contextlib.suppress(OSError):  # it has died already, and its log says why
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()


def close(process):
    with contextlib.suppress(OSError):
        process.stdin.close()
    process.wait()


def log_of(logs, job):
    return Path(logs, f"{job.name}.log")


def reason(code, log):
    """Why a process failed, in one line."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    if code < 0:
        return f"ended by {signal.Signals(-code).name} (too little memory?); its log: {log}"
    return last.removeprefix("error: ") if code == 2 else f"exit code {code}: {last}; its log: {log}"


def ask(command, message):
    """What a process answers to a job, a JSON object; it shows its progress on this terminal. UserError where it fails."""
    process = start(command, stdout=subprocess.PIPE)
    try:
        tell(process, message)
        answer = process.stdout.read()
    except BaseException:  # Ctrl-C
        process.terminate()  # which ends a download under way, too
        raise
    finally:
        process.stdout.close()
        close(process)
    if process.returncode:
        raise UserError(f"reading the texts ended with exit code {process.returncode}; what stands above says why")
    return json.loads(answer)
