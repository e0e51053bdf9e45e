"""Networks side by side from the command line: train, evaluate, resume, export, predict, and what is refused."""

import json

import numpy as np
import pytest

from layers.model import TextModel


@pytest.fixture(
    params=[
        ["heads=3"],
        ["heads=2", "char_heads=1", "char_ngrams=2-3", "shortcut=naive-bayes"],
    ],
    ids=" ".join,
)
def arguments(arguments, request):
    return [*arguments, *(word for assignment in request.param for word in ("--set", assignment))]


@pytest.fixture
def trained(tmp_path, arguments, run):
    assert run(*arguments, "--output", tmp_path / "trained")[0] == 0
    return tmp_path / "trained"


def weights_of(path):
    (file,) = (path / "checkpoints" / "best").glob("weights*.safetensors")
    return file.read_bytes()


def test_a_training_evaluates_and_predicts(trained, tmp_path, files, run):
    code, out, err = run("evaluate", trained, "--test-file", files["test"], "--json")
    assert code == 0, err
    result = json.loads((trained / "result.json").read_text())
    assert json.loads(out)["accuracy"] == pytest.approx(result["test_accuracy"], abs=1e-6)
    code, out, err = run("describe", trained)
    assert code == 0 and "3 networks side by side" in out, err
    texts = ["ball goal", "bank rate"]
    model = TextModel.open(trained)
    assert model.probabilities(texts).sum(axis=1) == pytest.approx(1, abs=1e-5)
    model.save(tmp_path / "saved")
    assert np.array_equal(TextModel.open(tmp_path / "saved").probabilities(texts), model.probabilities(texts))


def test_weights_are_exported(trained, tmp_path, run):
    code, _, err = run("export", trained, "--to", tmp_path / "half")
    assert code == 0, err
    one, other = (TextModel.open(path).probabilities(["ball goal"]) for path in (trained, tmp_path / "half"))
    assert np.allclose(one, other, atol=1e-2)


def test_a_graph_is_exported(trained, tmp_path, run):
    for extra in ("onnx", "onnxruntime"):
        pytest.importorskip(extra)
    code, out, err = run("export", trained, "--to", tmp_path / "graph", "--format", "onnx", "--json")
    assert code == 0, err
    assert all(one["largest_difference"] < 1e-5 for one in json.loads(out)["labels"].values())
    texts = ["ball goal", "bank rate", ""]
    one, other = (TextModel.open(path).probabilities(texts) for path in (trained, tmp_path / "graph"))
    assert np.allclose(one, other, atol=1e-5)


def test_what_knows_one_network_alone_is_refused(trained, run):
    code, _, err = run("trace", trained, "a goal")
    assert code == 2 and "heads" in err and err.count("\n") == 1


def test_equal_seeds_give_equal_bits(tmp_path, arguments, trained, run):
    assert run(*arguments, "--output", tmp_path / "again")[0] == 0
    assert weights_of(tmp_path / "again") == weights_of(trained)
    assert run(*arguments, "--seed", 1, "--output", tmp_path / "other")[0] == 0
    assert weights_of(tmp_path / "other") != weights_of(trained)
