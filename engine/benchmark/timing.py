"""Seconds of competing pieces of code, measured in turn, and the rate of matrix products to hold them against.

Seconds of a piece of code on the device where it runs: by the host's clock on a CPU, by events on a GPU.
"""

import functools
import math
import statistics
import time

import numpy as np

from engine.benchmark.parts import PartTimer

PAUSE = 0.3  # seconds: idle threads of BLAS and OpenMP wait in a loop for about 0.1 s before they sleep


def interleaved(contestants, repeats, pause=PAUSE):
    """dict of names → list of `repeats` seconds. contestants: dict of names → function of the repeat's number.

    Repeat after repeat the contestants take turns, so that what the machine does meanwhile meets all of them. One call of
    each comes first and does not count. Before each call the others' idle threads get the time to fall asleep.
    """
    seconds = {name: [] for name in contestants}
    for repeat in range(-1, repeats):
        for name, run in contestants.items():
            if len(contestants) > 1:
                time.sleep(pause)
            started = time.perf_counter()
            run(repeat)
            if repeat >= 0:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def product_rate(rows, inner, columns, repeats=15):
    """FLOP/s of a float32 product (rows, inner)·(inner, columns) by NumPy's BLAS: the median over repeats."""
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape, dtype=np.float32) for shape in ((rows, inner), (inner, columns)))
    y = np.empty((rows, columns), np.float32)
    seconds = interleaved({"product": lambda _: np.matmul(x, w, out=y)}, repeats)["product"]
    return 2 * rows * inner * columns / statistics.median(seconds)


def growth_exponent(sizes, seconds):
    """The slope of a straight line through (log size, log seconds), by least squares: 1 where seconds grow with size."""
    x, y = [math.log(size) for size in sizes], [math.log(s) for s in seconds]
    return statistics.linear_regression(x, y).slope


class HostClock:
    """For code that has done its work when its call returns."""

    def synchronize(self):
        """Nothing is left to wait for."""

    def seconds(self, run):
        """Seconds of one call of run()."""
        started = time.perf_counter()
        run()
        return time.perf_counter() - started


class CudaClock:
    """For code that queues work for the current CUDA device and returns before that is done.

    Both events stand in the default stream, in which CuPy and PyTorch work unless they are told otherwise. The device has
    nothing to do when the first is recorded, so time in which it waits for the host counts as well. cuda: the module cupy.cuda.
    """

    def __init__(self, cuda=None):
        if cuda is None:
            from cupy import cuda
        self.cuda = cuda

    def synchronize(self):
        """Wait until the device has done everything it was given."""
        self.cuda.Device().synchronize()

    def seconds(self, run):
        """Seconds from the moment when the device would begin with the work of run() until it is done."""
        start, end = self.cuda.Event(), self.cuda.Event()
        self.synchronize()
        start.record()
        run()
        end.record()
        end.synchronize()
        return self.cuda.get_elapsed_time(start, end) / 1e3  # milliseconds


def clock_of(device):
    """The clock of "cpu" or "cuda"."""
    return HostClock() if device == "cpu" else CudaClock()


def warm_up(contestants, repeats):
    """Let every contestant go through all repeats once: afterwards nothing is compiled, planned or allocated for a first time."""
    for run in contestants.values():
        for repeat in range(repeats):
            run(repeat)


def take_turns(contestants, repeats, clock):
    """{name: [seconds of each repeat]}. contestants: {name: function of the repeat's number}.

    Repeat after repeat they take turns, so that what the machine does meanwhile meets all of them.
    """
    seconds = {name: [] for name in contestants}
    for repeat in range(repeats):
        for name, run in contestants.items():
            seconds[name].append(clock.seconds(functools.partial(run, repeat)))
    return seconds


class SynchronizedPartTimer(PartTimer):
    """A PartTimer that lets the device finish before a part begins and before it ends.

    Host and device then no longer work at the same time: the parts add up to more than an undisturbed step takes.
    """

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def timed(self, function, part):
        def finished(*args, **kwargs):
            try:
                return function(*args, **kwargs)
            finally:
                self.clock.synchronize()

        timed = super().timed(finished, part)

        def call(*args, **kwargs):
            self.clock.synchronize()
            return timed(*args, **kwargs)

        return call
