"""Seconds of a piece of code on the device where it runs: by the host's clock on a CPU, by events on a GPU."""

import functools
import time

from engine.benchmark.parts import PartTimer


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
