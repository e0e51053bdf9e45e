"""The rows of the linear peer in the table of a sweep: one for each distinct corpus, beside the networks that learn from it.

The column "together" of a sweep: what several seeds of a combination reach when they label the test texts together.

DIR/together/NAME.json, one for each group of seeds: test_accuracy, test_macro_f1, test_loss; runs; train_seconds of all of them.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from engine.data.config import DataConfig
from engine.support.errors import UserError
from engine.support.files import read_json, write_json
from engine.sweep.linear_svm import LABEL
from engine.sweep.results import OF_A_RUN, mean_and_spread, summary
from engine.training.ensemble import evaluate_together_and_each
from engine.training.run_directory import RunDirectory

TEXTS = (
    "corpus",
    "train_file",
    "test_file",
    "text_columns",
    "label_column",
)  # of DataConfig: which texts there are to learn from and to label
CLASSIFIER = "classifier"  # the axis that is put in where every axis is about texts


class LinearPeer(NamedTuple):
    """name: of its files; data: DataConfig; after: the labels of the last combination that learns from these texts."""

    name: str
    data: DataConfig
    after: tuple


def linear_peers(runs):
    """A LinearPeer for each distinct corpus of PlannedRuns."""
    last = {texts_of(run.settings.data): run for run in runs}
    return [LinearPeer(f"linear-{texts_of(run.settings.data)}", run.settings.data, run.labels) for run in last.values()]


def texts_of(data):
    """A name that two DataConfigs with the same texts to learn from and to label have in common."""
    if not data.train_file:
        return data.corpus
    return hashlib.sha256(json.dumps([getattr(data, name) for name in TEXTS[1:]]).encode()).hexdigest()[:8] + "-files"


def with_linear_rows(results, description, runs, found):
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


def peer_figures(peer, found):
    """The figures of a row. Nothing in it is random: it has no seeds."""
    each = (
        [{"seed": None, "run": peer.name, **{key: found[peer.name].get(key) for key in OF_A_RUN}}]
        if peer.name in found
        else []
    )
    return {**summary(each, 1), "seeds": None, "planned": None}


FIGURES = {
    "accuracy": "test_accuracy",
    "macro_f1": "test_macro_f1",
}  # in a row of results.json, each with its spread: in the file
SAME = 0.001  # so close are two accuracies of a run on the same texts


class Group(NamedTuple):
    """Runs of one combination. name: of its file, which no run has, since theirs are free of "@"; runs: their names."""

    name: str
    runs: list


def groups_of(runs, size):
    """{labels of a combination of PlannedRuns: its Groups of so many seeds each, in their order}. Seeds that fill no group are in none."""
    names = {}
    for run in runs:
        names.setdefault(run.labels, []).append(run.name)
    return {
        labels: [Group(f"together@{own[i]}", own[i : i + size]) for i in range(0, len(own) - size + 1, size)]
        for labels, own in names.items()
    }


def is_ready(group, found):
    """Whether all runs of a Group have finished, and had test texts. found: {name of a run: its result}."""
    return all(found.get(name, {}).get("test_accuracy") is not None for name in group.runs)


def known_figures(group, path):
    """What the file of a Group says. None where there is none, or it is of other seeds or damaged: then it is measured anew."""
    try:
        figures = read_json(path)
    except UserError:
        return None
    whole = all(isinstance(figures.get(key), (int, float)) for key in (*FIGURES.values(), "train_seconds"))
    return figures if whole and figures.get("runs") == group.runs else None


def measure_together(folders, output, network_classes, build_network, device, cache_dir, tell):
    """Write the figures of run directories that label the test texts of the first of them.

    UserError as in evaluate_together(), and where these are not the texts that the runs were measured on.
    """
    test, each = evaluate_together_and_each(folders, network_classes, build_network, device, cache_dir, tell=tell)
    results = [RunDirectory.open(folder).result() for folder in folders]
    for folder, own, result in zip(folders, each, results):
        require_same_texts(folder, own, result)
    figures = {"test_accuracy": test.accuracy, "test_macro_f1": test.macro_f1, "test_loss": test.loss}
    seconds = sum(result["train_seconds"] for result in results)
    write_json(output, {**figures, "runs": [Path(folder).name for folder in folders], "train_seconds": seconds})


def require_same_texts(folder, found, result):
    """Raise UserError where a run's Evaluation, found now, differs from its result by more than rounding, on another device or with other threads, explains."""
    count = sum(row.texts for row in found.classes)
    if abs(found.accuracy - result["test_accuracy"]) > max(SAME, 1.5 / count):
        now, before = (f"{100 * accuracy:.2f} %" for accuracy in (found.accuracy, result["test_accuracy"]))
        told = f"has a test accuracy of {now} on the test texts as they are now, and of {before} in its result.json"
        raise UserError(f"{folder}: {told}; restore the texts, or begin a new sweep")


def with_together(results, runs, found, size):
    """The results of a sweep with "together": the seeds of a group; and in each row the groups measured and planned, the mean of
    the FIGURES over the former and their standard deviation, None where there is none."""
    rows = []
    for row, groups in zip(results["rows"], groups_of(runs, size).values()):
        measured = [found[group.name] for group in groups if group.name in found]
        together = {"groups": len(measured), "planned": len(groups)}
        for name, key in FIGURES.items():
            together[name], together[f"{name}_spread"] = mean_and_spread([figures[key] for figures in measured])
        rows.append({**row, "together": together})
    return {**results, "together": size, "rows": rows}
