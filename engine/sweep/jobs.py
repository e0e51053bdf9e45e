"""Jobs of a sweep: what a job is, and the loop that keeps as many of them going as there is room for.

Where they run is the business of a Launcher: in processes of this machine (processes.py), or on the workers of a
cluster (cluster.py). Either starts a process for each job, which calls do_job() (do_job.py).
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from engine.training.interrupt import Interrupted, SignalWatch

POLL_SECONDS = 0.05
SAVING_SECONDS = 120  # within which a run that is asked to stop has saved its state


class Job(NamedTuple):
    """name: of its log; message: the job for do_job().

    threads: its limit, unless the user's environment sets one; 0 for the share that the Launcher gives it.
    """

    name: str
    message: Any
    threads: int = 0


class Ended(NamedTuple):
    """The end of a job. reason: of its failure, in one line, or None."""

    reason: str | None


class Running(Protocol):
    """A job that has been started."""

    def poll(self) -> Ended | None:
        """None while it goes on."""

    def stop(self) -> None:
        """Ask it to save and end; poll() tells when it has."""

    def kill(self) -> None:
        """End it at once."""


class Launcher(Protocol):
    """A place where jobs run."""

    def has_room(self, running: int) -> bool:
        """Whether another job can be started beside that many."""

    def start(self, job: Job) -> Running:
        """Start a job."""


def run_jobs(jobs: Sequence[Job], launcher: Launcher, done: Callable[[Job, str | None], Any]) -> None:
    """Do Jobs, as many at a time as the Launcher has room for; after each call done(job, None or why it failed).

    Raises Interrupted after one of SIGNALS, when all that were running have saved and ended, and what done() and
    start() raise, likewise; at a second Ctrl-C KeyboardInterrupt, and kills them.
    """
    waiting, asked = deque(jobs), False
    running: list[tuple[Job, Running]] = []
    with SignalWatch() as watch:
        try:
            while running or (waiting and watch.caught is None):
                while waiting and watch.caught is None and launcher.has_room(len(running)):
                    job = waiting.popleft()
                    running.append((job, launcher.start(job)))
                if watch.caught is not None and not asked:
                    for _, one in running:
                        one.stop()
                    asked = True
                time.sleep(POLL_SECONDS)
                for job, one in running.copy():
                    ended = one.poll()
                    if ended is not None:
                        running.remove((job, one))
                        if ended.reason is None or not asked:
                            done(job, ended.reason)
        except Exception:
            with contextlib.suppress(Exception):  # where a scheduler is lost, jobs cannot be asked
                let_save([one for _, one in running])
            raise
        finally:
            for _, one in running:
                one.kill()
    if watch.caught is not None:
        raise Interrupted(watch.caught)


def let_save(running: Sequence[Running]) -> None:
    """Ask jobs to save and end, and wait for that, SAVING_SECONDS at most."""
    for one in running:
        one.stop()
    deadline = time.monotonic() + SAVING_SECONDS
    while time.monotonic() < deadline and any([one.poll() is None for one in running]):
        time.sleep(POLL_SECONDS)
