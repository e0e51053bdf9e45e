"""Ensembles: trained runs that label texts by the mean of their class probabilities.

    p(c | text) = 1/M · Σ_m p_m(c | text)        M runs

Runs that differ in their seed err on different texts, and the mean undoes part of that. Its loss is at most the mean of
their losses, since −log is convex; its accuracy has no such bound. Each run keeps its own vocabulary.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.prepare import encode_plain_texts
from engine.data.reading import for_other_file, read_test_texts
from engine.data.texts import encode_labels, listed, sorted_names
from engine.support.settings import Settings
from engine.training.config import computing
from engine.training.evaluation import Evaluation, evaluate_probabilities, predict_probabilities
from engine.training.prediction import common_classes
from engine.training.run_directory import RunDirectory
from engine.training.trained_run import open_run, read_run_settings
from engine.types import Floats2d


def probabilities_of_each(
    paths: Sequence[str | Path],
    texts: Sequence[str],
    network_classes: Mapping[str, type[Settings]],
    build_network: Callable[..., Any],
    device: str,
) -> Iterator[Floats2d]:
    """The (N, C) float64 class probabilities of N texts by one run after the other.

    One network at a time is in memory.
    """

    def probabilities(path: str | Path) -> Floats2d:
        run = open_run(path, network_classes, build_network, device)
        batch = encode_plain_texts(run.settings.data, run.vocabulary, texts)
        with computing(run.settings.training, device):
            found: Floats2d = predict_probabilities(run.network, batch).astype(np.float64)
            return found

    return map(probabilities, paths)


def evaluate_ensemble(
    paths: Sequence[str | Path],
    network_classes: Mapping[str, type[Settings]],
    build_network: Callable[..., Any],
    device: str = "cpu",
    cache_dir: str | None = None,
    test_file: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    log: Callable[[str], Any] = print,
    strict: bool = True,
) -> tuple[Evaluation, list[Evaluation]]:
    """(Evaluation of the ensemble, Evaluation of each run alone) of M ≥ 1 run directories.

    They are measured on the test texts of the first run, or on the labelled texts of test_file. columns: fields of
    DataConfig that say how to read that file, where it is other than in training. log: takes a line on what was read.
    strict: whether a label that is not among the classes is an error; otherwise its texts count as wrong, the measures
    have a row for it, a line tells their number, and the loss is that of all other texts.
    UserError as in common_classes(), for a run that is damaged, and where there are no test texts.
    """
    classes = common_classes(paths)
    data = read_run_settings(RunDirectory.open(paths[0]), network_classes).data
    data = data if test_file is None else for_other_file(data, test_file, columns or {})
    texts, note = read_test_texts(data, test_file, cache_dir)
    log(note)
    count = len(classes)
    unknown = [] if strict else sorted_names(set(texts.labels or ()) - set(classes))
    classes = [*classes, *unknown]
    labels = encode_labels(texts.labels, classes, texts)
    if unknown:
        wrong = np.count_nonzero(labels >= count)
        log(
            f"{wrong} of {len(labels)} texts have a label that the training did not have ({listed(unknown)}): they "
            "count as wrong; --strict refuses them"
        )

    def measured(probabilities: Floats2d) -> Evaluation:
        padded = np.pad(probabilities, ((0, 0), (0, len(unknown))))
        result = evaluate_probabilities(labels, padded, classes)
        if not unknown:
            return result
        known = labels < count
        return result._replace(loss=evaluate_probabilities(labels[known], padded[known], classes).loss)

    total: Any = 0
    members = []
    for probabilities in probabilities_of_each(paths, texts.texts, network_classes, build_network, device):
        total = total + probabilities
        members.append(measured(probabilities))
    return measured(total / len(paths)), members
