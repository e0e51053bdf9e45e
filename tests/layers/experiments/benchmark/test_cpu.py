"""The figures of the benchmark: what they count, and in what form they come out."""

import json
import statistics

import numpy as np
import pytest

from engine.support.errors import UserError
from layers.experiments.benchmark import contestants, workloads
from layers.experiments.benchmark import harness as report
from layers.experiments.benchmark.contestants import OurTraining
from layers.experiments.benchmark.cpu import CpuBenchmark
from layers.experiments.benchmark.parts import linear_flops, seconds_per_part
from layers.networks import PlannedWaveNetwork as WaveNetwork
from layers.networks import WaveNetworkConfig
from layers.networks.text_classifier import example_batch

IN_PROCESS = [
    "train_d768", "train_d128", "train_d768_interference", "train_paper", "train_paper_interference",
    "train_paper_residual", "predict_bulk_d768", "predict_one_d128", "length_exponent", "batch_exponent",
]  # fmt: skip


def measured(names=IN_PROCESS):
    benchmark = CpuBenchmark(repeats=2, with_peer=False)
    for name in names:
        benchmark.figures()[name]()
    return benchmark


def test_every_figure_is_a_row_of_its_name(small):
    benchmark = measured()
    assert [row.name for row in benchmark.rows] == IN_PROCESS
    apart = ["memory_train_d768", "memory_train_paper", "first_step"]
    assert list(benchmark.figures()) == [*IN_PROCESS[:8], *apart, *IN_PROCESS[8:]]
    for row in benchmark.rows:
        assert np.isfinite(row.ours) and row.peer is None and row.ratio is None
        assert (row.share_of_limit is None) == (row.unit != "tokens/s")
        assert (row.share_in_products is None) == (not row.name.startswith("train_"))


def test_a_speed_and_its_limit_are_medians_of_the_repeats(small):
    benchmark = CpuBenchmark(with_peer=False)
    benchmark.rates[1024, 8] = 6e9
    benchmark.add_speed("figure", "d128", True, [100, 300, 200], {"ours": [1.0, 1.0, 1.0], "peer": [10.0, 10.0, 100.0]})
    (row,) = benchmark.rows
    assert (row.ours, row.peer, row.ratio) == (200, 10, 20)
    assert row.spread == {"ours": (100, 300), "peer": (2, 30)}
    # Two 8×8 maps, three products each, a multiplication and an addition per weight.
    assert row.share_of_limit == pytest.approx(200 / (6e9 / (2 * 3 * 2 * 64)))


def test_less_is_better_for_what_is_no_speed(small):
    benchmark = CpuBenchmark(with_peer=False)
    benchmark.add("figure", {"ours": [2.0, 4.0, 3.0], "peer": [30.0]}, "ms")
    assert benchmark.rows[0][:6] == ("figure", 3.0, 30.0, 10.0, None, "ms")


@pytest.mark.parametrize("hidden", [0, 7])
def test_operations_of_linear_maps_follow_from_their_rows(hidden):
    config = WaveNetworkConfig(dimension=4, hidden=hidden, readout="magnitude", operation="interference")
    training = OurTraining(WaveNetwork(config, 30, 3))
    batch = example_batch(30, 3, [5, 9, 1])
    distinct = len(set(batch.ids.tolist()))
    entries = sum(len(set(batch.ids[a:b].tolist())) for a, b in zip(batch.offsets, batch.offsets[1:]))
    expected = 6 * (distinct * 2 * 4 * 4 + entries * 2 * 4 * hidden + 3 * 4 * 3)
    assert linear_flops(lambda: training.train_step(batch)) == expected
    forward, all_ways = (workloads.product_flops(config, train) for train in (False, True))
    assert all_ways == 3 * forward == 12 * (16 + 4 * hidden)


def test_parts_add_up_to_the_whole_and_name_every_layer(small):
    texts = small.load_texts("r8")
    training = OurTraining(workloads.build("paper", 3))
    parts = seconds_per_part(training, texts.train, workloads.random_rows(texts.train, 2, 8))
    names = [
        "blocks.0.first_variant",
        "blocks.0.wave_norm",
        "blocks.0.feed_forward",
        "waves",
        "pooling",
        "loss",
    ]
    assert {f"{name} {way}" for name in names for way in ("forward", "backward")} <= parts.keys()
    assert {
        "optimizer",
        "data",
        "distinct tokens",
        "embedding forward",
        "norm of the gradient",
        "other",
    } <= parts.keys()
    assert all(seconds > 0 for seconds in parts.values())


def test_the_json_has_the_promised_form(small):
    benchmark = measured()
    found = json.loads(json.dumps(report.as_json_object(benchmark)))
    assert found["machine"]["processor"] and found["machine"]["peer"] is None
    assert [row["name"] for row in found["results"]] == IN_PROCESS
    assert {"name", "ours", "peer", "ratio", "share_of_limit", "unit"} <= found["results"][0].keys()
    assert list(found["parts"]) == [name.removeprefix("train_") for name in IN_PROCESS if name.startswith("train_")]
    assert found["growth"]["length"]["sizes"] == [2, 8] and len(found["growth"]["batch"]["seconds"]["ours"]) == 2


def test_the_table_shows_every_figure_and_part(small):
    benchmark = measured(["train_paper", "train_paper_residual", "predict_one_d128", "batch_exponent"])
    table = report.as_table(benchmark)
    for words in (
        "train_paper",
        "train_paper_residual",
        "predict_one_d128",
        "batch_exponent",
        "ms by batch",
        "waves forward",
        "GFLOP/s",
        "all",
    ):
        assert words in table
    total = sum(benchmark.parts["paper"].values())
    assert f"{1e3 * total:.2f}" in table.splitlines()[-1]


def test_without_pytorch_a_peer_is_an_error_or_a_note(small, monkeypatch):
    monkeypatch.setattr(contestants, "peer_is_installed", lambda: False)
    with pytest.raises(UserError, match="--peer: PyTorch is not installed; run pip install -e .*, or leave --peer out"):
        CpuBenchmark(with_peer=True)
    assert CpuBenchmark().with_peer is False and CpuBenchmark().notes == ["no peer: PyTorch is not installed"]


def test_the_compiled_peer_is_measured_in_trainings_alone(small, peer, monkeypatch):
    """All that it trains while the clock runs is compiled before."""
    benchmark = CpuBenchmark(repeats=3)
    for name in ("train_d128", "predict_one_d128", "batch_exponent"):
        benchmark.figures()[name]()
    train, predict, growth = benchmark.rows
    assert train.peer > 0 and train.compiled > 0 and train.compiled_ratio == train.ours / train.compiled
    assert predict.peer > 0 and growth.peer is not None and predict.compiled is growth.compiled is None
    assert not benchmark.notes and report.as_json_object(benchmark)["machine"]["peer"].endswith("eager and compiled")


def test_without_a_compiler_a_line_says_so(small, peer, monkeypatch):
    monkeypatch.setattr(report, "why_not_compiled", contestants.why_not_compiled)
    monkeypatch.setenv("CXX", "no-such-compiler")
    benchmark = CpuBenchmark()
    assert list(benchmark.kinds) == ["ours", "peer"]
    assert benchmark.notes == ["no compiled peer: there is no C++ compiler (no-such-compiler)"]
    assert contestants.why_not_compiled("cuda") is None


def test_medians_and_not_means_are_compared(small):
    benchmark = CpuBenchmark(with_peer=False)
    benchmark.add("figure", {"ours": [1.0, 1.0, 100.0]}, "ms")
    assert benchmark.rows[0].ours == statistics.median([1.0, 1.0, 100.0]) == 1.0
