"""Jobs of a sweep that a line of Python does, signals to this process while they run, and the processes of a folder."""

import os
import sys
import threading
import time
from pathlib import Path

from engine.sweep.jobs import Job, run_jobs

# A process that does what its job says: the message is a line of Python.
WORKER = [sys.executable, "-S", "-c", "import json, sys; exec(json.loads(sys.stdin.readline()))"]
WAITING = (
    "import os, signal, time; signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(143)));"
    "signal.pthread_sigmask(signal.SIG_SETMASK, []); print(os.getpid(), flush=True); time.sleep(60)"
)


def jobs(*lines, threads=3):
    """Jobs that do these lines: job0, job1 and so on."""
    return [Job(f"job{number}", line, threads) for number, line in enumerate(lines)]


def run(some, launcher, ended=None):
    """{name: reason of the failure, or None}, in the order in which the jobs ended."""
    ended = {} if ended is None else ended
    run_jobs(some, launcher, lambda job, reason: ended.update({job.name: reason}))
    return ended


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def stop_when_started(logs, number, count, times=1):
    """Sends signals to this process as soon as `count` logs have a line; the thread that does so."""

    def send():
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and sum(log.stat().st_size > 0 for log in logs.glob("*.log")) < count:
            time.sleep(0.01)
        for _ in range(times):
            os.kill(os.getpid(), number)
            time.sleep(0.5)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def require_saved(logs, names):
    """The processes of WAITING jobs have saved and are gone."""
    for name in names:
        pid, saved = (logs / f"{name}.log").read_text().split()
        assert saved == "saved" and not is_alive(int(pid))


def processes_of(folder):
    """The ids of processes that were told of a folder, by their open log files (Linux)."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            if os.readlink(link).startswith(str(folder)):
                found.add(int(link.parts[2]))
        except OSError:  # of another user, or gone
            continue
    return found
