"""The rows of the linear peer in the table of a sweep: one for each distinct corpus, beside the networks that learn from it."""

import hashlib
import json
from typing import NamedTuple

from engine.benchmark.linear_peer import LABEL
from engine.data.config import DataConfig
from engine.training.sweep.results import OF_A_RUN, summary

TEXTS = ("corpus", "train_file", "test_file", "text_columns", "label_column")  # of DataConfig: which texts there are to learn from and to label
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
    about_texts = {name for name, axis in description.axes.items() if any(set(TEXTS) & changes.keys() for changes in axis.values())}
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
    each = [{"seed": None, "run": peer.name, **{key: found[peer.name].get(key) for key in OF_A_RUN}}] if peer.name in found else []
    return {**summary(each, 1), "seeds": None, "planned": None}
