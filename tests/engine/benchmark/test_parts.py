"""Seconds go to the innermost part that is timed; bytes are those of every memory once, whatever views there are."""

import types
from typing import NamedTuple

import numpy as np
import pytest

from engine.benchmark import parts
from engine.benchmark.parts import PartTimer, SynchronizedPartTimer, kept_bytes, layer_targets, patched
from layers.networks import WaveNetwork, WaveNetworkConfig


@pytest.fixture
def clock(monkeypatch):
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(parts, "time", types.SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


class Engine:
    def __init__(self, clock):
        self.clock = clock

    def inner(self):
        self.clock.now += 2.0
        return "done"

    def outer(self):
        self.clock.now += 1.0
        result = self.inner(), self.inner()
        self.clock.now += 4.0
        return result


def test_a_part_does_not_contain_the_parts_within_it(clock):
    engine, timer = Engine(clock), PartTimer()
    with timer.timing([(engine, "outer", "outer"), (engine, "inner", "inner")]):
        assert engine.outer() == ("done", "done")
        engine.inner()
    assert timer.seconds == {"outer": 5.0, "inner": 6.0}
    engine.outer()
    assert timer.seconds == {"outer": 5.0, "inner": 6.0}, "timed after the end"


def test_a_call_that_fails_counts_and_all_is_put_back(clock):
    engine = Engine(clock)

    def fail():
        clock.now += 3.0
        raise RuntimeError

    engine.inner = fail
    timer = PartTimer()
    with pytest.raises(RuntimeError), timer.timing([(engine, "outer", "outer"), (engine, "inner", "inner")]):
        engine.outer()
    assert timer.seconds == {"outer": 1.0, "inner": 3.0}
    assert engine.inner is fail and "outer" not in vars(engine)


def test_patching_replaces_a_function_and_puts_it_back():
    module = types.ModuleType("module")
    module.double = original = lambda x: 2 * x
    with patched([(module, "double", lambda function: lambda x: function(x) + 1)]):
        assert module.double(3) == 7
    assert module.double is original


def test_every_parameter_belongs_to_one_target_of_each_way():
    network = WaveNetwork(WaveNetworkConfig(dimension=4, hidden=5, blocks=2, readout="both"), 9, 3)
    targets = layer_targets(network)
    forward = [layer for layer, way, _ in targets if way == "forward"]
    assert [layer for layer, way, _ in targets if way == "backward"] == forward
    owned = [id(parameter) for layer in forward for parameter in layer.parameters().values()]
    assert sorted(owned) == sorted(id(parameter) for parameter in network.parameters().values())
    names = [part for _, _, part in targets]
    expected = {"embedding forward", "blocks.1.feed_forward.expand backward", "classifier forward"}
    assert len(set(names)) == len(names) and expected <= set(names)


@pytest.mark.parametrize("fails", [False, True])
def test_a_part_ends_when_the_device_has_done_its_work(clock, fails):
    queue = []
    device = types.SimpleNamespace(synchronize=lambda: (setattr(clock, "now", clock.now + sum(queue)), queue.clear()))

    def launch(seconds):
        queue.append(seconds)
        if fails:
            raise RuntimeError

    engine = types.SimpleNamespace(first=lambda: launch(2.0), second=lambda: launch(5.0))
    timer = SynchronizedPartTimer(device)
    with timer.timing([(engine, "first", "first"), (engine, "second", "second")]):
        for part in (engine.first, engine.second):
            queue.append(100.0)  # of no part: done before the part begins
            if fails:
                with pytest.raises(RuntimeError):
                    part()
            else:
                part()
    assert timer.seconds == {"first": 2.0, "second": 5.0}


A, B = np.zeros((3, 4), np.float32), np.zeros(5)  # 48 and 40 bytes


class OwnKind(np.ndarray):
    """NumPy keeps the whole chain of views where their classes differ."""


class Pair(NamedTuple):
    first: object
    second: object


@pytest.mark.parametrize("cache, expected", [
    ((), 0),
    (A, 48),
    ((A, B), 88),
    ([Pair(A, {"b": B, 3: (A,)}), A], 88),
    ((A[1:], A[:2]), 48),
    ((A[2:], A[:1]), 48),
    ((A.T, A.reshape(2, 6)[:, ::2][1:]), 48),
    (np.broadcast_to(B[:1], (7, 7)), 40),
    ((B.view(OwnKind)[1:], B), 40),
    ((None, 3, 1.5, "word", np.float64(2), np.dtype(np.float32), slice(1, 2), A.shape), 0),
    (np.zeros((0, 4)), 0),
    ((np.zeros(3, bool), np.zeros(3, np.int64)), 27),
])  # fmt: skip
def test_bytes_of_a_tree(cache, expected):
    assert kept_bytes(cache) == expected


def test_equal_arrays_are_two():
    assert kept_bytes((A, A.copy())) == 96


def test_arrays_left_out_and_their_views_count_nothing():
    assert kept_bytes((A, A.T, B), left_out=[A]) == 40
    assert kept_bytes((A, B), left_out=[B[2:]]) == 48
    assert kept_bytes(A, left_out=[A.copy()]) == 48


def test_memory_that_is_no_array_is_counted_by_its_view():
    assert kept_bytes(np.frombuffer(b"12345678", np.float32)) == 8
