"""Seconds go to the innermost part that is timed, and every function is back in its place afterwards."""

import types

import pytest

from engine.benchmark import parts
from engine.benchmark.parts import PartTimer, layer_places, replaced
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


def test_seconds_of_a_call_that_fails_count_and_all_is_put_back(clock):
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


def test_replacing_gives_the_function_in_place_and_puts_it_back():
    module = types.ModuleType("module")
    module.double = original = lambda x: 2 * x
    with replaced([(module, "double", lambda function: lambda x: function(x) + 1)]):
        assert module.double(3) == 7
    assert module.double is original


def test_every_parameter_belongs_to_one_place_of_each_way():
    network = WaveNetwork(WaveNetworkConfig(dimension=4, hidden=5, blocks=2, readout="both"), 9, 3)
    places = layer_places(network)
    forward = [layer for layer, way, _ in places if way == "forward"]
    assert [layer for layer, way, _ in places if way == "backward"] == forward
    owned = [id(parameter) for layer in forward for parameter in layer.parameters().values()]
    assert sorted(owned) == sorted(id(parameter) for parameter in network.parameters().values())
    names = [part for _, _, part in places]
    assert len(set(names)) == len(names) and {
        "embedding forward",
        "blocks.1.feed_forward.expand backward",
        "classifier forward",
    } <= set(names)
