"""What a user would pick instead, each as a program of its own: fastText and linear models (extra `bench`).

    python -m layers.experiments.benchmark.baselines NAME TRAIN TEST [EPOCHS [THREADS]]

learns from a file, labels another and prints {"test_accuracy": …} as JSON. Files are CSV with the header text,label;
fastText also takes its own form, lines of words and a word __label__CLASS. EPOCHS and THREADS are fastText's. Nothing
else of this project is imported: its start is no part of theirs.
"""

import csv
import json
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MARKS = re.compile(r"([^\w\s])")
EPOCHS = 25
NB_C, NB_INTERPOLATION = 0.1, 0.25  # of S. Wang and C. Manning 2012, who also smooth counts by 1


def read(path: str) -> tuple[list[str], list[str]]:
    """(texts, labels) of a CSV file with the header text,label."""
    csv.field_size_limit(sys.maxsize)
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        texts, labels = zip(*rows)
    return list(texts), list(labels)


def fasttext(train: str, test: str, epochs: int, threads: int) -> float:
    """fastText with pairs of words and a learning rate of 0.5."""
    import fasttext as library

    with tempfile.TemporaryDirectory() as folder:
        if train.endswith(".csv"):
            numbers: dict[str, int] = {}
            train, test = (
                in_its_form(path, Path(folder) / f"{number}.txt", numbers) for number, path in enumerate((train, test))
            )
        model = library.train_supervised(train, wordNgrams=2, lr=0.5, epoch=epochs, thread=threads, verbose=0)
        found, _, recall = model.test(test)  # of the texts whose class is known
        with open(test, "rb") as file:
            return recall * found / sum(1 for _ in file)


def in_its_form(path: str, target: Path, numbers: dict[str, int]) -> str:
    """Write a CSV file in fastText's form: lower case, marks apart from words. numbers: of the classes met so far."""
    texts, labels = read(path)
    with open(target, "w", encoding="utf-8") as file:
        for text, label in zip(texts, labels):
            words = MARKS.sub(r" \1 ", text.lower()).split()
            file.write(f"{' '.join(words)} __label__{numbers.setdefault(label, len(numbers))}\n")
    return str(target)


def svm(train: str, test: str, options: dict[str, Any]) -> float:
    """TF-IDF and a linear SVM. options: of the vectorizer."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    (texts, labels), (tests, expected) = read(train), read(test)
    vectorizer, model = TfidfVectorizer(sublinear_tf=True, **options), LinearSVC(random_state=0)
    model.fit(vectorizer.fit_transform(texts), labels)
    return share_of_equal(model.predict(vectorizer.transform(tests)), expected)


def word_svm(train: str, test: str, *_: int) -> float:
    """TF-IDF of words and pairs of words, and a linear SVM."""
    return svm(train, test, {"ngram_range": (1, 2)})


def char_svm(train: str, test: str, *_: int) -> float:
    """TF-IDF of two to five characters within words, and a linear SVM."""
    return svm(train, test, {"analyzer": "char_wb", "ngram_range": (2, 5)})


def nb_svm(train: str, test: str, *_: int) -> float:
    """The NB-SVM of Wang and Manning on words and pairs of words, one class against the others.

    x: 1 for each that occurs; r: log-ratio of how often the class and the others have it; an SVM learns w from x·r;
    the score is x·r·((1 − β)·mean|w| + β·w) + β·b.
    """
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.svm import LinearSVC

    (texts, labels), (tests, expected) = read(train), read(test)
    vectorizer = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", binary=True, dtype=np.float32)
    X, X_test = vectorizer.fit_transform(texts), vectorizer.transform(tests)
    classes, numbers = np.unique(labels, return_inverse=True)
    scores = np.empty((len(tests), len(classes)))
    for number in range(len(classes)):
        is_class = numbers == number
        counts = [1.0 + np.asarray(X[rows].sum(axis=0), np.float64).ravel() for rows in (is_class, ~is_class)]
        own, others = (np.log(count / count.sum()) for count in counts)
        r = (own - others).astype(np.float32)
        model = LinearSVC(C=NB_C, random_state=0).fit(X.multiply(r).tocsr(), is_class)
        w, b = model.coef_.ravel(), float(model.intercept_[0])
        weights = r * ((1 - NB_INTERPOLATION) * np.abs(w).mean() + NB_INTERPOLATION * w)
        scores[:, number] = X_test @ weights + NB_INTERPOLATION * b
    return share_of_equal(classes[scores.argmax(axis=1)], expected)


def share_of_equal(found: Sequence[str], expected: Sequence[str]) -> float:
    """The accuracy of labels."""
    return sum(one == other for one, other in zip(found, expected)) / len(expected)


BASELINES: dict[str, Callable[[str, str, int, int], float]] = {
    "fasttext": fasttext,
    "word_svm": word_svm,
    "char_svm": char_svm,
    "nb_svm": nb_svm,
}

if __name__ == "__main__":
    name, train_file, test_file = sys.argv[1:4]
    epochs, threads = [*map(int, sys.argv[4:]), EPOCHS, 1][:2]
    print(json.dumps({"test_accuracy": BASELINES[name](train_file, test_file, epochs, threads)}))
