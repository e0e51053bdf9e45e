"""Clocks, turns and slopes, on a clock that the tests set and on a stand-in for CUDA's events."""

import types

import pytest

from engine.benchmark import timing
from engine.benchmark.timing import PAUSE, CudaClock, HostClock, clock_of, growth_exponent, take_turns


class FakeTime:
    """Stands in for the module time."""

    def __init__(self):
        self.now, self.slept = 0.0, []

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)


@pytest.fixture
def time(monkeypatch):
    time = FakeTime()
    monkeypatch.setattr(timing, "time", time)
    return time


class FakeCuda:
    """A device with a queue: work that is launched is done, and takes time, only when somebody waits for it."""

    def __init__(self):
        self.now, self.queue = 0.0, []

    def launch(self, milliseconds):
        self.queue.append(milliseconds)

    def finish(self):
        for work in self.queue:
            self.now = work.at(self.now) if isinstance(work, FakeEvent) else self.now + work
        self.queue.clear()

    def Device(self):
        return types.SimpleNamespace(synchronize=self.finish)

    def Event(self):
        return FakeEvent(self)

    def get_elapsed_time(self, start, end):
        return end.time - start.time


class FakeEvent:
    def __init__(self, cuda):
        self.cuda, self.time = cuda, None

    def at(self, now):
        self.time = now
        return now

    def record(self):
        self.cuda.queue.append(self)

    def synchronize(self):
        self.cuda.finish()


def test_a_device_is_timed_from_start_to_end_of_its_work():
    cuda = FakeCuda()
    cuda.launch(1000.0)  # earlier work: waited for before the start, not counted
    clock = CudaClock(cuda)
    assert clock.seconds(lambda: (cuda.launch(1.5), cuda.launch(2.5))) == pytest.approx(0.004)
    assert not cuda.queue and cuda.now == 1004.0


def test_synchronizing_waits_for_the_device():
    cuda = FakeCuda()
    cuda.launch(7.0)
    CudaClock(cuda).synchronize()
    assert cuda.now == 7.0


def test_the_host_clock_counts_one_call(time):
    def run():
        time.now += 3.0

    clock = clock_of("cpu")
    assert isinstance(clock, HostClock) and clock.seconds(run) == 3.0 and clock.synchronize() is None


def test_contestants_take_turns_after_repeats_that_do_not_count(time):
    calls = []

    def run(name, seconds):
        def call(repeat):
            calls.append((name, repeat))
            time.now += seconds * (repeat + 2)

        return call

    contestants = {"a": run("a", 1.0), "b": run("b", 10.0)}
    assert take_turns(contestants, 2, HostClock(), PAUSE, uncounted=1) == {"a": [2.0, 3.0], "b": [20.0, 30.0]}
    assert calls == [("a", -1), ("b", -1), ("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert time.slept == [PAUSE] * 6
    assert take_turns(contestants, 1, HostClock()) == {"a": [2.0], "b": [20.0]}
    assert calls[6:] == [("a", 0), ("b", 0)] and time.slept == [PAUSE] * 6


def test_a_single_contestant_need_not_wait(time):
    assert take_turns({"a": lambda _: None}, 3, HostClock(), PAUSE) == {"a": [0.0] * 3} and not time.slept


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.7, 2.0])
def test_the_exponent_of_a_power_is_found(exponent):
    sizes = [16, 64, 1024]
    assert growth_exponent(sizes, [3e-4 * size**exponent for size in sizes]) == pytest.approx(exponent, abs=1e-12)
