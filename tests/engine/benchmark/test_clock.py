"""Clocks of the host and of a device, turns, and parts that wait for the device; CUDA's events are stood in for."""

import types

import pytest

from engine.benchmark import parts
from engine.benchmark import timing as clocks
from engine.benchmark.timing import CudaClock, HostClock, SynchronizedPartTimer, clock_of, take_turns, warm_up


class FakeCuda:
    """A device with a queue: work that is launched is done, and takes time, only when somebody waits for it."""

    def __init__(self):
        self.now, self.queue, self.log = 0.0, [], []

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


def test_seconds_of_a_device_are_those_of_the_work_that_was_queued_in_between():
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


def test_the_host_clock_counts_one_call(monkeypatch):
    time = types.SimpleNamespace(now=5.0, perf_counter=lambda: time.now)
    monkeypatch.setattr(clocks, "time", time)

    def run():
        time.now += 3.0

    clock = clock_of("cpu")
    assert isinstance(clock, HostClock) and clock.seconds(run) == 3.0 and clock.synchronize() is None


def test_contestants_are_warm_before_they_take_turns():
    calls, clock = [], types.SimpleNamespace(seconds=lambda run: run())
    contestants = {name: lambda repeat, name=name: calls.append((name, repeat)) or len(calls) for name in "ab"}
    warm_up(contestants, 2)
    assert calls == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert take_turns(contestants, 2, clock) == {"a": [5, 7], "b": [6, 8]}
    assert calls[4:] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


@pytest.mark.parametrize("fails", [False, True])
def test_a_part_ends_when_the_device_has_done_its_work(monkeypatch, fails):
    cuda = FakeCuda()
    monkeypatch.setattr(parts, "time", types.SimpleNamespace(perf_counter=lambda: cuda.now))

    def launch(milliseconds):
        cuda.launch(milliseconds)
        if fails:
            raise RuntimeError

    engine = types.SimpleNamespace(first=lambda: launch(2.0), second=lambda: launch(5.0))
    timer = SynchronizedPartTimer(CudaClock(cuda))
    with timer.timing([(engine, "first", "first"), (engine, "second", "second")]):
        for part in (engine.first, engine.second):
            cuda.launch(100.0)  # nobody's: done before the part begins
            if fails:
                with pytest.raises(RuntimeError):
                    part()
            else:
                part()
    assert timer.seconds == {"first": 2.0, "second": 5.0}
