"""Further rows and columns of the table of a sweep: the linear baseline, and several seeds as one ensemble.

The baseline is TF-IDF of words and a linear SVM (extra `bench`), once for each distinct corpus. An ensemble labels
texts by the mean of the class probabilities of N seeds.
"""

import hashlib
import importlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import peak_memory_bytes
from engine.data.config import DataConfig
from engine.data.texts import Corpus, class_names, encode_label_sets, encode_labels
from engine.support.command import install_extra
from engine.support.errors import UserError
from engine.support.files import read_json, write_json
from engine.support.settings import Settings
from engine.sweep.description import Description, PlannedRun
from engine.sweep.results import CLASSIFIER, figures_of_run, mean_and_spread, summary
from engine.training.ensemble import evaluate_ensemble
from engine.training.evaluation import Evaluation, score, score_sets
from engine.training.run_directory import RunDirectory

LABEL = "TF-IDF + linear SVM"


def require_linear(option: str) -> None:
    """Raise UserError unless scikit-learn can be imported: to be called before the work. option: what asks for it."""
    try:
        importlib.import_module("sklearn.svm")
    except ImportError as error:
        raise UserError(
            f"{option}: needs scikit-learn, which cannot be imported ({error}); "
            f"run {install_extra('bench')}, or leave {option} out"
        ) from None


def measure_linear(corpus: Corpus, several_labels: bool = False) -> dict[str, Any]:
    """Fit on all training texts and label the test texts; returns figures by the names they have in a result.json.

    several_labels: whether a text may have several labels, or none: then one SVM for each class against the rest.
    Accuracies are None without test texts. Nothing is validated, and the same texts give the same figures.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    classes = class_names(corpus.train)
    encode: Callable[..., Any] = encode_label_sets if several_labels else encode_labels
    labels = encode(corpus.train.labels, classes, corpus.train)
    started = time.perf_counter()
    solver = LinearSVC(random_state=0)  # draws its order at random
    if several_labels:
        solver = OneVsRestClassifier(solver)
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), solver)
    try:
        model.fit(corpus.train.texts, labels)
    except ValueError as error:  # no word of two letters in any text
        raise UserError(
            f"{corpus.train.source}: {LABEL} cannot learn from these texts ({error}); leave it out"
        ) from None
    seconds = time.perf_counter() - started
    found: dict[str, Any] = {"test_accuracy": None, "test_macro_f1": None, "validation_accuracy": None}
    if corpus.test is not None:
        wanted = encode(corpus.test.labels, classes, corpus.test)
        predicted = np.asarray(model.predict(corpus.test.texts)).reshape(wanted.shape)  # of one class it is flat
        scored = score_sets(wanted, predicted > 0, classes) if several_labels else score(wanted, predicted, classes)
        found.update(test_accuracy=scored.accuracy, test_macro_f1=scored.macro_f1)
        if several_labels:
            found["test_micro_f1"] = scored.micro_f1
    return {**found, "train_seconds": seconds, "peak_memory_bytes": peak_memory_bytes()}


# Fields of DataConfig: which texts there are to learn from and to label, and of texts that may have several labels.
TEXTS = ("corpus", "train_file", "test_file", "text_columns", "label_column")
LABEL_SETS = ("labels", "label_separator", "label_columns")


class LinearPeer(NamedTuple):
    """name: of its files; data: which texts; after: the labels of the last combination that learns from these texts."""

    name: str
    data: DataConfig
    after: tuple[str, ...]


def linear_peers(runs: Sequence[PlannedRun]) -> list[LinearPeer]:
    """A LinearPeer for each distinct corpus of PlannedRuns."""
    last = {texts_of(run.settings.data): run for run in runs}
    return [LinearPeer(f"linear-{texts_of(run.settings.data)}", run.settings.data, run.labels) for run in last.values()]


def texts_of(data: DataConfig) -> str:
    """A name that two DataConfigs with the same texts to learn from and to label have in common."""
    if not data.train_file:
        return data.corpus
    names = (*TEXTS[1:], *(LABEL_SETS if data.has_several_labels() else ()))
    return hashlib.sha256(json.dumps([getattr(data, name) for name in names]).encode()).hexdigest()[:8] + "-files"


def with_linear_rows(
    results: dict[str, Any],
    description: Description,
    runs: Sequence[PlannedRun],
    found: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """The results of a sweep with a row for each linear peer, labelled LABEL on the first axis that is not about texts.

    found: {name of a LinearPeer: its figures}, of those that are measured.
    """
    about_texts = {
        name
        for name, axis in description.axes.items()
        if any({*TEXTS, *LABEL_SETS} & changes.keys() for changes in axis.values())
    }
    axes = [*description.axes, *([CLASSIFIER] if about_texts == set(description.axes) else [])]
    place = next(name for name in axes if name not in about_texts)
    network_of = {run.labels: run.settings.network.label() for run in runs}
    peers = {peer.after: peer for peer in linear_peers(runs)}
    rows = []
    for row in results["rows"]:
        labels = tuple(row[axis] for axis in description.axes)
        rows.append({**row, CLASSIFIER: network_of[labels]} if CLASSIFIER in axes else row)
        peer = peers.get(labels)
        if peer is not None:
            own = {name: label if name in about_texts else "-" for name, label in zip(description.axes, labels)}
            rows.append({**own, place: LABEL, **peer_figures(peer, found)})
    return {**results, "axes": axes, "rows": rows}


def peer_figures(peer: LinearPeer, found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The figures of a row. Nothing in it is random: it has no seeds."""
    each = []
    if peer.name in found:
        each.append({"seed": None, "run": peer.name, **figures_of_run(found[peer.name])})
    return {**summary(each, 1), "seeds": None, "planned": None}


# In a row of results.json, each with its spread: in the file of a group.
FIGURES = {"accuracy": "test_accuracy", "macro_f1": "test_macro_f1"}
SAME = 0.001  # largest difference between two accuracies of a run on the same texts
FOLDER, FORMER_FOLDER = "ensemble", "together"


class Group(NamedTuple):
    """Runs of one combination, by name."""

    runs: list[str]

    @property
    def name(self) -> str:
        """Name of its job and file, which no run has: names of runs are free of "@"."""
        return f"{FOLDER}@{self.runs[0]}"

    def file(self, folder: Path) -> Path:
        """Its file in the folder of a sweep."""
        return folder / FOLDER / f"{self.name}.json"

    def known_figures(self, folder: Path) -> dict[str, Any] | None:
        """The contents of its file, also of a former version.

        None where there is none, or where it is damaged or of other seeds: then the group is measured anew.
        """
        for path in (self.file(folder), folder / FORMER_FOLDER / f"{FORMER_FOLDER}@{self.runs[0]}.json"):
            try:
                figures = read_json(path)
            except UserError:
                continue
            whole = all(isinstance(figures.get(key), (int, float)) for key in (*FIGURES.values(), "train_seconds"))
            if whole and figures.get("runs") == self.runs:
                return figures
        return None

    def is_ready(self, found: Mapping[str, dict[str, Any]]) -> bool:
        """Whether all its runs have finished, and had test texts. found: {name of a run: its result}."""
        return all(found.get(name, {}).get("test_accuracy") is not None for name in self.runs)


def groups_of(runs: Sequence[PlannedRun], size: int) -> dict[tuple[str, ...], list[Group]]:
    """{labels of a combination: its Groups of `size` seeds each, in their order}; none for seeds that fill no group."""
    names: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        names.setdefault(run.labels, []).append(run.name)
    return {
        labels: [Group(own[i : i + size]) for i in range(0, len(own) - size + 1, size)] for labels, own in names.items()
    }


def measure_ensemble(
    folders: Sequence[str | Path],
    output: str | Path,
    network_classes: Mapping[str, type[Settings]],
    build_network: Callable[..., Any],
    device: str,
    cache_dir: str | None,
    log: Callable[[str], Any],
) -> None:
    """Write the figures of the ensemble of run directories on the test texts of the first.

    UserError as in evaluate_ensemble(), and where these are not the texts that the runs were measured on.
    """
    test, each = evaluate_ensemble(folders, network_classes, build_network, device, cache_dir, log=log)
    results: list[Any] = [RunDirectory.open(folder).result() for folder in folders]
    for folder, own, result in zip(folders, each, results):
        require_same_texts(folder, own, result)
    figures = {"test_accuracy": test.accuracy, "test_macro_f1": test.macro_f1, "test_loss": test.loss}
    seconds = sum(result["train_seconds"] for result in results)
    write_json(output, {**figures, "runs": [Path(folder).name for folder in folders], "train_seconds": seconds})


def require_same_texts(folder: str | Path, found: Evaluation, result: Mapping[str, Any]) -> None:
    """Raise UserError where the Evaluation of a run differs from its result.json by more than rounding explains.

    Rounding may differ on another device or with other threads.
    """
    count = max(1, sum(row.texts for row in found.classes))
    if abs(found.accuracy - result["test_accuracy"]) > max(SAME, 1.5 / count):
        now, before = (f"{100 * accuracy:.2f} %" for accuracy in (found.accuracy, result["test_accuracy"]))
        told = f"has a test accuracy of {now} on the test texts as they are now, and of {before} in its result.json"
        raise UserError(f"{folder}: {told}; restore the texts, or begin a new sweep")


def with_ensembles(
    results: dict[str, Any], runs: Sequence[PlannedRun], found: Mapping[str, dict[str, Any]], size: int
) -> dict[str, Any]:
    """The results of a sweep with "ensemble": the seeds of a group, and in each row the figures of its groups.

    These are the numbers of groups measured and planned, and mean and standard deviation of the FIGURES over the
    former, None where there is none.
    """
    rows = []
    for row, groups in zip(results["rows"], groups_of(runs, size).values()):
        measured = [found[group.name] for group in groups if group.name in found]
        ensemble: dict[str, Any] = {"groups": len(measured), "planned": len(groups)}
        for name, key in FIGURES.items():
            ensemble[name], ensemble[f"{name}_spread"] = mean_and_spread([figures[key] for figures in measured])
        rows.append({**row, "ensemble": ensemble})
    return {**results, "ensemble": size, "rows": rows}
