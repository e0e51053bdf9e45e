"""Jobs of a sweep on the workers of a Dask scheduler (cluster_connection.py).

A job is a task that is bound to one worker; there run_job() starts its process (cluster_worker.py). All machines see
the sweep's folder under one name. A job whose worker is lost is started again on another, up to STARTS times; its
process, if it is still alive, saves meanwhile, since the other end of its pipe is gone.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from engine.support.command import VARIABLE, command_name
from engine.support.errors import UserError, first_line
from engine.sweep.cluster_connection import cannot_import, difference
from engine.sweep.cluster_worker import describe, key_of, kill, relocatable, run_job, stop, versions
from engine.sweep.jobs import Ended, Job
from engine.sweep.processes import THREADS, log_of, reason, threads_environment
from engine.training.interrupt import SIGNALS

REFRESH_SECONDS = 1.0  # between two looks at which workers there are
STARTS = 3  # of a job, where its workers are lost
STOPPED = {128 + number for number in SIGNALS}  # exit codes of a process that was asked to end


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
        self.log = log_of(cluster.folder / "logs", job)
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
        self.future = cluster.client.submit(
            run_job, self.token, relocatable(cluster.command), self.job.message, str(self.log), environment(threads),
            os.getcwd(), key=key_of(self.token), workers=[worker], allow_other_workers=False, pure=False,
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
            return self.ended(reason(code, self.log))
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


def environment(threads: int) -> dict[str, str]:
    """The variables that a process on a worker does not take from the worker."""
    own = {name: value for name, value in os.environ.items() if name in THREADS or name.startswith("WAVE_")}
    return {**threads_environment(threads), **own, VARIABLE: command_name()}
