"""Weights of classes, the choice of the best epoch, factors and the temperature, from training to answers."""

import json
import os
import pickle
import signal

import numpy as np
import pytest

from engine.training.calibration import tempered
from engine.training.checkpoint import load_checkpoint
from engine.training.class_factors import decide
from engine.training.interrupt import Interrupted
from engine.training.run_directory import RunDirectory
from engine.training.session import resume_run, start_run
from engine.training.trained_run import read_run_settings
from layers import TextModel
from layers.networks import CONFIGS, build_network
from tests.train.conftest import SMALL, TOPICS

SHARES = (0.72, 0.2, 0.08)
SETTINGS = [*SMALL[:4], "--epochs", "4", "--batch-size", "8", "--learning-rate", "0.02", "--vocabulary-size", "200"]
SETTINGS += ["--set", "validation_fraction=0.4"]
FIELDS = ["select=macro_f1", "decision=thresholds", "calibration=temperature"]
AGAINST = ["class_weights=given", "class_weight_values=sport=6"]  # the rare classes: factors make up for it
ALL = [part for field in (*FIELDS, *AGAINST) for part in ("--set", field)]


def noisy_rows(count, seed):
    """(label, text) rows of unequal classes, of which the words are only likely to tell the class."""
    rng, names = np.random.default_rng(seed), list(TOPICS)
    every = " ".join(TOPICS.values()).split()
    rows = []
    for label in rng.choice(names, count, p=SHARES):
        own = TOPICS[label].split()
        rows.append((label, " ".join(rng.choice(own if rng.random() < 0.5 else every) for _ in range(5))))
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imbalance")
    for split, count, seed in (("train", 300, 0), ("test", 120, 1)):
        lines = [f"{label}\t{text}\n" for label, text in noisy_rows(count, seed)]
        (folder / f"{split}.tsv").write_text("".join(lines), encoding="utf-8")
    return folder


def arguments(folder, *more):
    return ["--train-file", folder / "train.tsv", "--test-file", folder / "test.tsv", *SETTINGS, *more]


@pytest.fixture
def trained(folder, run):
    """The path of a finished run with all fields, trained once."""
    path = folder / "trained"
    if not path.exists():
        code, _, err = run(*arguments(folder, *ALL), "--output", path)
        assert code == 0, err
    return path


def result_of(path):
    return json.loads((path / "result.json").read_text(encoding="utf-8"))


def best_state(path):
    return json.loads((path / "checkpoints/best/state.json").read_text(encoding="utf-8"))


TEXTS = [text for _, text in noisy_rows(40, 2)]


def test_a_run_tells_what_it_chose_and_is_measured_by_it(trained, run):
    result, state = result_of(trained), best_state(trained)
    assert list(result["factors"].values()) == state["factors"] and set(state["factors"]) != {1.0}
    assert result["temperature"] == state["temperature"] != 1
    assert result["validation_macro_f1"] == state["progress"]["best_macro_f1"]
    weights = result["class_weights"]
    assert weights["sport"] == pytest.approx(6 * weights["food"]) and weights["food"] == weights["money"]
    code, out, _ = run("evaluate", trained, "--json")
    found = json.loads(out)
    for name in ("accuracy", "macro_f1", "calibration_error"):
        assert code == 0 and found[name] == pytest.approx(result[f"test_{name}"], rel=1e-5)
    code, out, _ = run("evaluate", trained)
    assert f"expected calibration error {100 * result['test_calibration_error']:.2f} %" in out


def test_the_probabilities_are_those_at_the_temperature(trained):
    model, state = TextModel.open(trained), best_state(trained)
    p = model.probabilities(TEXTS)
    model.network.temperature = 1.0
    assert p == pytest.approx(tempered(model.probabilities(TEXTS), state["temperature"], False), abs=1e-6)
    assert p != pytest.approx(model.probabilities(TEXTS), abs=1e-3)


def test_predict_and_text_model_follow_the_factors(trained, run):
    model, state = TextModel.open(trained), best_state(trained)
    p = model.probabilities(TEXTS)
    expected = [model.classes[c] for c in decide(p, np.array(state["factors"]))]
    assert model.predict(TEXTS) == expected
    code, out, err = run("predict", trained, "--json", "--top", "3", *TEXTS)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [row["label"] for row in rows] == expected, err
    for row in rows:  # each label with its own probability
        assert row["probability"] == row["probabilities"][row["label"]]
        assert sorted([row["label"], row["label_2"], row["label_3"]]) == model.classes


@pytest.mark.parametrize("form", ["weights", "onnx"])
def test_an_export_answers_as_the_run(trained, tmp_path, run, form):
    if form == "onnx":
        pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    code, out, err = run("export", trained, "--to", tmp_path / "out", "--format", form)
    assert code == 0 and "labels that change: 0 of 120 validation and 0 of 120 test" in out, (out, err)
    run_model, exported = TextModel.open(trained), TextModel.open(tmp_path / "out")
    assert exported.predict(TEXTS) == run_model.predict(TEXTS)
    assert exported.probabilities(TEXTS) == pytest.approx(run_model.probabilities(TEXTS), abs=2e-3)


def test_a_saved_and_a_pickled_model_answer_alike(trained, tmp_path):
    model = TextModel.open(trained)
    model.save(tmp_path / "model")
    for other in (TextModel.open(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(other.probabilities(TEXTS), model.probabilities(TEXTS))
        assert other.predict(TEXTS) == model.predict(TEXTS)


def test_an_ensemble_takes_the_mean_of_logarithms(trained, folder, tmp_path, run):
    code, _, err = run(*arguments(folder), "--output", tmp_path / "plain")
    assert code == 0, err
    code, out, err = run("evaluate", trained, "--with", tmp_path / "plain", "--json")
    assert code == 0, err
    models, labels = [TextModel.open(path) for path in (trained, tmp_path / "plain")], noisy_rows(120, 1)
    p = np.mean([model.probabilities([text for _, text in labels]) for model in models], axis=0)
    predicted = decide(p, np.sqrt(best_state(trained)["factors"]))
    right = [models[0].classes[c] == label for c, (label, _) in zip(predicted, labels)]
    assert json.loads(out)["accuracy"] == pytest.approx(np.mean(right), rel=1e-5)


def test_a_report_measures_the_same(trained, tmp_path, run):
    pytest.importorskip("matplotlib")
    code, out, err = run("report", trained, "--output", tmp_path / "report.html", "--json")
    assert code == 0, err
    (found,) = json.loads(out)["runs"]
    result = found["result"]
    assert found["measured"]["accuracy"] == pytest.approx(result["test_accuracy"], rel=1e-5)
    assert found["measured"]["expected_calibration_error"] == pytest.approx(result["test_calibration_error"], rel=1e-5)


def left_in(path):
    """All arrays of both checkpoints, and what the best one decides by."""
    found = {}
    for name, kinds in (("best", ["weights"]), ("last", ["weights", "optimizer"])):
        _, arrays = load_checkpoint(path / "checkpoints" / name, kinds)
        found.update({(name, kind, key): a.tobytes() for kind in kinds for key, a in arrays[kind].items()})
    state = best_state(path)
    return found, state["factors"], state["temperature"], result_of(path)["class_weights"]


@pytest.mark.usefixtures("signals_of_a_terminal")
def test_a_stopped_run_resumes_to_the_same_bits(trained, tmp_path):
    settings = read_run_settings(RunDirectory.open(trained), CONFIGS)

    def stop(trainer):
        if trainer.progress.step == 50:
            os.kill(os.getpid(), signal.SIGTERM)
        return {}

    quiet = {"log": lambda line: None}
    with pytest.raises(Interrupted):
        start_run(settings, build_network, tmp_path / "run", watch=stop, **quiet)
    resume_run(tmp_path / "run", CONFIGS, build_network, **quiet)
    assert left_in(tmp_path / "run") == left_in(trained)


def test_every_call_of_a_weighted_run_agrees_with_its_equation(folder, tmp_path, run):
    """And every step in float64 with that of the readable network."""
    more = [*ALL, "--set", "implementation=check", "--epochs", "1", "--set", "label_smoothing=0.1"]
    code, _, err = run(*arguments(folder, *more), "--output", tmp_path / "run")
    assert code == 0, err
    assert any("network" in name for name in result_of(tmp_path / "run")["differences"])


def test_weights_change_the_training_loss_alone(folder, tmp_path, run):
    """The losses of the first step differ; equal weights change no bit."""
    runs = {"none": [], "equal": ["class_weights=given", "class_weight_values=food=1"], "sqrt": ["class_weights=sqrt"]}
    weights, losses = {}, {}
    for name, fields in runs.items():
        more = ["--epochs", "1", *(part for field in fields for part in ("--set", field))]
        code, _, err = run(*arguments(folder, *more), "--output", tmp_path / name)
        assert code == 0, err
        _, arrays = load_checkpoint(tmp_path / name / "checkpoints/last", ["weights"])
        weights[name] = {key: array.tobytes() for key, array in arrays["weights"].items()}
        losses[name] = json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0])["loss"]
    assert weights["none"] == weights["equal"] != weights["sqrt"] and losses["none"] != losses["sqrt"]


@pytest.mark.parametrize(
    "fields, message",
    [
        (["class_weights=given", "class_weight_values=sports=2"], "no class 'sports' (did you mean 'sport'?)"),
        (["class_weights=given", "class_weight_values=sport=-2"], "expected class=number"),
        (["class_weights=given"], "values are needed"),
        (["select=f1"], "select: expected one of accuracy, macro_f1, loss"),
    ],
)
def test_wrong_fields_are_told_in_one_line(folder, tmp_path, run, fields, message):
    more = [part for field in fields for part in ("--set", field)]
    code, _, err = run(*arguments(folder, *more), "--output", tmp_path / "run")
    assert code == 2 and message in err.splitlines()[-1] and "Traceback" not in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name, value", [("factors", [1.0]), ("factors", ["a", "b", "c"]), ("temperature", 0.0)])
def test_a_damaged_decision_is_named(trained, tmp_path, run, name, value):
    TextModel.open(trained).save(tmp_path / "model")
    path = tmp_path / "model/state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    code, _, err = run("predict", tmp_path / "model", "a text")
    assert code == 2 and f"state.json: its {name}" in err and err.count("\n") == 1


def test_sets_of_labels_have_weights_and_a_temperature(tmp_path, run):
    rng, rows = np.random.default_rng(0), []
    for _ in range(160):
        labels = [name for name, share in zip(TOPICS, (0.5, 0.3, 0.1)) if rng.random() < share]
        words = [*"the a of".split(), *(rng.choice(TOPICS[name].split()) for name in labels)]
        rows.append(json.dumps({"text": " ".join(words), "labels": labels}) + "\n")
    (tmp_path / "train.jsonl").write_text("".join(rows))
    code, _, err = run(
        "--train-file",
        tmp_path / "train.jsonl",
        "--multi-label",
        *SETTINGS,
        *ALL[:6],
        "--set",
        "class_weights=sqrt",
        "--output",
        tmp_path / "run",
    )
    assert code == 0, err
    result, state = result_of(tmp_path / "run"), best_state(tmp_path / "run")
    assert result["class_weights"]["food"] > result["class_weights"]["sport"] and "factors" not in state
    assert result["temperature"] == state["temperature"] != 1 and len(state["thresholds"]) == 3
    model = TextModel.open(tmp_path / "run")
    p = model.probabilities(TEXTS)
    model.network.temperature = 1.0
    assert p == pytest.approx(tempered(model.probabilities(TEXTS), state["temperature"], True), abs=1e-5)


def test_wave_classifier_names_classes_and_follows_factors():
    pytest.importorskip("sklearn")
    from layers import WaveClassifier

    labels, texts = zip(*noisy_rows(300, 0))
    fields = dict(field.split("=") for field in FIELDS)
    given = {"class_weights": "given", "class_weight_values": "food=5, money=2"}
    small = {"dimension": 8, "hidden": 8, "epochs": 3, "batch_size": 8, "learning_rate": 0.02, "random_state": 0}
    classifier = WaveClassifier(**small, **fields, **given, validation_fraction=0.4).fit(list(texts), list(labels))
    weights = classifier.model_.network.class_weights
    assert weights / weights[2] == pytest.approx([5, 2, 1])  # food, money, sport
    p = classifier.predict_proba(TEXTS)
    expected = classifier.classes_[decide(p, classifier.model_.run.factors)]
    assert classifier.predict(TEXTS).tolist() == expected.tolist()
    with pytest.raises(ValueError, match="no class 'x'; the classes are 'food', 'money', 'sport'"):
        WaveClassifier(**small, class_weights="given", class_weight_values="x=2").fit(list(texts), list(labels))


def test_a_model_that_is_trained_again_starts_at_temperature_one(folder):
    """Else the second temperature would be fitted to probabilities that are tempered already."""
    from engine.data.config import DataConfig
    from engine.data.reading import read_corpus
    from layers.model import make_settings

    corpus, _ = read_corpus(DataConfig(train_file=str(folder / "train.tsv")))
    small = {"dimension": 8, "hidden": 8, "epochs": 2, "batch_size": 8, "step_budget": 0, "learning_rate": 0.0}
    model = TextModel.build(corpus, make_settings("quick", calibration="temperature", **small))
    first = model.train(hide_bar=True).network.temperature
    assert first != 1 and model.train(hide_bar=True).network.temperature == first
