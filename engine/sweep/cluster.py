"""Jobs of a sweep on the workers of a Dask scheduler, each in a process of its own beside the worker.

A job is a task that is bound to one worker; there run_job() starts the process as processes.py does, with the worker's
Python and the worker's copy of this project. All machines see the sweep's folder under one name. A job whose worker is
lost is started again on another, up to STARTS times; its process, if it is still alive, saves meanwhile, since the
other end of its pipe is gone. Only run_job(), describe(), stop() and kill() are called on workers.
"""

import asyncio
import contextlib
import importlib.metadata
import os
import platform
import secrets
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from engine import __version__
from engine.support.command import CHECKOUT, VARIABLE, command_name, install_extra
from engine.support.errors import UserError, first_line
from engine.sweep.jobs import POLL_SECONDS, SAVING_SECONDS, Ended, Job
from engine.sweep.processes import THREADS, Process, log_of, reason, threads_environment
from engine.training.interrupt import SIGNALS

CONNECT_SECONDS = 5
REFRESH_SECONDS = 1.0  # between two looks at which workers there are
STARTS = 3  # of a job, where its workers are lost
STOPPED = {128 + number for number in SIGNALS}  # exit codes of a process that was asked to end
OF_WORKERS = {"MALLOC_TRIM_THRESHOLD_"}  # of the environment: set by Dask for its own memory
PACKAGES = ("numpy", "tokenizers", "distributed")  # whose versions must be those of this process


# --- the process of the sweep --------------------------------------------------------------------------------------


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """A distributed.Client of the scheduler at an address. UserError where Dask is missing or does not answer."""
    try:
        import dask

        # Its messages would stand between ours, which say the same.
        quiet = dict.fromkeys(("distributed", "distributed.client"), "critical")
        dask.config.set({"logging": quiet, "distributed.comm.timeouts.connect": f"{CONNECT_SECONDS}s"})
        import distributed
    except ImportError as error:
        raise UserError(
            f"--scheduler {address}: needs Dask, which cannot be imported ({error}); run {install_extra('cluster')}"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions that differ
        try:
            asyncio.run(try_to_connect(address))  # a Client that cannot takes as long again to give up
            client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, asyncio.TimeoutError, ValueError) as error:
            raise UserError(
                f"--scheduler {address}: cannot be reached ({first_line(error)}); start one with `dask scheduler` "
                "and give the address that it prints, such as tcp://HOST:8786"
            ) from None
        try:
            require_project(client, address)
            yield client
        finally:
            with contextlib.suppress(Exception):
                client.close()


async def try_to_connect(address: str) -> None:
    """Open a connection to a scheduler and close it. Raises OSError or ValueError where that fails."""
    from distributed import Security
    from distributed.comm import connect

    comm = await connect(address, timeout=CONNECT_SECONDS, **Security().get_connection_args("client"))
    await comm.close()


def require_project(client: Any, address: str) -> None:
    """Raise UserError unless the scheduler has this project, which it needs to read the tasks, in this version."""
    try:
        why = difference(versions(), client.run_on_scheduler(versions))
    except Exception as error:  # of the scheduler
        why = cannot_import(error, "dask scheduler")
    if why:
        raise UserError(f"--scheduler {address}: it {why}")


class Cluster:
    """The Launcher of a sweep on the workers of a distributed.Client.

    command: starts a process that does a job; folder: of the sweep; threads: cores that a job takes, 0 for a whole
    worker; limit: jobs at once, 0 for as many as the workers have threads for; log: takes lines for the user.
    """

    def __init__(
        self, client: Any, command: Sequence[str], folder: Path, threads: int, limit: int, log: Callable[[str], Any]
    ) -> None:
        self.client, self.command, self.folder, self.log = client, list(command), folder, log
        self.threads, self.limit = threads, limit
        self.known: dict[str, int] = {}  # address: threads, of the workers that are there and can do jobs
        self.hosts: dict[str, str] = {}  # address: host, of all that could
        self.refused: dict[str, str] = {}  # address: why it cannot
        self.placed: list[PlacedJob] = []
        self.seen = 0.0

    def has_room(self, running: int) -> bool:
        self.refresh()
        slots = sum(map(self.slots, self.known))
        return running < min(slots, self.limit or slots)

    def start(self, job: Job) -> "PlacedJob":
        placed = PlacedJob(self, job)
        self.placed.append(placed)
        placed.place()
        return placed

    def slots(self, worker: str) -> int:
        """How many jobs a worker does at a time."""
        return max(1, self.known[worker] // self.threads) if self.threads else 1

    def free_worker(self) -> str | None:
        """The worker with most room for a job; None where there is none."""
        free = {worker: self.slots(worker) for worker in self.known}
        for placed in self.placed:
            if placed.worker in free:
                free[placed.worker] -= 1
        best = max(free, key=free.__getitem__, default=None)
        return best if best is not None and free[best] > 0 else None

    def refresh(self) -> None:
        """Look which workers there are, and whether new ones can do jobs.

        UserError where the scheduler is gone, or where no worker can do any.
        """
        if self.client.status == "running" and time.monotonic() < self.seen + REFRESH_SECONDS:
            return
        try:
            if self.client.status != "running":
                raise OSError("the connection is closed")
            there = self.client.nthreads()
            described = self.describe([worker for worker in there if worker not in {*self.known, *self.refused}])
        except OSError as error:
            raise UserError(
                f"the scheduler was lost ({first_line(error)}), and runs on its workers save and stop; "
                f"see to it, then continue with --resume {self.folder}"
            ) from None
        expected = bool(self.known) or not self.seen
        for worker, (host, why) in described.items():
            if why is None:
                self.hosts[worker] = host
            else:
                self.refused[worker] = f"worker {worker}{host and f' on {host}'} {why}"
        self.known = {worker: threads for worker, threads in there.items() if worker in self.hosts}
        refused = [self.refused[worker] for worker in there if worker in self.refused]
        if refused and not self.hosts:
            count = f" (so are all {len(refused)} workers)" if len(refused) > 1 else ""
            raise UserError(f"{refused[0]}, then continue with --resume {self.folder}{count}")
        for worker in described.keys() & self.refused.keys():
            self.log(f"{self.refused[worker]}; it gets no runs")
        if expected and not self.known:
            self.log("no worker is there for the runs; waiting for one (Ctrl-C stops)")
        self.seen = time.monotonic()

    def describe(self, workers: Sequence[str]) -> dict[str, tuple[str, str | None]]:
        """{address: (host, None or why it can do no job)} of workers."""
        if not workers:
            return {}
        token = self.folder / f".workers-{secrets.token_hex(8)}"
        token.touch()
        place = os.path.join(os.getcwd(), token)
        try:
            answers = self.client.run(describe, place, workers=list(workers), on_error="return")
        finally:
            token.unlink()
        # A worker that was lost meanwhile is asked again if it comes back.
        return {worker: self.judge(answer) for worker, answer in answers.items() if not isinstance(answer, OSError)}

    def judge(self, answer: Any) -> tuple[str, str | None]:
        """(Host, None or why a worker can do no job) from its answer to describe(), which may be an exception."""
        if isinstance(answer, BaseException):
            return "", cannot_import(answer, "dask worker")
        differing = difference(versions(), answer["versions"])
        if differing:
            return answer["host"], differing
        if answer["folder"]:
            place = os.path.join(os.getcwd(), self.folder)
            return answer["host"], (
                f"cannot use the sweep's folder {place} ({answer['folder']}); "
                "let all machines share it under this name, with permission to write"
            )
        return answer["host"], None


class PlacedJob:
    """A job on a worker, or one that waits for a worker after the loss of its own."""

    def __init__(self, cluster: Cluster, job: Job) -> None:
        self.cluster, self.job, self.asked, self.starts = cluster, job, False, 0
        self.future: Any = None
        self.worker: str | None = None
        self.token = ""

    def place(self) -> None:
        """Start the job on a worker, if one has room."""
        worker = self.cluster.free_worker()
        if worker is None:
            return
        cluster, self.worker, self.starts, self.token = self.cluster, worker, self.starts + 1, secrets.token_hex(8)
        threads = self.job.threads or max(1, cluster.known[worker] // cluster.slots(worker))
        log = str(log_of(cluster.folder / "logs", self.job))
        self.future = cluster.client.submit(
            run_job, self.token, relocatable(cluster.command), self.job.message, log, environment(threads), os.getcwd(),
            key=key_of(self.token), workers=[worker], allow_other_workers=False, pure=False,
        )  # fmt: skip

    def poll(self) -> Ended | None:
        self.cluster.refresh()
        if self.future is None:
            if self.asked:
                return self.ended("stopped")
            self.place()
            return None
        code, failure = self.result()
        if failure is not None:
            return self.ended(failure)
        if code is not None and (self.asked or code not in STOPPED):
            return self.ended(reason(code, log_of(self.cluster.folder / "logs", self.job)))
        if code is not None:  # as by the SIGTERM of a batch system, before the worker itself goes
            return self.start_again("has stopped it")
        gone = self.worker not in self.cluster.known or self.future.status in ("cancelled", "lost", "error")
        return self.start_again("was lost") if gone else None

    def result(self) -> tuple[int | None, str | None]:
        """(Exit code, None) at the end of the process, (None, reason) where there was none, else (None, None)."""
        from distributed import KilledWorker

        try:
            if self.future.status == "finished":
                return self.future.result(timeout=REFRESH_SECONDS), None
            if self.future.status == "error":
                error = self.future.exception(timeout=REFRESH_SECONDS)
                return None, None if isinstance(error, KilledWorker) else first_line(error)
        except (
            OSError,
            asyncio.TimeoutError,
            asyncio.CancelledError,
            CancelledError,
        ):  # not yet: its worker may just have been lost
            pass
        return None, None

    def start_again(self, why: str) -> Ended | None:
        """Let the job be started again, unless that was often enough. why: what became of its worker."""
        cluster, worker = self.cluster, self.worker or ""
        where = f"{worker} on {cluster.hosts[worker]}"
        self.future.cancel()
        self.future = self.worker = None
        if self.asked:
            return self.ended("stopped")
        if self.starts == STARTS:
            return self.ended(
                f"its worker was lost or has stopped it {STARTS} times, last {where}; "
                f"see to the workers and their memory, then continue with --resume {cluster.folder}"
            )
        cluster.log(f"{self.job.name}: worker {where} {why}; the run is started again")
        return None

    def ended(self, reason: str | None) -> Ended:
        self.cluster.placed.remove(self)
        self.future = self.worker = None
        return Ended(reason)

    def stop(self) -> None:
        self.asked = True
        if self.future is not None and not self.call(stop):
            self.future.cancel()  # its process has not been started

    def kill(self) -> None:
        if self.future is not None and self.cluster.client.status == "running":
            with contextlib.suppress(Exception):
                self.call(kill)
                self.future.cancel()

    def call(self, function: Callable[[str], bool]) -> bool:
        """What a function of this job returns on its worker; False where that is gone."""
        answers = self.cluster.client.run(function, self.token, workers=[self.worker], on_error="ignore")
        return any(answers.values())


def key_of(token: str) -> str:
    """The name of a task of Dask. token: of its job."""
    return f"wave-network-sweep-{token}"


def environment(threads: int) -> dict[str, str]:
    """The variables that a process on a worker does not take from the worker."""
    own = {name: value for name, value in os.environ.items() if name in THREADS or name.startswith("WAVE_")}
    return {**threads_environment(threads), **own, VARIABLE: command_name()}


def relocatable(command: Sequence[str]) -> list[str]:
    """A command for local_command(): Python as "", files of this project by their names in it, with "/"."""
    return ["" if word == sys.executable else inside_project(word) for word in command]


def inside_project(word: str) -> str:
    path = Path(word)
    inside = path.is_absolute() and path.is_relative_to(CHECKOUT)
    return f"./{path.relative_to(CHECKOUT).as_posix()}" if inside else word


def versions() -> dict[str, str]:
    """The versions that a sweep and its workers must have in common: other ones may give other bits."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {
        "Python": python,
        "wave-network": __version__,
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def cannot_import(error: BaseException, command: str) -> str:
    return (
        f"cannot import this project ({first_line(error)}); "
        f"install wave-network {__version__} in the environment of `{command}`"
    )


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str | None:
    """What a worker has in other versions than the sweep, in a line; None if nothing."""
    names = [name for name in here if here[name] != there.get(name)]
    if not names:
        return None
    theirs, ours = (", ".join(f"{name} {found.get(name)}" for name in names) for found in (there, here))
    return f"has {theirs}, the sweep {ours}; install the same versions on both"


# --- the workers ---------------------------------------------------------------------------------------------------

processes: dict[str, Process] = {}  # of this worker, by the token of their job


async def run_job(
    token: str, command: Sequence[str], message: Any, log: str, variables: Mapping[str, str], folder: str
) -> int:
    """Do a job in a process of its own; returns its exit code.

    command: of relocatable(). log: its file. variables: of environment(). folder: names of files are relative to it.

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


def local_command(words: Sequence[str]) -> list[str]:
    """The command of relocatable() on this machine."""
    return [sys.executable if not word else str(CHECKOUT / word[2:]) if word[:2] == "./" else word for word in words]


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
