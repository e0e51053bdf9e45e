"""Figures of both devices are rows of one form, and are shown in their units."""

import pytest

from layers.experiments.benchmark import cpu
from layers.experiments.benchmark import harness as report
from layers.experiments.benchmark.gpu import GpuBenchmark
from layers.experiments.benchmark.parts import StepLimit


@pytest.mark.parametrize("value, unit, shown", [
    (None, "ms", "-"),
    (3 * 2**20, "bytes", "3 MiB"),
    (12345.6, "tokens/s", "12,346"),
    (0.1234, "ms", "0.12"),
    (16.96, "ratio", "17.0"),
])  # fmt: skip
def test_numbers_are_shown_in_the_manner_of_their_unit(value, unit, shown):
    assert report.number(value, unit) == shown


def test_limits_are_shown_in_their_units():
    limits = {(64, "tf32"): StepLimit(2.5e9, 30e6, 0.001, 0.0005)}
    assert report.limit_table(limits).splitlines()[-1].split() == "64 tf32 2.5 30 1.00 0.50 1.50".split()


def test_each_form_of_the_peer_has_its_columns():
    benchmark = GpuBenchmark(device="cpu", with_peer=False)
    benchmark.add("step", {"ours": [2.0, 3.0, 9.0], "peer": [12.0], "compiled": [6.0]}, "ms", share_of_limit=0.5)
    benchmark.add("train", {"ours": [30.0], "compiled": [10.0]}, "tokens/s", more_is_better=True)
    step, train = benchmark.rows
    assert [step.ratio, step.compiled_ratio, train.ratio, train.compiled_ratio] == [4.0, 2.0, None, 3.0]
    assert step.spread == {"ours": (2.0, 9.0), "peer": (12.0, 12.0), "compiled": (6.0, 6.0)}
    assert step.share_of_limit == 0.5 and train.peer is None and train.compiled == 10.0
    lines = report.as_table(benchmark).splitlines()
    assert lines[2].split() == "step ms 3.00 12.00 4.0 6.00 2.0 50 %".split()
    assert lines[3].split() == "train tokens/s 30 - - 10 3.0".split() and lines[4] == report.COMPILED
    benchmark.rows = [row._replace(compiled=None) for row in benchmark.rows]
    assert "compiled" not in report.as_table(benchmark)


def test_the_axes_of_the_figure_say_what_they_show(monkeypatch):
    drawn = []
    monkeypatch.setattr(report, "write_line_plot", lambda path, x, panels, *labels: drawn.extend(panels))
    benchmark = GpuBenchmark(device="cpu", with_peer=False)
    for quantity in ("length", "batch"):
        benchmark.growth[quantity] = {"sizes": [1, 2], "seconds": {"ours": [0.1, 0.2]}}
    report.write_figure("speed.svg", benchmark)
    assert [panel.x_label for panel in drawn] == [
        f"tokens of each of {cpu.LENGTH_TEXTS} texts", f"texts of {cpu.BATCH_LENGTH} tokens in a batch"
    ]  # fmt: skip
