"""The usual baseline: TF-IDF of words and pairs of words, and a linear support vector machine (extra `bench`)."""

import importlib
import time
from typing import Any

import numpy as np

from engine.arrays.backend import peak_memory_bytes
from engine.data.texts import Corpus, class_names, encode_labels
from engine.support.errors import UserError
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
