"""Figures of both devices are rows of one form, and are shown in their units."""

import pytest

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


def test_each_form_of_the_peer_makes_a_row():
    benchmark = GpuBenchmark(device="cpu", with_peer=False)
    benchmark.add("step", {"ours": [2.0, 3.0, 9.0], "peer": [12.0], "compiled": [6.0]}, "ms", share_of_limit=0.5)
    benchmark.add("train", {"ours": [30.0], "compiled": [10.0]}, "tokens/s", more_is_better=True)
    named = {row.name: row for row in benchmark.rows}
    assert [named["step"].ratio, named["step_compiled"].ratio, named["train_compiled"].ratio] == [4.0, 2.0, 3.0]
    assert named["step_compiled"].spread == {"ours": (2.0, 9.0), "peer": (6.0, 6.0)}
    assert named["step"].share_of_limit == 0.5
    assert named["train"].peer is None and named["train"].spread == {"ours": (30.0, 30.0)}
