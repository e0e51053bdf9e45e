"""Trained runs that label texts together: the mean of their class probabilities.

    p(c | text) = 1/M · Σ_m p_m(c | text)        M runs

Runs that differ in their seed err on different texts, and the mean undoes part of that. Its loss is at most the mean of
their losses, since −log is convex; its accuracy has no such bound. Each run keeps its own vocabulary.
"""

import numpy as np

from engine.data.prepare import encode_labelled, read_test_texts
from engine.data.texts import encode_labels
from engine.errors import UserError
from engine.training.evaluation import evaluate_probabilities, predict_probabilities
from engine.training.session import computing_as_trained, open_run


def predict_together(paths, read, encode, network_classes, build_network, device="cpu"):
    """(classes, (N, C) float64 probabilities, texts) of the best weights of M ≥ 1 run directories.

    read: function of the first OpenRun → N texts, called once; encode: function of an OpenRun and these → RaggedBatch, as that run
    encodes them. One network at a time is in memory. UserError where a path is no trained run, and where the runs have learned
    different classes.
    """
    classes, texts, total = None, None, 0.0
    for path in paths:
        run = open_run(path, network_classes, build_network, device)
        if classes is None:
            classes, texts = run.classes, read(run)
        elif run.classes != classes:
            raise UserError(f"{path}: its classes are {listed(run.classes)}, those of {paths[0]} {listed(classes)}; take runs of the same corpus")
        batch = encode(run, texts)
        with computing_as_trained(run, device):
            total = total + predict_probabilities(run.network, batch).astype(np.float64)
    return classes, total / len(paths), texts


def evaluate_together(paths, network_classes, build_network, device="cpu", cache_dir=None, test_file=None, columns=None, tell=print):
    """Evaluation of M ≥ 1 run directories on the test texts of the first, or on the labelled texts of test_file.

    columns: fields of DataConfig that say how to read that file, other than in training; tell: takes a line on what was read.
    """

    def read(run):
        texts, note = read_test_texts(run.settings.data.replace(**(columns or {})), test_file, cache_dir)
        tell(note)
        return texts

    def encode(run, texts):
        return encode_labelled(run.settings.data, run.vocabulary, run.classes, texts, cache_dir)

    classes, probabilities, texts = predict_together(paths, read, encode, network_classes, build_network, device)
    return evaluate_probabilities(encode_labels(texts.labels, classes, texts), probabilities, classes)


def listed(classes, most=5):
    """The first names, and how many others there are."""
    return ", ".join(map(repr, classes[:most])) + (f" and {len(classes) - most} more" if len(classes) > most else "")
