"""Runs that label texts together, against the same worked out from each of them alone."""

import dataclasses
import gc
import json
import weakref
from contextlib import nullcontext

import numpy as np
import pytest

from engine.data.prepare import encode_labelled, read_test_texts
from engine.support.errors import UserError
from engine.sweep.baselines import measure_together, require_same_texts
from engine.training import ensemble as together_module
from engine.training.ensemble import evaluate_together
from engine.training.evaluation import ClassRow, Evaluation, evaluate, predict_probabilities
from engine.training.run_settings import build_settings
from engine.training.session import open_run, start_run
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
    """Directories of three runs of one corpus, with vocabularies and networks of their own, and one of other classes."""
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


def together(paths, **more):
    return evaluate_together(paths, CONFIGS, build_network, **{"tell": len, **more})


def test_the_mean_of_the_probabilities_is_what_is_measured(runs):
    each = [alone(path) for path in runs[:3]]
    mean = np.mean([probabilities for _, probabilities, _ in each], axis=0, dtype=np.float64)
    labels = each[0][2]
    found = together(runs[:3])
    assert found.accuracy == np.mean(mean.argmax(axis=1) == labels)
    assert found.loss == pytest.approx(-np.log(mean[np.arange(30), labels]).mean(), rel=1e-12)
    assert len({evaluation.loss for evaluation, _, _ in each}) == 3  # or the mean would say nothing


def test_the_loss_of_the_mean_is_at_most_the_mean_of_the_losses(runs):
    losses = [alone(path)[0].loss for path in runs[:3]]
    assert together(runs[:3]).loss < np.mean(losses)


def test_one_run_together_is_that_run(runs):
    assert [together([path]) for path in runs[:3]] == [alone(path)[0] for path in runs[:3]]


def test_the_order_of_the_runs_does_not_matter_and_one_counts_as_often_as_it_is_named(runs):
    first, second, third = runs[:3]
    assert together([first, second, third]).loss == pytest.approx(together([third, first, second]).loss, rel=1e-14)
    assert together([first, first]) == together([first])
    assert together([first, first, second]).loss != together([first, second]).loss


def test_texts_are_read_once_and_from_the_file_that_is_named(runs, tmp_path):
    notes = []
    (tmp_path / "texts.csv").write_text("topic,words\na,red sea\nb,one sea\n")
    found = together(
        runs[:3],
        test_file=tmp_path / "texts.csv",
        columns={"text_columns": "words", "label_column": "topic"},
        tell=notes.append,
    )
    assert [row.texts for row in found.classes] == [1, 1] and len(notes) == 1 and "texts.csv" in notes[0]


def test_runs_together_are_not_measured_on_other_texts_than_each_of_them_was(runs, tmp_path, monkeypatch):
    measure_together(runs[:3], tmp_path / "group.json", CONFIGS, build_network, "cpu", None, len)
    figures = json.loads((tmp_path / "group.json").read_text())
    assert figures["test_accuracy"] == together(runs[:3]).accuracy and figures["runs"] == ["0", "1", "2"]

    def exchanged(*given):
        texts, note = read_test_texts(*given)
        return dataclasses.replace(texts, labels=["b" if label == "a" else "a" for label in texts.labels]), note

    monkeypatch.setattr(together_module, "read_test_texts", exchanged)
    with pytest.raises(
        UserError,
        match=r"0: has a test accuracy of 6.67 % on the test texts as they are now, and of 93.33 % in its result.json; restore",
    ):
        measure_together(runs[:3], tmp_path / "other.json", CONFIGS, build_network, "cpu", None, len)
    assert not (tmp_path / "other.json").exists()


@pytest.mark.parametrize(
    "found, told, same", [(0.9, 0.9, True), (0.9, 0.9008, True), (0.9, 0.902, False), (0.0, 1.0, False)]
)
def test_rounding_may_flip_a_text(found, told, same):
    evaluation = Evaluation(found, 0.5, 0.5, [ClassRow("a", 4000, 1, 1, 1), ClassRow("b", 6000, 1, 1, 1)])
    with nullcontext() if same else pytest.raises(UserError, match="restore the texts"):
        require_same_texts("run", evaluation, {"test_accuracy": told})


def test_each_run_keeps_to_its_number_of_threads(runs, monkeypatch, threads_of_blas):
    used, predict = [], together_module.predict_probabilities
    monkeypatch.setattr(
        together_module, "predict_probabilities", lambda *given: used.append(threads_of_blas()) or predict(*given)
    )
    together([runs[3]])
    assert used == [{1}] or used == [set()]  # no BLAS that threadpoolctl knows


def test_one_network_at_a_time_is_in_memory(runs):
    alive, counts = weakref.WeakSet(), []

    def build(*given):
        network = build_network(*given)
        gc.collect()
        alive.add(network)
        counts.append(len(alive))
        return network

    evaluate_together(runs[:3], CONFIGS, build, tell=len)
    assert counts == [1, 1, 1]


def test_runs_of_different_classes_are_refused_before_anything_is_read(runs):
    with pytest.raises(
        UserError,
        match=r"3: has learned other classes than .*0 \(only here: 'c'; only there: 'b'\); take runs of one corpus",
    ):
        evaluate_together([runs[0], runs[3]], None, None, tell=None)


def test_a_path_that_is_no_run_is_refused_before_anything_is_read(runs, tmp_path):
    with pytest.raises(UserError, match="none: not a run directory"):
        evaluate_together([runs[0], tmp_path / "none"], None, None, tell=None)


def test_a_label_that_no_run_has_learned_is_refused_before_any_network_is_loaded(runs, tmp_path):
    (tmp_path / "texts.csv").write_text("label,text\na,red\nz,one\n")
    with pytest.raises(UserError, match="texts.csv, line 3: label 'z' is not among the training classes 'a', 'b'"):
        evaluate_together(runs[:2], CONFIGS, None, test_file=tmp_path / "texts.csv", tell=len)
