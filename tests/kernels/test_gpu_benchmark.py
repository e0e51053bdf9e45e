"""The benchmark of a device on a device: every figure of ours, and nothing that is timed waits for it."""

import pytest

from engine.benchmark import machine as devices
from engine.benchmark.timing import HostClock
from layers.experiments.benchmark import gpu, workloads
from layers.experiments.benchmark import harness as report


class WatchingClock(HostClock):
    """Notes what waited for the emulated device while the clock ran."""

    def __init__(self, waits):
        self.waits, self.stalls = waits, []

    def seconds(self, run):
        before = len(self.waits)
        seconds = super().seconds(run)
        self.stalls += self.waits[before:]
        return seconds


@pytest.fixture
def tiny(monkeypatch):
    for name, value in {"SIZES": (4,), "STEPS": 1, "EPOCHS": 1, "EPOCH_TEXTS": 70}.items():
        monkeypatch.setattr(gpu, name, value)
    for name, value in {"COPY_ENTRIES": {"cuda": 1000}, "PRODUCT_SIZE": {"cuda": 16}}.items():
        monkeypatch.setattr(devices, name, value)
    monkeypatch.setattr(workloads, "VOCABULARY", 100)
    monkeypatch.setitem(workloads.NETWORKS, "paper", {**workloads.NETWORKS["paper"], "dimension": 8, "hidden": 8})


@pytest.mark.parametrize("figure, rows", [("train_4_float32", 2), ("epochs_ag_news_float32", 1)])
def test_nothing_that_is_timed_waits_for_the_device(cuda, tiny, monkeypatch, figure, rows):
    with cuda() as device:
        if device.waits is not None:  # emulated: it has no events
            monkeypatch.setattr(gpu, "clock_of", lambda name: WatchingClock(device.waits))
        benchmark = gpu.GpuBenchmark("cuda", repeats=1, with_peer=False)
        benchmark.figures()[figure]()
        assert len(benchmark.rows) == rows and all(row.ours > 0 for row in benchmark.rows)
        assert not getattr(benchmark.clock, "stalls", [])
        assert figure in report.as_table(benchmark) and device.launched
