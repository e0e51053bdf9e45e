"""Jobs of a sweep in processes of this machine, each with its own memory to measure and number of threads.

A process is started by the caller's command, which calls do_job(); its output goes into a log file. The first line of
its standard input is the job, in JSON; the pipe stays open as long as the process that started it lives.

Ctrl-C is left to that process, which asks for the end by SIGTERM, once: a run then saves its state and stops.
"""

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.support.command import child_environment
from engine.support.errors import UserError
from engine.sweep.jobs import Ended, Job
from engine.training.interrupt import SIGNALS

# Environment variables that limit the threads of libraries; the last one is that of tokenizers.
THREADS = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "RAYON_NUM_THREADS",
)  # fmt: skip


class Processes:
    """The Launcher of processes of this machine, `count` at a time.

    command: starts a process that does a job; logs: the folder of their logs; share: threads of a job with none.
    """

    def __init__(self, command: Sequence[str], logs: str | Path, count: int, share: int = 1) -> None:
        self.command, self.logs, self.count, self.share = command, logs, count, share

    def has_room(self, running: int) -> bool:
        return running < self.count

    def start(self, job: Job) -> "Process":
        environment = threads_environment(job.threads or self.share) | child_environment()
        return Process(self.command, job.message, log_of(self.logs, job), environment)


class Process:
    """A process that does a job.

    command: starts it; message: the job; log: the file of its output; more: for subprocess.Popen.
    """

    def __init__(
        self, command: Sequence[str], message: Any, log: Path, environment: Mapping[str, str], **more: Any
    ) -> None:
        self.log, self.asked = log, False
        with contextlib.suppress(OSError):  # a process that is still ending goes on to write into the old file
            log.unlink()
        with open(log, "wb") as output:
            variables = {**environment, "PYTHONIOENCODING": "utf-8"}
            self.process = start(command, stdout=output, stderr=subprocess.STDOUT, env=variables, **more)
        send(self.process, message)

    def code(self) -> int | None:
        """Its exit code, that of subprocess.Popen; None while it goes on."""
        if self.process.poll() is not None:
            close(self.process)
        return self.process.returncode

    def poll(self) -> Ended | None:
        code = self.code()
        return None if code is None else Ended(reason(code, self.log))

    def stop(self) -> None:
        if not self.asked:
            self.process.terminate()
        self.asked = True

    def kill(self) -> None:
        self.process.kill()
        close(self.process)


def threads_environment(threads: int) -> dict[str, str]:
    """The environment variables that limit the threads of libraries."""
    return dict.fromkeys(THREADS, str(threads))


def start(command: Sequence[str], **more: Any) -> "subprocess.Popen[bytes]":
    """A process with a pipe to its standard input. Signals wait until it is ready for them."""
    with signals_held():
        return subprocess.Popen(command, stdin=subprocess.PIPE, **more)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold back signals to this process until the end, and to a process started meanwhile until it allows them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def send(process: "subprocess.Popen[bytes]", message: Any) -> None:
    """Send a process its job; the pipe stays open."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # it has died already, and its log says why
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()


def close(process: "subprocess.Popen[bytes]") -> None:
    """Close the pipe to a process and wait for its end."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    process.wait()


def log_of(logs: str | Path, job: Job) -> Path:
    """The log file of a job."""
    return Path(logs, f"{job.name}.log")


def reason(code: int, log: Path) -> str | None:
    """Why a process failed, in one line; None if it did not."""
    if code == 0:
        return None
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    if code < 0:
        name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
        return f"ended by {name} (too little memory?); its log: {log}"
    return last.removeprefix("error: ") if code == 2 else f"exit code {code}: {last}; its log: {log}"


def ask(command: Sequence[str], message: Any) -> Any:
    """The JSON answer of a process to a job; it shows its progress on this terminal. UserError where it fails."""
    process = start(command, stdout=subprocess.PIPE, env=child_environment())
    assert process.stdout is not None
    try:
        send(process, message)
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
