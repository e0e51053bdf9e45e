"""The benchmark of a device, run on the CPU: its figures, what they are made of, and in what form they come out."""

import contextlib
import json
import math
import types

import numpy as np
import pytest

from engine.arrays import backend
from engine.benchmark import machine
from engine.data.batching import take
from engine.support.errors import UserError
from layers.experiments.benchmark import contestants, gpu, harness, workloads
from layers.experiments.benchmark import harness as report
from layers.experiments.benchmark.contestants import OurTraining
from layers.experiments.benchmark.parts import linear_flops, step_bytes, text_sizes
from layers.experiments.benchmark.workloads import random_texts

FIGURES = ["train_3_float32", "train_6_float32", "memory_3", "memory_6", "epochs_ag_news_float32"]
ROWS = ["step_3_float32", "train_3_float32", "step_6_float32", "train_6_float32", *FIGURES[2:]]


@pytest.fixture
def tiny(small, monkeypatch):
    """The module `gpu` with few and small texts, over the small networks of `small`."""
    for name, value in {"SIZES": (3, 6), "STEPS": 2, "EPOCHS": 2, "EPOCH_TEXTS": 100}.items():
        monkeypatch.setattr(gpu, name, value)
    for name, value in {"REPEATS": 2, "COPY_ENTRIES": {"cpu": 1000}, "PRODUCT_SIZE": {"cpu": 16}}.items():
        monkeypatch.setattr(machine, name, value)
    return gpu


@pytest.fixture
def benchmark(tiny):
    """Every figure, measured without a peer."""
    benchmark = tiny.GpuBenchmark(device="cpu", repeats=3, with_peer=False)
    for measure in benchmark.figures().values():
        measure()
    return benchmark


def no_cuda(monkeypatch):
    monkeypatch.setattr(backend, "why_no_cuda", lambda: "there is no driver")


def test_every_figure_has_its_rows(benchmark):
    assert list(benchmark.figures()) == FIGURES
    assert [row.name for row in benchmark.rows] == ROWS
    units = {"step": "ms", "train": "tokens/s", "memory": "bytes", "epochs": "s"}
    for row in benchmark.rows:
        what = row.name.partition("_")[0]
        assert row.unit == units[what] and row.ours > 0 and row.peer is None and row.ratio is None
        assert row.spread.keys() == {"ours"} and row.spread["ours"][0] <= row.ours <= row.spread["ours"][1]
        for figure in (row.share_of_limit, row.share_in_products):
            assert (figure is not None and 0 < figure < 1) == (what in ("step", "train"))
        assert not row.share_of_limit or row.share_in_products < row.share_of_limit


def test_seconds_go_through_the_clock_and_become_medians(tiny):
    benchmark = tiny.GpuBenchmark(device="cpu", repeats=3, with_peer=False)
    benchmark.rates["float32"], benchmark.bandwidth = 1e15, 1e15
    fixed = iter([0.5, 0.2, 0.4])
    waits = []
    benchmark.clock = types.SimpleNamespace(
        seconds=lambda run: run() or next(fixed), synchronize=lambda: waits.append(1)
    )
    benchmark.training(3, "float32")
    assert len(waits) > 2 * len(benchmark.parts["3 float32"]), "parts did not wait for the device"
    step, train = benchmark.rows
    assert step.ours == pytest.approx(1e3 * 0.4 / tiny.STEPS) and step.spread["ours"] == pytest.approx((100, 250))
    texts = random_texts(3 * 2 * 3, seed=3)  # those of the benchmark
    rows = workloads.random_rows(texts, 6, 3)
    tokens = [sum(len(take(texts, of_batch).ids) for of_batch in rows[i : i + 2]) for i in (0, 2, 4)]
    moved = [step_bytes(workloads.config_of("paper"), *text_sizes(take(texts, of_batch))) for of_batch in rows]
    assert benchmark.limits[3, "float32"].bytes == np.median([moved[i] + moved[i + 1] for i in (0, 2, 4)]) / 2
    assert train.ours == pytest.approx(np.median([n / s for n, s in zip(tokens, [0.5, 0.2, 0.4])]))


def test_each_repeat_takes_other_batches_that_were_seen(tiny, monkeypatch):
    seen, timed = [], []
    benchmark = tiny.GpuBenchmark(device="cpu", repeats=2, with_peer=False)

    class Engine:
        def train_step(self, batch):
            seen.append(batch.ids.tobytes())
            return np.float32(1)

        def has_stopped(self):
            return False

    def seconds(run):
        before = len(seen)
        run()
        timed.extend(seen[before:])
        return 1.0

    benchmark.clock = types.SimpleNamespace(seconds=seconds, synchronize=lambda: None)
    texts = random_texts(12, 0)
    batches = workloads.random_rows(texts, 4, 3)
    run = lambda engine, i: [engine.train_step(take(texts, rows)) for rows in batches[2 * i :][:2]][-1]  # noqa: E731
    assert benchmark.timed_warm({"ours": Engine()}, run) == {"ours": [1.0, 1.0]}
    assert timed == seen[:4] == seen[4:] and len(set(timed)) == 4


@pytest.mark.parametrize("figure", ["training", "epochs"])
def test_timed_code_has_its_precision_and_compiles_nothing(tiny, monkeypatch, figure):
    within, timed = [], []

    @contextlib.contextmanager
    def entered(name):
        within.append(name)
        yield
        within.remove(name)

    monkeypatch.setattr(
        contestants, "product_precision", lambda name, device, with_peer: entered((name, device, with_peer))
    )
    monkeypatch.setattr(contestants, "without_compiling", lambda kinds: entered(list(kinds)))
    benchmark = tiny.GpuBenchmark(device="cpu", repeats=1, with_peer=False)
    benchmark.rates["tf32"], benchmark.bandwidth = 1.0, 1.0
    monkeypatch.setitem(contestants.AGREEMENT, "tf32", 0.0)
    benchmark.clock = types.SimpleNamespace(
        seconds=lambda run: timed.append(list(within)) or run() or 1.0, synchronize=lambda: None
    )
    getattr(benchmark, figure)(*([3] if figure == "training" else []), "tf32")
    assert timed == [[("tf32", "cpu", False), ["ours"]]] and not within


def test_the_limit_takes_the_measured_rates(tiny):
    benchmark = tiny.GpuBenchmark(device="cpu", with_peer=False)
    benchmark.rates["float32"], benchmark.bandwidth = 2e9, 5e9
    ours = OurTraining(workloads.build("paper", 4), "cpu")
    texts = random_texts(6, 0)
    batches = [take(texts, rows) for rows in (np.arange(3), np.arange(3, 6))]
    limit = benchmark.limit(ours, batches, "float32")
    assert limit.flops == sum(linear_flops(lambda batch=batch: ours.train_step(batch)) for batch in batches) > 0
    config = workloads.config_of("paper")
    assert limit.bytes == sum(step_bytes(config, *text_sizes(batch)) for batch in batches)
    assert limit.seconds == pytest.approx(limit.flops / 2e9 + limit.bytes / 5e9)


def test_epochs_really_run_to_their_end(tiny, monkeypatch):
    trained, ends = [], []
    train_step, end_epoch = OurTraining.train_step, OurTraining.end_epoch
    counted = lambda self, batch: trained.append(len(batch.labels)) or train_step(self, batch)  # noqa: E731
    monkeypatch.setattr(OurTraining, "train_step", counted)
    monkeypatch.setattr(OurTraining, "end_epoch", lambda self: ends.append(len(trained)) or end_epoch(self))
    benchmark = tiny.GpuBenchmark(device="cpu", with_peer=False)
    benchmark.epochs("float32")
    # 100 texts in batches of 64: two steps an epoch. At most three trial steps and one of each of four shapes before.
    assert len(ends) == 2 and ends[1] == len(trained) and ends[1] - ends[0] == 2
    assert sum(trained[-4:]) == 2 * 100 and 4 < len(trained) <= 4 + 7


def test_the_table_shows_figures_limits_and_parts(benchmark):
    table = report.as_table(benchmark)
    expected = (
        "matrix products in float32:",
        "copy:",
        "least of a step",
        "both ms",
        "ms per step of ours",
        "optimizer",
    )
    assert all(words in table for words in (*ROWS, *expected, "6 float32"))
    assert f"{1e3 * sum(benchmark.parts['6 float32'].values()):.2f}" in table.splitlines()[-1]


def test_a_table_without_steps_is_one_of_rows_and_notes(tiny):
    benchmark = tiny.GpuBenchmark(device="cpu", with_peer=False)
    benchmark.memory(3)
    benchmark.notes.append("something was left out")
    lines = report.as_table(benchmark).splitlines()
    assert len(lines) == 4 and lines[2].startswith("memory_3") and lines[3] == "note: something was left out"
    assert report.as_json_object(benchmark)["bandwidth"] is None


def test_the_json_is_plain_and_has_the_promised_form(benchmark):
    found = json.loads(json.dumps(report.as_json_object(benchmark), allow_nan=False))
    assert [row["name"] for row in found["results"]] == ROWS and found["machine"]["peer"] is None
    settings = found["settings"]
    expected = {"device": "cpu", "network": "paper", "repeats": 3, "steps_of_a_repeat": 2}
    assert expected.items() <= settings.items()
    assert found["products"][0]["precision"] == "float32" and found["bandwidth"]["bytes_per_second"] > 0
    assert [limit["texts"] for limit in found["limits"]] == [3, 6]
    assert found["parts"].keys() == {"3 float32", "6 float32"} and found["notes"] == []


def test_without_a_device_cuda_is_a_user_error(tiny, monkeypatch):
    no_cuda(monkeypatch)
    with pytest.raises(UserError, match="--device cuda: there is no driver; use --device cpu"):
        tiny.GpuBenchmark()


def on_cuda(tiny, monkeypatch):
    """As if there were a device, without touching it."""
    monkeypatch.setattr(tiny, "resolve_device", lambda name: name)
    monkeypatch.setattr(tiny, "clock_of", lambda device: None)


def test_a_device_is_measured_in_both_precisions(tiny, monkeypatch):
    on_cuda(tiny, monkeypatch)
    names = list(tiny.GpuBenchmark(with_peer=False).figures())
    assert names == [*FIGURES[:2], "train_3_tf32", "train_6_tf32", *FIGURES[2:], "epochs_ag_news_tf32"]


def test_without_pytorch_the_peer_is_left_out_or_an_error(tiny, monkeypatch):
    monkeypatch.setattr(contestants, "peer_is_installed", lambda: False)
    benchmark = tiny.GpuBenchmark(device="cpu")
    assert benchmark.kinds == ("ours",) and benchmark.notes == ["no peer: PyTorch is not installed"]
    with pytest.raises(UserError, match="--peer: PyTorch is not installed"):
        tiny.GpuBenchmark(device="cpu", with_peer=True)
    assert tiny.GpuBenchmark(device="cpu", with_peer=False).notes == []


def test_what_was_measured_must_have_been_a_training(tiny, monkeypatch, Losing):
    benchmark = tiny.GpuBenchmark(device="cpu", repeats=1, with_peer=False)
    with pytest.raises(UserError, match="not finite"):
        benchmark.timed_warm({"ours": Losing([])}, lambda engine, repeat: math.inf)
    monkeypatch.setattr(contestants, "contestant", lambda kind, network, device: Losing([1.0, math.nan]))
    with pytest.raises(UserError, match="not finite"):
        gpu.peak_memory_on("cpu", "ours", [None, None])


def test_notes_about_contestants_are_kept_once(tiny, monkeypatch):
    monkeypatch.setattr(harness, "equal_contestants", lambda *_: ({}, ["left out"]))
    benchmark, texts = tiny.GpuBenchmark(device="cpu", with_peer=False), random_texts(4, 0)
    for _ in range(2):
        benchmark.engines(texts, [np.arange(2)], "float32")
    assert benchmark.notes == ["left out"]


def test_memory_of_ours_is_that_of_the_pool(small, monkeypatch, Losing):
    log = []
    monkeypatch.setattr(gpu, "release_memory", lambda device: log.append(f"released {device}"))
    monkeypatch.setattr(
        contestants, "contestant", lambda kind, network, device: log.append(f"built {kind}") or Losing([1.0, 1.0])
    )
    monkeypatch.setattr(backend, "peak_memory_bytes", lambda device: log.append(f"read {device}") or 77)
    assert gpu.peak_memory_on("cuda", "ours", [None, None]) == 77
    assert log == ["released cuda", "built ours", "read cuda"]
    assert gpu.peak_memory_on("cpu", "peer", [None, None]) is None


def test_every_step_is_measured_against_both_forms(tiny, peer):
    benchmark = tiny.GpuBenchmark(device="cpu", repeats=1)
    assert benchmark.kinds == ("ours", "peer", "compiled") and not benchmark.notes
    benchmark.training(3, "float32")
    assert [row.name for row in benchmark.rows] == ROWS[:2]
    for row in benchmark.rows:
        assert min(row.peer, row.ratio, row.compiled, row.compiled_ratio) > 0
        assert row.spread.keys() == {"ours", "peer", "compiled"}
    assert not benchmark.notes and report.as_json_object(benchmark)["machine"]["peer"].startswith("PyTorch ")


def test_the_peer_runs_epochs_too(tiny, peer):
    benchmark = tiny.GpuBenchmark(device="cpu")
    benchmark.kinds = ("ours", "peer")
    benchmark.epochs("float32")
    (row,) = benchmark.rows
    assert row.name == "epochs_ag_news_float32" and row.peer > 0 and row.ratio == row.peer / row.ours


def test_a_pytorch_without_cuda_is_left_out_with_a_note(tiny, peer, monkeypatch):
    on_cuda(tiny, monkeypatch)
    monkeypatch.setattr(peer, "has_cuda", lambda: False)
    benchmark = tiny.GpuBenchmark()
    assert benchmark.kinds == ("ours",) and benchmark.notes == ["no peer: PyTorch is installed without a usable CUDA"]
    with pytest.raises(UserError, match="--peer: PyTorch is installed without a usable CUDA; install"):
        tiny.GpuBenchmark(with_peer=True)
    monkeypatch.setattr(peer, "has_cuda", lambda: True)
    assert tiny.GpuBenchmark().with_peer


def test_memory_of_the_peer_counts_from_an_empty_device(small, peer, monkeypatch):
    log = []
    engine = types.SimpleNamespace(train_step=lambda batch: log.append("trained") or 1.0, has_stopped=lambda: False)
    monkeypatch.setattr(gpu, "release_memory", lambda device: None)
    monkeypatch.setattr(contestants, "contestant", lambda kind, network, device: log.append("built") or engine)
    for name in ("empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(peer.torch.cuda, name, lambda name=name: log.append(name))
    monkeypatch.setattr(peer.torch.compiler, "reset", lambda: log.append("reset"))
    monkeypatch.setattr(peer.torch.cuda, "max_memory_allocated", lambda: log.append("read") or 99)
    assert gpu.peak_memory_on("cuda", "peer", [None]) == 99
    assert log == ["reset", "empty_cache", "reset_peak_memory_stats", "built", "trained", "read"]
