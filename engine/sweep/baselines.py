"""The linear baseline of a sweep: TF-IDF of words and a linear SVM, as rows of its table."""

import hashlib
import importlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import peak_memory_bytes
from engine.data.config import DataConfig
from engine.data.texts import Corpus, class_names, encode_labels
from engine.support.errors import UserError
from engine.sweep.description import Description, PlannedRun
from engine.sweep.results import CLASSIFIER, OF_A_RUN, summary
from engine.training.evaluation import score

LABEL = "TF-IDF + linear SVM"


def require_linear(option: str) -> None:
    """Raise UserError unless scikit-learn can be imported: to be called before the work. option: what asks for it."""
    try:
        importlib.import_module("sklearn.svm")
    except ImportError as error:
        raise UserError(
            f"{option}: needs scikit-learn, which cannot be imported ({error}); "
            f"run pip install -e '.[bench]', or leave {option} out"
        ) from None


def measure_linear(corpus: Corpus) -> dict[str, Any]:
    """Fit on all training texts and label the test texts; returns figures by the names they have in a result.json.

    Accuracies are None without test texts. Nothing is validated, and the same texts give the same figures.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    classes = class_names(corpus.train)
    labels = encode_labels(corpus.train.labels, classes, corpus.train)
    started = time.perf_counter()
    solver = LinearSVC(random_state=0)  # draws its order at random
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
        wanted = encode_labels(corpus.test.labels, classes, corpus.test)
        scored = score(wanted, np.asarray(model.predict(corpus.test.texts)), classes)
        found.update(test_accuracy=scored.accuracy, test_macro_f1=scored.macro_f1)
    return {**found, "train_seconds": seconds, "peak_memory_bytes": peak_memory_bytes()}


# Fields of DataConfig: which texts there are to learn from and to label.
TEXTS = ("corpus", "train_file", "test_file", "text_columns", "label_column")


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
    return hashlib.sha256(json.dumps([getattr(data, name) for name in TEXTS[1:]]).encode()).hexdigest()[:8] + "-files"


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
        name for name, axis in description.axes.items() if any(set(TEXTS) & changes.keys() for changes in axis.values())
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
        each.append({"seed": None, "run": peer.name, **{key: found[peer.name].get(key) for key in OF_A_RUN}})
    return {**summary(each, 1), "seeds": None, "planned": None}
