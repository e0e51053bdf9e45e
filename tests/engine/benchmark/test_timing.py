"""Turns, medians and slopes, on a clock that the tests set."""

import numpy as np
import pytest

from engine.benchmark import timing
from engine.benchmark.timing import growth_exponent, interleaved, product_rate


class Clock:
    """Stands in for the module time."""

    def __init__(self):
        self.now, self.slept = 0.0, []

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


def test_contestants_take_turns_and_the_first_round_does_not_count(clock):
    calls = []

    def run(name, seconds):
        def call(repeat):
            calls.append((name, repeat))
            clock.now += seconds * (repeat + 2)

        return call

    seconds = interleaved({"a": run("a", 1.0), "b": run("b", 10.0)}, 2)
    assert calls == [("a", -1), ("b", -1), ("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert seconds == {"a": [2.0, 3.0], "b": [20.0, 30.0]}
    assert clock.slept == [timing.PAUSE] * 6


def test_a_single_contestant_need_not_wait(clock):
    assert interleaved({"a": lambda _: None}, 3) == {"a": [0.0] * 3} and not clock.slept


def test_the_rate_counts_a_multiplication_and_an_addition_for_each_entry(clock, monkeypatch):
    shapes = []

    def matmul(x, w, out):
        shapes.append((x.shape, w.shape, out.shape, x.dtype))
        clock.now += 0.5

    monkeypatch.setattr(timing.np, "matmul", matmul)
    assert product_rate(30, 20, 10) == 2 * 30 * 20 * 10 / 0.5
    assert set(shapes) == {((30, 20), (20, 10), (30, 10), np.dtype(np.float32))}


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.7, 2.0])
def test_the_exponent_of_a_power_is_found(exponent):
    sizes = [16, 64, 1024]
    assert growth_exponent(sizes, [3e-4 * size**exponent for size in sizes]) == pytest.approx(exponent, abs=1e-12)
