"""Runs that another program, another version or a mischievous person may have written, and runs that were moved."""

import json

import numpy as np
import pytest
import safetensors.numpy

from engine.support.files import sha256_of
from tests.train.test_bad_input import refused


def changed_state(run_path, checkpoint, change):
    file = run_path / "checkpoints" / checkpoint / "state.json"
    state = json.loads(file.read_text(encoding="utf-8"))
    change(state)
    file.write_text(json.dumps(state))
    (run_path / "result.json").unlink()


LABELS = [[["a"], ["b"], ["c"]], [1, 2, 3], ["a\x1b[31m", "b", "c"], ["a", "b", "\ud800"], ["a", "b\0", "c"], {}, "abc"]


@pytest.mark.parametrize("labels", LABELS, ids=repr)
@pytest.mark.parametrize("command", [["predict", "ball"], ["evaluate"]], ids=lambda command: command[0])
def test_labels_that_are_none(trained, run, command, labels):
    changed_state(trained, "best", lambda state: state.update(labels=labels))
    refused(run(command[0], trained, *command[1:]), "state.json", "labels")


PROGRESS = [
    ("best_epoch", 1e308), ("best_epoch", float("nan")), ("best_epoch", -1), ("train_seconds", float("inf")),
    ("best_loss", float("nan")), ("step", 10**400), ("step", "1"), ("epoch", -1), ("batch", True), ("averaged", [1]),
]  # fmt: skip


@pytest.mark.parametrize("name, value", PROGRESS)
def test_progress_that_cannot_be(trained, run, name, value):
    changed_state(trained, "last", lambda state: state["progress"].update({name: value}))
    refused(run("--resume", trained), "state.json", "progress", name)


@pytest.mark.parametrize("progress", ["x", [[1]], ["a", "b"], 3, None, {"steps": 1}], ids=repr)
def test_progress_that_is_none(trained, run, progress):
    changed_state(trained, "last", lambda state: state.update(progress=progress))
    refused(run("--resume", trained), "state.json", "progress")
    refused(run("--resume", trained, "--epochs", "4"), "state.json", "progress")


@pytest.mark.parametrize("factors", [[[1.0], [1.0, 2.0]], "x", [1.0]], ids=repr)
def test_factors_that_are_none(trained, run, factors):
    changed_state(trained, "best", lambda state: state.update(factors=factors))
    refused(run("predict", trained, "ball"), "state.json", "factors")


@pytest.mark.parametrize(
    "name",
    ["a\0b", "../../config.toml", ["x"], "", "\ud800", "/etc/passwd", "x" * 300],
    ids=lambda name: ascii(name)[:20],
)
def test_names_of_arrays_that_are_none(trained, run, name):
    changed_state(trained, "best", lambda state: state["files"]["weights"].update(name=name))
    refused(run("predict", trained, "ball"), trained)


def keys_of_optimizer(change):
    """(parameter:key, change) of a bias and of the rows that are updated lazily."""
    names = ("classifier.bias:t", "classifier.bias:m", "embedding.table:t", "embedding.table:last")
    return [(name, change) for name in (*names, "embedding.table:v", "embedding.table:missed")]


CHANGES = {
    "missing": lambda arrays, name: arrays.pop(name),
    "of another shape": lambda arrays, name: arrays.update({name: np.zeros((3, 3, 3), arrays[name].dtype)}),
    "of another type": lambda arrays, name: arrays.update({name: np.zeros(arrays[name].shape, np.uint8)}),
    "of nobody": lambda arrays, name: arrays.update({f"x{name}": np.zeros(3)}),
}
COUNTS = [
    ("classifier.bias:t", -7), ("embedding.table:t", -7), ("embedding.table:t", 10**8), ("embedding.table:last", -7),
    ("embedding.table:last", 10**8),
]  # fmt: skip


def changed_optimizer(run_path, change):
    """The run with other arrays of its optimizer, whose digest is right, and with an epoch left to train."""
    folder = run_path / "checkpoints" / "last"
    (file,) = folder.glob("optimizer-*")
    arrays = safetensors.numpy.load_file(file)
    change(arrays)
    file.unlink()
    safetensors.numpy.save_file(arrays, file)

    def sign(state):
        state["files"]["optimizer"]["sha256"] = sha256_of(file)
        state["progress"]["epoch"] = 1

    changed_state(run_path, "last", sign)


@pytest.mark.parametrize("name, change", [pair for change in CHANGES for pair in keys_of_optimizer(change)])
def test_an_optimizer_of_another_network(trained, run, name, change):
    changed_optimizer(trained, lambda arrays: CHANGES[change](arrays, name))
    refused(run("--resume", trained), trained, "optimizer", name.partition(":")[0])


@pytest.mark.parametrize("name, count", COUNTS)
def test_an_optimizer_whose_steps_cannot_be(trained, run, name, count):
    def change(arrays):
        arrays[name] = np.full_like(arrays[name], count)

    changed_optimizer(trained, change)
    refused(run("--resume", trained), trained, "optimizer", name.partition(":")[0])


def test_a_moved_run_knows_where_it_is(trained, run):
    there = trained.with_name("there")
    trained.rename(there)
    assert json.loads(run("describe", there, "--json")[1])["result"]["run_directory"] == str(there)
    _, out, _ = run("--resume", there)
    assert f"run directory        {there}\n" in out
