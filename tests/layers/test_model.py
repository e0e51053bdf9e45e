"""TextModel: the Python interface."""

import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest

import layers
from engine.data.texts import Corpus, LabelledTexts
from engine.support.errors import UserError
from engine.training.trainer import Trainer
from layers import TextModel, make_settings
from tests.support.paths import ROOT
from tests.train.conftest import files, run, topic_texts  # noqa: F401 (two of them fixtures)

pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")

FIELDS = {"dimension": 8, "epochs": 3, "learning_rate": 0.01, "batch_size": 8}
TEXTS = ["ball and goal", "bank rate", "", "baking bread with salt"]


def corpus_of(count=60, name="mine"):
    labels, texts = zip(*topic_texts(count, 0))
    return Corpus(name, LabelledTexts(list(texts), list(labels)))


@pytest.fixture(scope="module")
def model():
    return TextModel.build(corpus_of(), make_settings(**FIELDS)).train()


def test_importing_layers_imports_nothing_else():
    program = "import layers, sys; print(sorted(name for name in sys.modules if name in ('numpy', 'engine')))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = layers.nothing


def test_without_scikit_learn_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "layers.estimator", raising=False)
    with pytest.raises(
        ImportError, match=r"WaveClassifier needs scikit-learn [^\n]*run pip install -e '\.\[sklearn\]'$"
    ):
        _ = layers.WaveClassifier


def test_training_writes_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = TextModel.build(corpus_of(), make_settings(**FIELDS))
    before = model.probabilities(TEXTS)
    model.train()
    assert list(tmp_path.iterdir()) == [] and not np.allclose(before, model.probabilities(TEXTS))
    assert [line["step"] for line in model.metrics] == list(range(1, len(model.metrics) + 1))


def test_ctrl_c_ends_a_training_as_it_ends_any_call(monkeypatch):
    step = Trainer.train_step

    def pressing(self, *given):
        signal.raise_signal(signal.SIGINT)
        step(self, *given)

    monkeypatch.setattr(Trainer, "train_step", pressing)
    with pytest.raises(KeyboardInterrupt):
        TextModel.build(corpus_of(), make_settings(**FIELDS)).train()


def test_it_ends_as_a_run_directory_does(tmp_path, run, files, model):  # noqa: F811
    """Same texts, settings and seed: the same probabilities to the bit."""
    fields = [f"--set={name}={value}" for name, value in FIELDS.items()]
    assert run("--train-file", files["train"], *fields, "--output", tmp_path / "run")[0] == 0
    opened = TextModel.open(tmp_path / "run")
    assert opened.classes == model.classes
    np.testing.assert_array_equal(opened.probabilities(TEXTS), model.probabilities(TEXTS))


def test_the_best_epoch_is_kept(model):
    validated = [line for line in model.metrics if "validation_accuracy" in line]
    assert len(validated) == FIELDS["epochs"]
    best = max(validated, key=lambda line: (line["validation_accuracy"], -line["validation_loss"]))
    validation = model.data.validation
    model.predict(TEXTS)  # a predictor is made at first use
    p = model.predictor.of_batches([validation])
    assert np.mean(p.argmax(axis=1) == validation.labels) == best["validation_accuracy"]


@pytest.mark.parametrize("precision, tolerance", [("float32", 0), ("float16", 2e-3)])
def test_a_saved_model_opens_again(tmp_path, run, model, precision, tolerance):  # noqa: F811
    model.save(tmp_path / "saved", precision)
    again = TextModel.open(tmp_path / "saved")
    np.testing.assert_allclose(again.probabilities(TEXTS), model.probabilities(TEXTS), rtol=0, atol=tolerance)
    assert again.predict(TEXTS) == model.predict(TEXTS)
    code, out, _ = run("predict", tmp_path / "saved", *TEXTS)
    assert code == 0 and [line.split("\t")[0] for line in out.splitlines()] == model.predict(TEXTS)
    with pytest.raises(UserError, match="holds something already"):
        model.save(tmp_path / "saved")
    with pytest.raises(ValueError, match="opened, not built"):
        again.train()


def test_a_saved_model_names_no_corpus_of_ours(tmp_path, run, model):  # noqa: F811
    """Else `evaluate` would measure it on the test texts of r8."""
    model.save(tmp_path / "saved")
    code, _, err = run("evaluate", tmp_path / "saved")
    assert code == 2 and err.count("\n") == 1 and "mine" in err


def test_a_pickle_keeps_the_predictions(model):
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.probabilities(TEXTS), model.probabilities(TEXTS))
    assert again.metrics == model.metrics and again.data is None


def test_a_vocabulary_with_sentences_is_kept(tmp_path):
    """That and learned places are no files of their own."""
    fields = {**FIELDS, "max_tokens": 16, "hidden": 8, "vocabulary_size": 100, "validation_fraction": 0.1, "epochs": 1}
    model = TextModel.build(corpus_of(24), make_settings("paper", **fields)).train()
    model.save(tmp_path / "saved")
    again = pickle.loads(pickle.dumps(model))
    for other in (again, TextModel.open(tmp_path / "saved")):
        np.testing.assert_array_equal(other.probabilities(TEXTS), model.probabilities(TEXTS))


def test_few_texts_are_all_trained_on():
    assert TextModel.build(corpus_of(9), make_settings(**FIELDS)).data.validation is None
    assert TextModel.build(corpus_of(15), make_settings(**FIELDS)).data.validation is not None


def test_bad_settings_are_named():
    with pytest.raises(UserError, match=r"unknown field 'dimensions' \(did you mean 'dimension'\?\)"):
        make_settings(dimensions=3)
