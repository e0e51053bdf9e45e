"""Trainings on a device from the command line: as on the host, repeatable, continued on either, with honest errors."""

import json
import os
import signal

import numpy as np
import pytest

import train
from engine.training import step as step_module
from engine.training.checkpoint import load_checkpoint
from engine.training.run_settings import build_settings
from engine.training.session import start_run
from engine.training.step import global_norm
from layers.fast import bag_pooling_cuda
from layers.networks import CONFIGS, PlannedWaveNetwork, build_network
from tests.support.launches import SEGMENTS, UPDATE

pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")

WORDS = {"sport": "ball goal team win score", "money": "bank rate dollar profit stock"}
# Without dropout of the classifier: its numbers are drawn where it acts, so they differ between devices.
SMALL = (
    "--preset quick --dimension 8 --set hidden=8 --epochs 2 --batch-size 8 --vocabulary-size 200 "
    "--learning-rate 0.02 --set classifier_dropout=0"
).split()


@pytest.fixture
def arguments(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 12)):
        lines = []
        for label, words in list(WORDS.items()) * (count // 2):
            lines.append(f"{label}\t{' '.join(rng.choice(words.split(), rng.integers(1, 6)))}\n")
        (tmp_path / f"{split}.tsv").write_text("".join(lines))
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


def last_line(capsys):
    return capsys.readouterr().err.strip().splitlines()[-1]


def steps_of(path):
    return [line["step"] for line in metrics_of(path)]


def weights_of(path):
    (file,) = (path / "checkpoints" / "last").glob("weights-*.safetensors")
    return file.read_bytes()


def test_a_run_on_a_device_is_that_of_the_host_and_repeats(tmp_path, arguments, on_device):
    assert train.main([*arguments, "--output", str(tmp_path / "cpu")]) == 0
    for name in ("one", "two"):
        code, device = on_device(*arguments, "--device", "cuda", "--output", tmp_path / name)
        assert code == 0 and UPDATE <= {kernel for kernel, _ in device.launched}
    host, found = (metrics_of(tmp_path / name) for name in ("cpu", "one"))
    assert [line.keys() for line in host] == [line.keys() for line in found]
    for a, b in zip(host, found):
        assert all(a[name] == b[name] for name in ("step", "epoch", "accuracy", "learning_rate"))
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-4)
        assert b["gradient_norm"] == pytest.approx(a["gradient_norm"], rel=1e-3)
    assert weights_of(tmp_path / "one") == weights_of(tmp_path / "two")
    host, found = result_of(tmp_path / "cpu"), result_of(tmp_path / "one")
    assert found["test_accuracy"] == host["test_accuracy"] and found["steps"] == host["steps"]
    assert (found["device"], found["implementation"]) == ("cuda", "fast") and found["versions"]["cupy"]
    assert found["peak_memory_bytes"] > 0 and found["tokens_per_second"] > 0
    assert not [field for field in found if "differences" in field]


def test_several_labels_train_on_a_device_as_on_the_host(tmp_path, on_device):
    """With the same share of right sets in every step, and the same thresholds."""
    rng, lines = np.random.default_rng(0), []
    for _ in range(60):
        labels = [label for label in WORDS if rng.random() < 0.5]
        words = [word for label in labels for word in rng.choice(WORDS[label].split(), 3)]
        lines.append(f"{','.join(labels)}\t{' '.join(['the', *words])}\n")
    (tmp_path / "train.tsv").write_text("label\ttext\n" + "".join(lines))
    arguments = ["--train-file", tmp_path / "train.tsv", "--multi-label", *SMALL]
    assert train.main([*map(str, arguments), "--output", str(tmp_path / "cpu")]) == 0
    code, device = on_device(*arguments, "--device", "cuda", "--output", tmp_path / "cuda")
    kernels = {kernel for kernel, _ in device.launched}
    assert code == 0 and {"sigmoid_cross_entropy_forward", "sigmoid_cross_entropy_backward"} <= kernels
    for a, b in zip(metrics_of(tmp_path / "cpu"), metrics_of(tmp_path / "cuda"), strict=True):
        assert a["accuracy"] == b["accuracy"] and b["loss"] == pytest.approx(a["loss"], rel=1e-4)
    host, found = result_of(tmp_path / "cpu"), result_of(tmp_path / "cuda")
    assert found["thresholds"] == host["thresholds"]
    assert found["validation_micro_f1"] == pytest.approx(host["validation_micro_f1"])


def test_a_mean_of_weights_on_a_device_is_that_of_the_host(tmp_path, arguments, on_device):
    """Taken at validations within epochs."""
    arguments = [*arguments, "--set", "validations=2", "--set", "averaging=0.6"]
    assert train.main([*arguments, "--output", str(tmp_path / "cpu")]) == 0
    assert on_device(*arguments, "--device", "cuda", "--output", tmp_path / "cuda")[0] == 0
    for a, b in zip(metrics_of(tmp_path / "cpu"), metrics_of(tmp_path / "cuda"), strict=True):
        assert a.keys() == b.keys() and a.get("averaged_accuracy") == b.get("averaged_accuracy")
        assert b.get("averaged_loss", 0) == pytest.approx(a.get("averaged_loss", 0), rel=1e-4)
    means = [load_checkpoint(tmp_path / name / "checkpoints" / "last", ("average",))[1] for name in ("cpu", "cuda")]
    for name, host in means[0]["average"].items():
        np.testing.assert_allclose(means[1]["average"][name], host, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("devices", [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")])
def test_a_run_stopped_on_one_device_goes_on_on_another(tmp_path, arguments, on_device, monkeypatch, devices):
    def stop(*_):
        raise KeyboardInterrupt

    for name, stopped in (("whole", False), ("stopped", True)):
        with monkeypatch.context() as patched:
            if stopped:
                over = lambda self: self.progress.epoch == 1 and stop()  # noqa: E731
                patched.setattr("engine.training.trainer.Trainer.patience_is_over", over)
            code, _ = on_device(*arguments, "--device", devices[0], "--output", tmp_path / name)
        assert code == (130 if stopped else 0)
    code, _ = on_device("--resume", tmp_path / "stopped", "--device", devices[1])
    assert code == 0
    whole, stopped = metrics_of(tmp_path / "whole"), metrics_of(tmp_path / "stopped")
    assert steps_of(tmp_path / "whole") == steps_of(tmp_path / "stopped")
    assert stopped[-1]["loss"] == pytest.approx(whole[-1]["loss"], rel=1e-3)
    if devices[0] == devices[1]:
        assert weights_of(tmp_path / "whole") == weights_of(tmp_path / "stopped")


@pytest.mark.parametrize("steps", [1, 3])
def test_records_are_fetched_every_few_steps(tmp_path, arguments, on_device, monkeypatch, steps):
    monkeypatch.setattr(step_module, "STEPS", steps)
    assert on_device(*arguments, "--device", "cuda", "--output", tmp_path / "run")[0] == 0
    assert steps_of(tmp_path / "run") == list(range(1, result_of(tmp_path / "run")["steps"] + 1))


def test_what_a_watch_finds_stands_in_the_line_of_its_step(tmp_path, arguments, cuda, monkeypatch):
    """It sees the gradient of that step, though the line is written when the records of several are fetched."""

    def watch(trainer):
        return {"watched_step": trainer.progress.step, "watched_norm": global_norm(trainer.parameters)}

    monkeypatch.setattr(step_module, "STEPS", 3)
    fields = {"dimension": 8, "hidden": 8, "epochs": 2, "batch_size": 8, "vocabulary_size": 200, "clip_norm": 0.01}
    files = {"train_file": str(tmp_path / "train.tsv"), "test_file": str(tmp_path / "test.tsv")}
    with cuda():
        known = build_settings(CONFIGS, {**fields, **files})
        result = start_run(known, build_network, tmp_path / "run", "cuda", watch=watch)
    lines = metrics_of(tmp_path / "run")
    assert steps_of(tmp_path / "run") == list(range(1, result["steps"] + 1)) == [line["watched_step"] for line in lines]
    norms = [line["gradient_norm"] for line in lines]
    assert [line["watched_norm"] for line in lines] == pytest.approx(norms, rel=1e-5)


@pytest.fixture
def before_step(monkeypatch):
    """before_step(number, action): action(network) is called before forward of that step."""
    monkeypatch.setenv("WAVE_GRAPHS", "off")  # a step from a graph calls no function of the network
    forward = PlannedWaveNetwork.loss_forward

    def set_up(number, action, patch=monkeypatch):
        calls = []

        def spoilt(self, batch, train=False, rng=None):
            calls.append(train)
            if len(calls) == number:
                action(self)
            return forward(self, batch, train, rng)

        patch.setattr(PlannedWaveNetwork, "loss_forward", spoilt)

    return set_up


def fill_classifier(number):
    """An action that makes every weight of the classifier that number."""

    def fill(network):
        network.classifier.weight.value = network.classifier.weight.value * 0 + np.float32(number)

    return fill


def test_numbers_not_finite_are_found_with_step_and_place(tmp_path, arguments, on_device, capsys, before_step):
    before_step(2, fill_classifier(np.inf))
    code, _ = on_device(*arguments, "--device", "cuda", "--output", tmp_path / "run")
    expected = "error: step 2: the loss is nan, in the value of parameter classifier.weight (layer classifier); lower"
    assert code == 2 and last_line(capsys).startswith(expected)
    assert steps_of(tmp_path / "run") == [1]


def test_a_loss_is_explained_as_on_the_host(tmp_path, arguments, on_device, capsys, before_step):
    """Although later steps have left their gradients."""
    errors = []
    for device in ("cpu", "cuda"):
        before_step(2, fill_classifier(3e38))
        chosen = ("--device", device, "--output", str(tmp_path / device))
        code = train.main([*arguments, *chosen]) if device == "cpu" else on_device(*arguments, *chosen)[0]
        assert code == 2
        errors.append(last_line(capsys))
    assert errors[0] == errors[1] and "step 2: the loss is" in errors[0]
    assert "of the forward pass; all parameters are finite" in errors[0]


def test_a_gradient_that_is_not_finite_is_named(tmp_path, arguments, on_device, capsys, monkeypatch):
    monkeypatch.setenv("WAVE_GRAPHS", "off")  # a step from a graph calls no function of the network
    backward = PlannedWaveNetwork.backward

    def infinite(self, dlogits, cache):
        backward(self, dlogits * np.float32(np.inf), cache)

    monkeypatch.setattr(PlannedWaveNetwork, "backward", infinite)
    code, _ = on_device(*arguments, "--device", "cuda", "--output", tmp_path / "run")
    expected = "error: step 1: the norm of the gradient is nan, in the gradient of parameter classifier."
    error = last_line(capsys)
    assert code == 2 and error.startswith(expected), error


def test_a_checked_run_reports_the_worst_differences(tmp_path, arguments, on_device):
    checked = (*arguments, "--set", "implementation=check")
    assert on_device(*checked, "--device", "cuda", "--output", tmp_path / "run")[0] == 0
    result = result_of(tmp_path / "run")
    found = result["differences"]
    assert result["implementation"] == "check" and max(found.values()) < 1
    assert {"adamw, float32", "wave_pair backward, float32", "global_norm, float64"} <= set(found)
    assert "network: gradient of embedding.table, float64" in found


def test_the_equations_train_on_a_device_without_kernels(tmp_path, arguments, on_device, monkeypatch):
    """The environment takes precedence over the field."""
    monkeypatch.setenv("WAVE_IMPLEMENTATION", "equations")
    assert train.main([*arguments, "--output", str(tmp_path / "cpu")]) == 0
    chosen = (*arguments, "--set", "implementation=fast", "--device", "cuda", "--output", tmp_path / "run")
    code, device = on_device(*chosen)
    assert code == 0 and {kernel for kernel, _ in device.launched} <= SEGMENTS
    assert result_of(tmp_path / "run")["implementation"] == "equations"
    losses = [[line["loss"] for line in metrics_of(tmp_path / name)] for name in ("run", "cpu")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_trained_network_labels_texts_on_a_device(tmp_path, arguments, on_device, capsys):
    assert train.main([*arguments, "--output", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert train.main(["predict", str(tmp_path / "run"), "goal team", "bank"]) == 0
    expected = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    code, device = on_device("predict", tmp_path / "run", "goal team", "bank", "--device", "cuda")
    assert code == 0 and device.launched
    found = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in found] == [line[0] for line in expected]
    assert [float(line[1]) for line in found] == pytest.approx([float(line[1]) for line in expected], abs=2e-4)
    assert on_device("evaluate", tmp_path / "run", "--device", "cuda")[0] == 0


def test_an_interrupted_run_has_metrics_of_its_steps(tmp_path, arguments, on_device, monkeypatch, before_step):
    with monkeypatch.context() as patched:
        before_step(3, lambda network: os.kill(os.getpid(), signal.SIGINT), patched)
        assert on_device(*arguments, "--device", "cuda", "--output", tmp_path / "run")[0] == 130
    assert steps_of(tmp_path / "run") == [1, 2, 3]
    assert on_device("--resume", tmp_path / "run")[0] == 0
    assert on_device(*arguments, "--device", "cuda", "--output", tmp_path / "whole")[0] == 0
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")
    assert steps_of(tmp_path / "run") == steps_of(tmp_path / "whole")


def test_a_difference_ends_a_checked_run_with_one_line(tmp_path, arguments, on_device, monkeypatch, capsys):
    forward = bag_pooling_cuda.forward

    def doubled(*given):
        y, cache = forward(*given)
        return y * 2, cache

    monkeypatch.setenv("WAVE_IMPLEMENTATION", "check")
    monkeypatch.setattr(bag_pooling_cuda, "forward", doubled)
    code, _ = on_device(*arguments, "--device", "cuda", "--output", tmp_path / "run")
    expected = "error: bag_pooling forward: the implementation differs from the equation by 1e+05 times the tolerance"
    error = last_line(capsys)
    assert code == 2 and error.startswith(expected), error
