"""Seconds of competing pieces of code that take turns, growth of seconds with size, and measuring in a process.

A clock measures on the device where the code runs: the host's clock on a CPU, events on a GPU. What is measured in a
process of its own shares imports, caches and peak of memory with nobody. A module that measures is started with
arguments and prints a line of JSON for each measurement.
"""

import functools
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, cast

from engine.support.command import child_environment
from engine.support.errors import UserError

PAUSE = 0.3  # seconds: idle threads of BLAS and OpenMP wait in a loop for about 0.1 s before they sleep


class Clock(Protocol):
    """Measure code on one kind of device."""

    def synchronize(self) -> None:
        """Wait until the device has done everything it was given."""

    def seconds(self, run: Callable[[], object]) -> float:
        """Return the seconds of one call of run()."""


class HostClock:
    """Clock for code that has done its work when its call returns."""

    def synchronize(self) -> None:
        """Do nothing: there is nothing left to wait for."""

    def seconds(self, run: Callable[[], object]) -> float:
        """Return the seconds of one call of run()."""
        started = time.perf_counter()
        run()
        return time.perf_counter() - started


class CudaClock:
    """Clock for code that queues work for the current CUDA device and returns before that is done.

    Both events are recorded in the default stream, in which CuPy and PyTorch work unless they are told otherwise. The
    device has nothing to do when the first is recorded, so time in which it waits for the host counts as well.
    cuda: the module cupy.cuda.
    """

    def __init__(self, cuda: Any = None) -> None:
        if cuda is None:
            from cupy import cuda as cupy_cuda

            cuda = cupy_cuda
        self.cuda = cuda

    def synchronize(self) -> None:
        """Wait until the device has done everything it was given."""
        self.cuda.Device().synchronize()

    def seconds(self, run: Callable[[], object]) -> float:
        """Return the seconds from the moment when the device would begin with the work of run() until it is done."""
        start, end = self.cuda.Event(), self.cuda.Event()
        self.synchronize()
        start.record()
        run()
        end.record()
        end.synchronize()
        milliseconds: float = self.cuda.get_elapsed_time(start, end)
        return milliseconds / 1e3


def clock_of(device: str) -> Clock:
    """The clock of "cpu" or "cuda"."""
    return HostClock() if device == "cpu" else CudaClock()


def take_turns(
    contestants: Mapping[str, Callable[[int], object]],
    repeats: int,
    clock: Clock,
    pause: float = 0.0,
    uncounted: int = 0,
) -> dict[str, list[float]]:
    """Time functions of the repeat's number: {name: [seconds of each repeat]}.

    Repeat after repeat the contestants take turns, so that what the machine does meanwhile affects all of them. The
    first `uncounted` repeats are not timed; their numbers are negative. pause: seconds before each call where there are
    several contestants, in which idle threads of the others fall asleep (PAUSE).
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(-uncounted, repeats):
        for name, run in contestants.items():
            if pause and len(contestants) > 1:
                time.sleep(pause)
            if repeat < 0:
                run(repeat)
            else:
                seconds[name].append(clock.seconds(functools.partial(run, repeat)))
    return seconds


def growth_exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of a straight line through (log size, log seconds) by least squares: 1 where seconds grow in proportion."""
    x, y = [math.log(size) for size in sizes], [math.log(s) for s in seconds]
    return statistics.linear_regression(x, y).slope


ROOT = Path(__file__).resolve().parents[2]  # from where a child process imports the same modules


def child_values(subject: str, module: str, *arguments: object) -> Iterator[Any]:
    """Run `python -m module arguments`; yield the value of each line of JSON that it prints, as soon as it is printed.

    The process is killed where nobody reads on. Where it fails, a UserError tells what could not be measured (subject),
    and the last line that the process wrote on stderr.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT, env=child_environment()
        ) as child:
            try:
                for line in cast(IO[str], child.stdout):
                    yield json.loads(line)
            except BaseException:  # GeneratorExit among them
                child.kill()
                raise
        if child.returncode:
            errors.seek(0)
            written = [line for line in errors.read().splitlines() if line.strip()]
            reason = written[-1] if written else f"it ended with code {child.returncode}"
            raise UserError(f"measuring {subject} failed: {reason.removeprefix('error: ')}")


def child_value(subject: str, module: str, *arguments: object) -> Any:
    """Run `python -m module arguments` to its end; return the value of the single line of JSON that it prints."""
    (value,) = child_values(subject, module, *arguments)
    return value
