"""Ensembles: trained runs that label texts by the mean of their class probabilities.

    p(c | text) = 1/M · Σ_m p_m(c | text)        M runs

Runs that differ in their seed err on different texts, and the mean undoes part of that. Its loss is at most the mean of
their losses, since −log is convex; its accuracy has no such bound. Each run keeps its own vocabulary. Where a text may
have several labels, the thresholds are the mean of those of the runs; where it has one, the factors of classes
(class_factors.py) are the geometric mean. Each run's probabilities are at its own temperature.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.prepare import encode_plain_texts
from engine.data.reading import for_other_file, read_test_texts
from engine.data.texts import encode_label_sets, encode_labels, listed, sorted_names
from engine.support.settings import Settings
from engine.training.class_factors import mean_factors
from engine.training.config import computing
from engine.training.evaluation import Evaluation, evaluate_probabilities, predict_probabilities
from engine.training.prediction import common_classes, mean_thresholds, require_kind
from engine.training.run_directory import RunDirectory
from engine.training.trained_run import open_run, read_run_settings
from engine.types import Floats1d, Floats2d


def probabilities_of_each(
    paths: Sequence[str | Path],
    texts: Sequence[str],
    network_classes: Mapping[str, type[Settings]],
    build_network: Callable[..., Any],
    device: str,
) -> Iterator[tuple[Floats2d, Floats1d | None, Floats1d | None]]:
    """The (N, C) float64 class probabilities of N texts by one run after the other, its thresholds and its factors.

    One network at a time is in memory.
    """

    def probabilities(path: str | Path) -> tuple[Floats2d, Floats1d | None, Floats1d | None]:
        run = open_run(path, network_classes, build_network, device)
        batch = encode_plain_texts(run.settings.data, run.vocabulary, texts)
        with computing(run.settings.training, device):
            found: Floats2d = predict_probabilities(run.network, batch).astype(np.float64)
            return found, run.thresholds, run.factors

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
    several, count = data.has_several_labels(), len(classes)
    unknown = [] if strict else sorted_names({*sorted_names(texts.labels or ())} - set(classes))
    classes = [*classes, *unknown]
    labels = (encode_label_sets if several else encode_labels)(texts.labels, classes, texts)
    if unknown:
        wrong = np.count_nonzero(labels[:, count:].any(axis=1) if several else labels >= count)
        log(
            f"{wrong} of {len(labels)} texts have a label that the training did not have ({listed(unknown)}): they "
            "count as wrong; --strict refuses them"
        )

    def measured(probabilities: Floats2d, *rules: Floats1d | None) -> Evaluation:
        padded = np.pad(probabilities, ((0, 0), (0, len(unknown))))
        known = [None if own is None else np.pad(own, (0, len(unknown)), constant_values=1) for own in rules]
        result = evaluate_probabilities(labels, padded, classes, *known)
        if not unknown:
            return result
        if several:
            return result._replace(loss=evaluate_probabilities(labels[:, :count], probabilities, classes[:count]).loss)
        of_class = labels < count
        return result._replace(loss=evaluate_probabilities(labels[of_class], padded[of_class], classes).loss)

    total: Any = 0
    members, thresholds, factors = [], [], []
    for path, (probabilities, own, own_factors) in zip(
        paths, probabilities_of_each(paths, texts.texts, network_classes, build_network, device)
    ):
        require_kind(path, own is not None, several, paths[0])
        total = total + probabilities
        thresholds.append(own)
        factors.append(own_factors)
        members.append(measured(probabilities, own, own_factors))
    return measured(total / len(paths), mean_thresholds(thresholds), mean_factors(factors, count)), members
