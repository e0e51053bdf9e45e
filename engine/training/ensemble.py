"""Trained runs that label texts together: the mean of their class probabilities.

    p(c | text) = 1/M · Σ_m p_m(c | text)        M runs

Runs that differ in their seed err on different texts, and the mean undoes part of that. Its loss is at most the mean of
their losses, since −log is convex; its accuracy has no such bound. Each run keeps its own vocabulary.
"""

import numpy as np

from engine.data.prepare import encode_plain_texts, read_test_texts
from engine.data.texts import encode_labels, listed
from engine.data.token_cache import TokenCache
from engine.data.vocabulary import CODERS
from engine.support.errors import UserError
from engine.training.evaluation import evaluate_probabilities, predict_probabilities
from engine.training.run_directory import RunDirectory
from engine.training.session import classes_of, computing_as_trained, open_run, read_run_settings


def common_classes(paths):
    """The names of the classes of M ≥ 1 run directories, from small files: before texts are read and networks loaded.

    UserError where a path is no trained run, and where the runs have learned different classes.
    """
    classes = classes_of(paths[0])
    for path in paths[1:]:
        others = classes_of(path)
        if others != classes:
            here, there = (listed(sorted(set(a) - set(b))) or "none" for a, b in ((others, classes), (classes, others)))
            raise UserError(
                f"{path}: has learned other classes than {paths[0]} (only here: {here}; only there: {there}); take runs of one corpus"
            )
    return classes


def mean_probabilities(paths, texts, network_classes, build_network, device="cpu", coders=CODERS):
    """(N, C) float64 class probabilities of N texts: the mean over the best weights of M ≥ 1 run directories of the same classes.

    texts: N strings, which each run encodes with its own vocabulary. coders: as in Vocabulary.encode().
    UserError for a run that is damaged.
    """
    return sum(probabilities_of_each(paths, texts, network_classes, build_network, device, coders)) / len(paths)


def probabilities_of_each(paths, texts, network_classes, build_network, device, coders):
    """The class probabilities of one run after the other, whose mean mean_probabilities() is; one network at a time is in memory."""

    def probabilities(path):
        run = open_run(path, network_classes, build_network, device)
        batch = encode_plain_texts(run.settings.data, run.vocabulary, texts, coders)
        with computing_as_trained(run, device):
            return predict_probabilities(run.network, batch).astype(np.float64)

    return map(probabilities, paths)


def evaluate_together(
    paths, network_classes, build_network, device="cpu", cache_dir=None, test_file=None, columns=None, tell=print
):
    """Evaluation of M ≥ 1 run directories on the test texts of the first, or on the labelled texts of test_file.

    columns: fields of DataConfig that say how to read that file, other than in training; tell: takes a line on what was read.
    UserError as in common_classes() and mean_probabilities(), where there are no test texts, and for a label that is not among the classes.
    """
    return evaluate_together_and_each(
        paths, network_classes, build_network, device, cache_dir, test_file, columns, tell
    )[0]


def evaluate_together_and_each(
    paths, network_classes, build_network, device="cpu", cache_dir=None, test_file=None, columns=None, tell=print
):
    """(What evaluate_together() gives, the Evaluation of each run alone)."""
    classes = common_classes(paths)
    data = read_run_settings(RunDirectory.open(paths[0]), network_classes).data
    texts, note = read_test_texts(data.replace(**(columns or {})), test_file, cache_dir)
    tell(note)
    labels = encode_labels(texts.labels, classes, texts)
    total, each = 0, []
    for probabilities in probabilities_of_each(
        paths, texts.texts, network_classes, build_network, device, TokenCache(cache_dir)
    ):
        total = total + probabilities
        each.append(evaluate_probabilities(labels, probabilities, classes))
    return evaluate_probabilities(labels, total / len(paths), classes), each
