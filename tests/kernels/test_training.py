"""Training on a device from the command line: as on the host, repeatable, continued on either, with clear failures."""

import json
import os
import signal

import numpy as np
import pytest

import train
from engine.training import device_records
from engine.training.run_settings import build_settings
from engine.training.session import start_run
from engine.training.step import global_norm
from layers.networks import CONFIGS, build_network

WORDS = {"sport": "ball goal team win score", "money": "bank rate dollar profit stock"}
SMALL = [
    "--preset",
    "quick",
    "--dimension",
    "8",
    "--set",
    "hidden=8",
    "--epochs",
    "2",
    "--batch-size",
    "8",
    "--vocabulary-size",
    "200",
]
SMALL += [
    "--learning-rate",
    "0.02",
    "--set",
    "classifier_dropout=0",
]  # its random numbers are drawn where it acts, so they differ between devices


@pytest.fixture
def arguments(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 12)):
        rows = (
            f"{label}\t{' '.join(rng.choice(words.split(), rng.integers(1, 6)))}\n"
            for label, words in list(WORDS.items()) * (count // 2)
        )
        (tmp_path / f"{split}.tsv").write_text("".join(rows))
    return ["--train-file", str(tmp_path / "train.tsv"), "--test-file", str(tmp_path / "test.tsv"), *SMALL]


@pytest.fixture
def on_device(cuda):
    """on_device(*arguments) → (exit code, device) of train.py, with a usable CUDA device."""

    def run(*arguments):
        with cuda() as device:
            return train.main([str(a) for a in arguments]), device

    return run


def result_of(path):
    return json.loads((path / "result.json").read_text())


def metrics_of(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def weights_of(path):
    (file,) = (path / "checkpoints" / "last").glob("weights-*.safetensors")
    return file.read_bytes()


def test_a_run_on_a_device_is_as_on_the_host_and_repeatable(tmp_path, arguments, on_device):
    assert train.main([*arguments, "--output", str(tmp_path / "cpu")]) == 0
    for name in ("one", "two"):
        code, device = on_device(*arguments, "--device", "cuda", "--output", tmp_path / name)
        assert code == 0 and {"adamw_rows", "adamw_tensors", "record_missed"} <= {
            kernel for kernel, _ in device.launched
        }
    host, found = (metrics_of(tmp_path / name) for name in ("cpu", "one"))
    assert [line.keys() for line in host] == [line.keys() for line in found]
    for a, b in zip(host, found):
        assert (a["step"], a["epoch"], a["accuracy"], a["learning_rate"]) == (
            b["step"],
            b["epoch"],
            b["accuracy"],
            b["learning_rate"],
        )
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-4) and b["gradient_norm"] == pytest.approx(
            a["gradient_norm"], rel=1e-3
        )
    assert weights_of(tmp_path / "one") == weights_of(tmp_path / "two")
    host, found = result_of(tmp_path / "cpu"), result_of(tmp_path / "one")
    assert found["test_accuracy"] == host["test_accuracy"] and found["steps"] == host["steps"]
    assert (
        (found["device"], found["kernels"]) == ("cuda", "on")
        and found["peak_memory_bytes"] > 0
        and found["versions"]["cupy"]
    )
    assert found["tokens_per_second"] > 0 and "kernel_differences" not in found


@pytest.mark.parametrize("devices", [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")])
def test_a_run_stopped_on_one_device_goes_on_on_another(tmp_path, arguments, on_device, monkeypatch, devices):
    def stop(*_):
        raise KeyboardInterrupt

    for name, stopped in (("whole", False), ("stopped", True)):
        with monkeypatch.context() as patched:
            if stopped:
                patched.setattr(
                    "engine.training.trainer.Trainer.patience_is_over", lambda self: self.progress.epoch == 1 and stop()
                )
            code, _ = on_device(*arguments, "--device", devices[0], "--output", tmp_path / name)
        assert code == (130 if stopped else 0)
    code, _ = on_device("--resume", tmp_path / "stopped", "--device", devices[1])
    assert code == 0
    whole, stopped = metrics_of(tmp_path / "whole"), metrics_of(tmp_path / "stopped")
    assert [line["step"] for line in whole] == [line["step"] for line in stopped]
    assert stopped[-1]["loss"] == pytest.approx(whole[-1]["loss"], rel=1e-3)
    if devices[0] == devices[1]:
        assert weights_of(tmp_path / "whole") == weights_of(tmp_path / "stopped")


@pytest.mark.parametrize("steps", [1, 3])
def test_records_are_fetched_every_few_steps(tmp_path, arguments, on_device, monkeypatch, steps):
    monkeypatch.setattr(device_records, "STEPS", steps)
    assert on_device(*arguments, "--device", "cuda", "--output", tmp_path / "run")[0] == 0
    assert [line["step"] for line in metrics_of(tmp_path / "run")] == list(
        range(1, result_of(tmp_path / "run")["steps"] + 1)
    )


def test_what_a_watch_finds_stands_in_the_line_of_its_step(tmp_path, arguments, cuda, monkeypatch):
    """It sees the gradient of that step, though the line is written when the records of several are fetched."""

    def watch(trainer):
        return {"watched_step": trainer.progress.step, "watched_norm": global_norm(trainer.parameters)}

    monkeypatch.setattr(device_records, "STEPS", 3)
    fields = {"dimension": 8, "hidden": 8, "epochs": 2, "batch_size": 8, "vocabulary_size": 200, "clip_norm": 0.01}
    files = {"train_file": str(tmp_path / "train.tsv"), "test_file": str(tmp_path / "test.tsv")}
    with cuda():
        result = start_run(
            build_settings(CONFIGS, {**fields, **files}), build_network, tmp_path / "run", "cuda", watch=watch
        )
    lines = metrics_of(tmp_path / "run")
    assert (
        [line["watched_step"] for line in lines]
        == [line["step"] for line in lines]
        == list(range(1, result["steps"] + 1))
    )
    assert [line["watched_norm"] for line in lines] == pytest.approx(
        [line["gradient_norm"] for line in lines], rel=1e-5
    )


def test_a_loss_that_is_not_finite_is_located(tmp_path, arguments, on_device, capsys, monkeypatch):
    """By its step and the parameter at fault."""
    from layers.networks import WaveNetwork

    monkeypatch.setenv("WAVE_GRAPHS", "off")  # a step from a graph calls no function of the network

    calls, forward = [], WaveNetwork.loss_forward

    def spoilt(self, batch, train=False, rng=None):
        calls.append(train)
        if len(calls) == 2:
            self.classifier.weight.value = self.classifier.weight.value * np.float32(np.inf)
        return forward(self, batch, train, rng)

    monkeypatch.setattr(WaveNetwork, "loss_forward", spoilt)
    code, _ = on_device(*arguments, "--device", "cuda", "--output", tmp_path / "run")
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2 and error.startswith(
        "error: step 2: the loss is nan, in the value of parameter classifier.weight (layer classifier); lower"
    )
    assert [line["step"] for line in metrics_of(tmp_path / "run")] == [1]


def test_a_loss_is_explained_as_on_the_host(tmp_path, arguments, on_device, capsys, monkeypatch):
    """Though later steps have left their gradients by then."""
    from layers.networks import WaveNetwork

    monkeypatch.setenv("WAVE_GRAPHS", "off")  # a step from a graph calls no function of the network

    forward, errors = WaveNetwork.loss_forward, []

    def spoilt(self, batch, train=False, rng=None):
        calls.append(train)
        if len(calls) == 2:
            self.classifier.weight.value = self.classifier.weight.value * 0 + np.float32(3e38)
        return forward(self, batch, train, rng)

    monkeypatch.setattr(WaveNetwork, "loss_forward", spoilt)
    for run in (lambda *a: (train.main(list(map(str, a))), None), on_device):
        calls = []
        code, _ = run(
            *arguments,
            "--device",
            "cpu" if run is not on_device else "cuda",
            "--output",
            tmp_path / f"run{len(errors)}",
        )
        assert code == 2
        errors.append(capsys.readouterr().err.strip().splitlines()[-1])
    assert (
        errors[0] == errors[1]
        and "step 2: the loss is" in errors[0]
        and "of the forward pass; all parameters are finite" in errors[0]
    )


def test_a_gradient_that_is_not_finite_is_named(tmp_path, arguments, on_device, capsys, monkeypatch):
    from layers.networks import WaveNetwork

    monkeypatch.setenv("WAVE_GRAPHS", "off")  # a step from a graph calls no function of the network

    backward = WaveNetwork.backward
    monkeypatch.setattr(
        WaveNetwork, "backward", lambda self, dlogits, cache: backward(self, dlogits * np.float32(np.inf), cache)
    )
    code, _ = on_device(*arguments, "--device", "cuda", "--output", tmp_path / "run")
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2 and error.startswith(
        "error: step 1: the norm of the gradient is nan, in the gradient of parameter classifier."
    ), error


def test_a_checked_run_reports_every_kernels_worst_difference(tmp_path, arguments, on_device, monkeypatch):
    monkeypatch.setenv("WAVE_KERNELS", "check")
    assert on_device(*arguments, "--device", "cuda", "--output", tmp_path / "run")[0] == 0
    found = result_of(tmp_path / "run")["kernel_differences"]
    assert {"adamw, float32", "wave_pair backward, float32", "global_norm, float64"} <= set(found) and max(
        found.values()
    ) < 1


def test_a_trained_network_labels_texts_on_a_device(tmp_path, arguments, on_device, capsys):
    assert train.main([*arguments, "--output", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert train.main(["predict", str(tmp_path / "run"), "goal team", "bank"]) == 0
    expected = capsys.readouterr().out
    code, device = on_device("predict", tmp_path / "run", "goal team", "bank", "--device", "cuda")
    assert code == 0 and device.launched
    for line, found in zip(expected.splitlines(), capsys.readouterr().out.splitlines(), strict=True):
        assert line.split("\t")[0] == found.split("\t")[0] and float(line.split("\t")[1]) == pytest.approx(
            float(found.split("\t")[1]), abs=2e-4
        )
    assert on_device("evaluate", tmp_path / "run", "--device", "cuda")[0] == 0


def test_an_interrupted_run_has_metrics_of_every_saved_step(tmp_path, arguments, on_device, monkeypatch):
    from layers.networks import WaveNetwork

    monkeypatch.setenv("WAVE_GRAPHS", "off")  # a step from a graph calls no function of the network

    calls, forward = [], WaveNetwork.loss_forward

    def interrupted(self, batch, train=False, rng=None):
        calls.append(train)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return forward(self, batch, train, rng)

    with monkeypatch.context() as patched:
        patched.setattr(WaveNetwork, "loss_forward", interrupted)
        assert on_device(*arguments, "--device", "cuda", "--output", tmp_path / "run")[0] == 130
    assert [line["step"] for line in metrics_of(tmp_path / "run")] == [1, 2, 3]
    assert on_device("--resume", tmp_path / "run")[0] == 0
    assert on_device(*arguments, "--device", "cuda", "--output", tmp_path / "whole")[0] == 0
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")
    assert [line["step"] for line in metrics_of(tmp_path / "run")] == [
        line["step"] for line in metrics_of(tmp_path / "whole")
    ]


def test_a_kernel_that_disagrees_ends_a_run_with_one_line(tmp_path, arguments, on_device, monkeypatch, capsys):
    from layers.fast import pooling_cuda as pooling_fused

    monkeypatch.setenv("WAVE_KERNELS", "check")
    forward = pooling_fused.forward
    monkeypatch.setattr(
        pooling_fused, "forward", lambda *args, **kwargs: (forward(*args, **kwargs)[0] * 2, forward(*args, **kwargs)[1])
    )
    code, _ = on_device(*arguments, "--device", "cuda", "--output", tmp_path / "run")
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2 and error.startswith(
        "error: pooling forward: the kernel differs from its plain twin by 1e+05 times the tolerance"
    ), error
