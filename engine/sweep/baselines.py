"""Rows of the linear SVM in the table of a sweep: one for each distinct corpus, beside its networks."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from engine.data.config import DataConfig
from engine.sweep.description import Description, PlannedRun
from engine.sweep.linear_svm import LABEL
from engine.sweep.results import CLASSIFIER, OF_A_RUN, summary

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
