"""Ensembles of runs, against the same worked out from each run alone."""

import dataclasses
import gc
import json
import weakref
from contextlib import nullcontext

import numpy as np
import pytest

from engine.data.prepare import encode_labelled
from engine.data.reading import read_test_texts
from engine.support.errors import UserError
from engine.sweep.baselines import measure_ensemble, require_same_texts
from engine.training import ensemble as ensemble_module
from engine.training.ensemble import evaluate_ensemble
from engine.training.evaluation import ClassRow, Evaluation, evaluate, predict_probabilities
from engine.training.run_settings import build_settings
from engine.training.session import start_run
from engine.training.trained_run import open_run
from layers.networks import CONFIGS, build_network

SMALL = {"dimension": 6, "hidden": 6, "batch_size": 8, "learning_rate": 0.02, "validation_fraction": 0.2}
DIFFERENT = [
    {"seed": 0, "epochs": 2, "vocabulary_size": 200},
    {"seed": 1, "epochs": 1, "tokens": "words", "ngrams": 2, "max_tokens": 3},
    {"seed": 2, "epochs": 1, "vocabulary_size": 60, "model": "transformer", "dimension": 6, "heads": 2},
]


def write(path, classes, count):
    rng = np.random.default_rng(count)
    words = {label: text.split() for label, text in classes.items()}
    rows = ((label, " ".join(rng.choice(words[label], 4))) for label in list(classes) * (count // len(classes)))
    path.write_text("".join(f"{label}\t{text}\n" for label, text in rows))
    return str(path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of three runs of one corpus, with vocabularies and networks of their own, and of one of other classes."""
    folder = tmp_path_factory.mktemp("runs")
    topics = {"a": "red green blue sea", "b": "one two three sea"}
    files = {
        f"{name}_file": write(folder / f"{name}.tsv", topics, count) for name, count in (("train", 40), ("test", 30))
    }
    other = {
        f"{name}_file": write(folder / f"other {name}.tsv", {"a": "red green", "c": "one two"}, 40)
        for name in ("train", "test")
    }
    paths = []
    for i, (fields, texts) in enumerate(
        [*((fields, files) for fields in DIFFERENT), ({"seed": 0, "epochs": 1, "threads": 1}, other)]
    ):
        paths.append(folder / str(i))
        start_run(build_settings(CONFIGS, {**SMALL, **fields}, texts), build_network, paths[-1], log=len)
    return paths


def alone(path):
    """(Evaluation, probabilities, labels) of a run by itself."""
    run = open_run(path, CONFIGS, build_network)
    texts = encode_labelled(run.settings.data, run.vocabulary, run.classes, read_test_texts(run.settings.data)[0])
    return evaluate(run.network, texts, run.classes), predict_probabilities(run.network, texts), texts.labels


def ensemble_of(paths, **more):
    return evaluate_ensemble(paths, CONFIGS, build_network, **{"log": len, **more})[0]


def test_the_mean_of_the_probabilities_is_what_is_measured(runs):
    each = [alone(path) for path in runs[:3]]
    mean = np.mean([probabilities for _, probabilities, _ in each], axis=0, dtype=np.float64)
    labels = each[0][2]
    found = ensemble_of(runs[:3])
    assert found.accuracy == np.mean(mean.argmax(axis=1) == labels)
    assert found.loss == pytest.approx(-np.log(mean[np.arange(30), labels]).mean(), rel=1e-12)
    assert len({evaluation.loss for evaluation, _, _ in each}) == 3  # or the mean would say nothing


def test_the_loss_of_the_mean_is_at_most_the_mean_of_the_losses(runs):
    losses = [alone(path)[0].loss for path in runs[:3]]
    assert ensemble_of(runs[:3]).loss < np.mean(losses)


def test_an_ensemble_of_one_run_is_that_run(runs):
    assert [ensemble_of([path]) for path in runs[:3]] == [alone(path)[0] for path in runs[:3]]


def test_the_order_of_the_runs_does_not_matter(runs):
    """A run counts as often as it is named."""
    first, second, third = runs[:3]
    assert ensemble_of([first, second, third]).loss == pytest.approx(
        ensemble_of([third, first, second]).loss, rel=1e-14
    )
    assert ensemble_of([first, first]) == ensemble_of([first])
    assert ensemble_of([first, first, second]).loss != ensemble_of([first, second]).loss


def test_texts_are_read_once_and_from_the_file_that_is_named(runs, tmp_path):
    notes = []
    (tmp_path / "texts.csv").write_text("topic,words\na,red sea\nb,one sea\n")
    found = ensemble_of(
        runs[:3],
        test_file=tmp_path / "texts.csv",
        columns={"text_columns": "words", "label_column": "topic"},
        log=notes.append,
    )
    assert [row.texts for row in found.classes] == [1, 1] and len(notes) == 1 and "texts.csv" in notes[0]


def test_other_texts_than_those_of_the_runs_are_refused(runs, tmp_path, monkeypatch):
    """An ensemble is measured on the texts that each of its runs was measured on."""
    measure_ensemble(runs[:3], tmp_path / "group.json", CONFIGS, build_network, "cpu", None, len)
    figures = json.loads((tmp_path / "group.json").read_text())
    assert figures["test_accuracy"] == ensemble_of(runs[:3]).accuracy and figures["runs"] == ["0", "1", "2"]

    def exchanged(*given):
        texts, note = read_test_texts(*given)
        return dataclasses.replace(texts, labels=["b" if label == "a" else "a" for label in texts.labels]), note

    monkeypatch.setattr(ensemble_module, "read_test_texts", exchanged)
    with pytest.raises(
        UserError,
        match="0: has a test accuracy of 6.67 % on the test texts as they are now, and of 93.33 % in its result.json; "
        "restore",
    ):
        measure_ensemble(runs[:3], tmp_path / "other.json", CONFIGS, build_network, "cpu", None, len)
    assert not (tmp_path / "other.json").exists()


@pytest.mark.parametrize(
    "found, told, same", [(0.9, 0.9, True), (0.9, 0.9008, True), (0.9, 0.902, False), (0.0, 1.0, False)]
)
def test_rounding_may_flip_a_text(found, told, same):
    evaluation = Evaluation(found, 0.5, 0.5, [ClassRow("a", 4000, 1, 1, 1), ClassRow("b", 6000, 1, 1, 1)])
    with nullcontext() if same else pytest.raises(UserError, match="restore the texts"):
        require_same_texts("run", evaluation, {"test_accuracy": told})


def test_each_run_keeps_to_its_number_of_threads(runs, monkeypatch, threads_of_blas):
    used, predict = [], ensemble_module.predict_probabilities
    monkeypatch.setattr(
        ensemble_module, "predict_probabilities", lambda *given: used.append(threads_of_blas()) or predict(*given)
    )
    ensemble_of([runs[3]])
    assert used == [{1}] or used == [set()]  # no BLAS that threadpoolctl knows


def test_one_network_at_a_time_is_in_memory(runs):
    alive, counts = weakref.WeakSet(), []

    def build(*given, **named):
        network = build_network(*given, **named)
        gc.collect()
        alive.add(network)
        counts.append(len(alive))
        return network

    evaluate_ensemble(runs[:3], CONFIGS, build, log=len)
    assert counts == [1, 1, 1]


def test_runs_of_different_classes_are_refused(runs):
    """Before anything is read."""
    with pytest.raises(
        UserError,
        match=r"3: has learned other classes than .*0 \(only here: 'c'; only there: 'b'\); take runs of one corpus",
    ):
        evaluate_ensemble([runs[0], runs[3]], None, None, log=None)


def test_a_path_that_is_no_run_is_refused(runs, tmp_path):
    """Before anything is read."""
    with pytest.raises(UserError, match="none: not a run directory"):
        evaluate_ensemble([runs[0], tmp_path / "none"], None, None, log=None)


def test_a_label_that_no_run_has_learned_is_refused(runs, tmp_path):
    """Before any network is loaded."""
    (tmp_path / "texts.csv").write_text("label,text\na,red\nz,one\n")
    with pytest.raises(UserError, match="texts.csv, line 3: label 'z' is not among the training classes 'a', 'b'"):
        evaluate_ensemble(runs[:2], CONFIGS, None, test_file=tmp_path / "texts.csv", log=len)
