"""Jobs within a time: each is timed, and when the time is up those that run are ended and no other is started."""

import time
from collections.abc import Callable

from engine.sweep.jobs import Ended, Job, Launcher, Running

ENDING_SECONDS = 10.0  # after which a job that was asked to end is killed


class Skipped:
    """A job that was not started, since the time was up."""

    def poll(self) -> Ended:
        return Ended("the time was up")

    def stop(self) -> None:
        pass

    def kill(self) -> None:
        pass


class TimedJob:
    """A job that is asked to end when the time is up, and killed soon after. took: is told its seconds."""

    def __init__(self, running: Running, is_over: Callable[[], bool], took: Callable[[float], object]) -> None:
        self.running, self.is_over, self.took = running, is_over, took
        self.started, self.asked = time.monotonic(), 0.0

    def poll(self) -> Ended | None:
        ended = self.running.poll()
        if ended is not None:
            self.took(time.monotonic() - self.started)
        elif self.is_over():
            self.stop()
            if time.monotonic() > self.asked + ENDING_SECONDS:
                self.kill()
        return ended

    def stop(self) -> None:
        self.asked = self.asked or time.monotonic()
        self.running.stop()

    def kill(self) -> None:
        self.running.kill()


class TimedLauncher:
    """A Launcher of TimedJobs on another one. seconds: {name of a job that has ended: how long it took}."""

    def __init__(self, launcher: Launcher, is_over: Callable[[], bool]) -> None:
        self.launcher, self.is_over = launcher, is_over
        self.seconds: dict[str, float] = {}

    def has_room(self, running: int) -> bool:
        return self.is_over() or self.launcher.has_room(running)

    def start(self, job: Job) -> Running:
        if self.is_over():
            return Skipped()
        return TimedJob(
            self.launcher.start(job), self.is_over, lambda seconds: self.seconds.update({job.name: seconds})
        )
