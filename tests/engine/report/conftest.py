"""Run directories as a training leaves them, without the training."""

import numpy as np
import pytest

from engine.report.runs import read_runs
from engine.support.files import write_json
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import build_settings
from layers.networks import CONFIGS


def metrics(steps, epochs, seed):
    """Lines of metrics.jsonl, each epoch ending with what was measured of the validation texts."""
    rng = np.random.default_rng(seed)
    lines = []
    for step in range(1, steps + 1):
        line = {
            "step": step,
            "epoch": -(-step * epochs // steps),
            "loss": float(rng.uniform(0.1, 2)),
            "accuracy": float(rng.uniform(0, 1)),
        }
        line |= {
            "learning_rate": 1e-3 * step / steps,
            "gradient_norm": float(rng.uniform(0.5, 5)),
            "tokens_per_second": 1e5,
        }
        if step % (steps // epochs) == 0:
            line |= {"validation_accuracy": float(rng.uniform(0.5, 1)), "validation_loss": float(rng.uniform(0.1, 1))}
        lines.append(line)
    return lines


def result(steps, epochs, seed, classes):
    rows = [{"name": name, "texts": 10, "precision": 0.5, "recall": 0.25, "f1": 1 / 3} for name in classes]
    return {
        "test_accuracy": 0.8 + seed / 100, "test_macro_f1": 0.7, "validation_accuracy": 0.9, "train_seconds": 12.5,
        "tokens_per_second": 123456.7, "parameters": 98765, "peak_memory_bytes": 2**20, "seed": seed, "device": "cpu",
        "epochs": epochs, "best_epoch": 1, "steps": steps, "classes": rows, "run_directory": "elsewhere",
        "texts": {"training": 1234, "validation": 56, "test": 20},
    }  # fmt: skip


@pytest.fixture
def make_run(tmp_path):
    """make_run(name, steps, epochs, finished, classes, device, **settings) → the path of a run directory."""

    def make(name="run", steps=40, epochs=2, finished=True, classes=("a", "b"), device="cpu", **fields):
        settings = build_settings(CONFIGS, {"corpus": "r8", "epochs": epochs, **fields})
        directory = RunDirectory.create(tmp_path / name)
        directory.write_config({"run": {"version": "1", "device": device}, **settings.sections()})
        directory.append_metrics(metrics(steps, epochs, settings.training.seed))
        if finished:
            write_json(directory.result_file, result(steps, epochs, settings.training.seed, classes))
        return directory.path

    return make


@pytest.fixture
def read():
    """read(*paths) → Runs."""
    return lambda *paths: read_runs(paths, CONFIGS)
