"""Every value, gradient and numerical derivative of a walk, as rows to print and as JSON.

What is traced: a network in float64, one text as token ids, and the names of tokens and classes.
"""

import re
from itertools import islice
from typing import NamedTuple

import numpy as np

from engine.arrays.ragged import RaggedBatch
from engine.data.config import DataConfig
from engine.data.encoding import FIRST
from engine.gradcheck.report import json_safe
from engine.gradcheck.trees import norm
from engine.support.errors import UserError
from layers.experiments.trace.comparison import compare
from layers.experiments.trace.equations import EQUATIONS
from layers.experiments.trace.walk import Walk, quantities_of
from layers.networks import build_network
from layers.networks.configs import TransformerConfig, WaveNetworkConfig
from layers.networks.text_classifier import TextClassifier
from layers.standard.softmax_cross_entropy import log_softmax

CLASSES = ["0", "1", "2"]  # of a random network
DIMENSION, HIDDEN, HEADS = 4, 5, 2


class Subject(NamedTuple):
    """network: all parameters in float64. batch: one text with its label. tokens: the text's tokens as strings, T of them.

    origin: one line that says which network this is.
    """

    network: TextClassifier
    batch: RaggedBatch
    tokens: list
    classes: list
    origin: str


def random_subject(text, operation=None, readout=None, seed=0, label=None, model="wave"):
    """A small random network whose vocabulary is the words of the text: d = 4, one block, 3 classes.

    Words and punctuation marks are tokens; the first token is [CLS]. Longer texts are cut to the usual number of tokens.
    operation, readout: of a Wave Network, by default the usual ones. label: name of a class, by default the first. Raises UserError for
    an unknown one.
    """
    words = islice(re.finditer(r"\w+|[^\w\s]", text), DataConfig().max_tokens - 1)
    tokens = [FIRST, *(match.group() for match in words)]
    numbers = {
        token: number for number, token in enumerate(dict.fromkeys(tokens[1:]), start=1)
    }  # a "[CLS]" of the text is in pieces
    ids = np.array([0, *(numbers[token] for token in tokens[1:])], np.int64)
    if model == "transformer":
        config = TransformerConfig(
            dimension=DIMENSION, heads=HEADS, hidden=HIDDEN, positions=len(tokens), embedding_scale=1.0
        )
    else:
        chosen = {name: value for name, value in (("operation", operation), ("readout", readout)) if value is not None}
        config = WaveNetworkConfig(dimension=DIMENSION, hidden=HIDDEN, **chosen)
    network = build_network(config, len(numbers) + 1, len(CLASSES), seed, np.float64)
    number = 0 if label is None else class_number(label, CLASSES)
    return Subject(network, one_text(ids, number), tokens, CLASSES, f"random network, seed {seed}")


def trained_subject(run, text, origin, label=None):
    """The best weights of an OpenRun, cast to float64 in place. label: by default the class that they predict for the text."""
    from engine.data.prepare import encode_plain_texts

    ids = encode_plain_texts(run.settings.data, run.vocabulary, [text]).ids
    network = in_float64(run.network)
    if label is None:
        number = int(network.forward(one_text(ids, None))[0].argmax())
    else:
        number = class_number(label, run.classes)
    return Subject(network, one_text(ids, number), run.vocabulary.names(ids), run.classes, origin)


def one_text(ids, label):
    """A RaggedBatch of a single text."""
    return RaggedBatch(ids, np.array([0, len(ids)], np.int64), None if label is None else np.array([label], np.int64))


def class_number(label, classes):
    """The position of a class; UserError when there is none of this name."""
    if label not in classes:
        known = ", ".join(classes[:20]) + (", …" if len(classes) > 20 else "")
        raise UserError(f"--label {label!r}: there is no such class; the classes are {known}")
    return classes.index(label)


def in_float64(network):
    """The same network with all parameters in float64."""
    for parameter in network.parameters().values():
        parameter.value = parameter.value.astype(np.float64)
        parameter.grad = None
    return network


SETTINGS = {
    "wave": ("dimension", "operation", "readout", "scope"),
    "transformer": ("dimension", "heads", "blocks"),
}  # told in JSON


class Trace(NamedTuple):
    """quantities: in the order of the forward pass; parameters come before what is computed with them."""

    subject: Subject
    walk: Walk
    quantities: list
    shown: int
    dimension: int

    @property
    def wrong(self):
        """Quantities whose gradient does not match, the one nearest to the loss first."""
        return [q for q in backwards(self.quantities) if q.check.verdict == "WRONG"]

    @property
    def ok(self):
        return not self.wrong


def trace_subject(subject, shown=4, dimension=0, seed=0, entries=True):
    """The Trace of a Subject. shown: how many entries of each array; dimension: that of the phasors; seed: of the
    directions. entries: also differentiate by each entry shown, not only along one direction; takes four times as long.

    Raises UserError for a dimension that the network lacks.
    """
    config = subject.network.config
    if dimension >= config.dimension:
        raise UserError(f"--dimension-shown {dimension}: the network has the dimensions 0 to {config.dimension - 1}")
    walk = Walk(subject.network, subject.batch)
    weights = walk.logit_slopes()

    def checked(i, quantity, locate=False):
        """The Quantity with its Comparison. Its direction depends on its place alone."""
        if quantity.kind == "reading":
            return quantity
        last = 1.0 if quantity.name == "loss" else weights
        check = compare(
            quantity.logits, last, quantity.value, quantity.gradient, shown if entries else 0, locate, seed + i
        )
        return quantity._replace(check=check)

    quantities = [checked(i, q) for i, q in enumerate(quantities_of(walk, subject.batch.offsets, config))]
    trace = Trace(subject, walk, quantities, shown, dimension)
    if not trace.ok:  # name the worst entry of the first wrong gradient; the others follow from it
        i = next(i for i, q in enumerate(quantities) if q is trace.wrong[0])
        quantities[i] = checked(i, quantities[i], locate=True)
    return trace


def backwards(quantities):
    """Quantities from the loss to the embedding table: each value, then the parameters it was computed with."""
    stages = list(dict.fromkeys(q.stage.name for q in quantities))
    return sorted(
        (q for q in quantities if q.kind != "reading"),
        key=lambda q: (-stages.index(q.stage.name), q.kind == "parameter"),
    )


def first_wrong(trace):
    """A sentence: which backward is the first to go wrong, seen from the loss."""
    wrong = trace.wrong[0]
    users = (
        [wrong.stage] if wrong.kind == "parameter" else [s for s in trace.walk.stages if wrong.stage.name in s.inputs]
    )
    names = " or ".join(
        f"{EQUATIONS[s.equation].number} {EQUATIONS[s.equation].name} ({s.title})".strip() for s in users
    )
    checked = sum(q.check is not None for q in trace.quantities)
    return (
        f"WRONG: {len(trace.wrong)} of {checked} gradients do not match their numerical values; seen from the loss the first is that of "
        f"{wrong.title}, which comes from the backward of {names}"
    )


def verdict_line(trace):
    """The outcome in a sentence."""
    if not trace.ok:
        return first_wrong(trace)
    checked = [q.check.verdict for q in trace.quantities if q.check]
    counts = {"kink": "at a kink", "rounding": "too small to be checked"}
    more = [f"{checked.count(verdict)} {words}" for verdict, words in counts.items() if verdict in checked]
    return f"{checked.count('ok')} of {len(checked)} gradients match their numerical values" + "".join(
        f", {m}" for m in more
    )


def probabilities(trace):
    """(C,) class probabilities of the text."""
    return np.exp(log_softmax(trace.walk.values["classifier"]))[0]


def phasor_waves(trace):
    """For each block [(title, (T,) complex in the dimension shown, radius of a circle, what the circle is)].

    The waves of a text lie on the circle of its global magnitude; a modulation on that of their product; an interference
    within that of the sum.
    """
    k, found = trace.dimension, []
    values = {q.name: q.value for q in trace.quantities}
    for stage in trace.walk.stages:
        if stage.equation not in ("interference", "modulation"):
            continue
        G = [
            float(values[f"{name}.magnitude"][0, k if values[f"{name}.magnitude"].shape[1] > 1 else 0])
            for name in stage.inputs
        ]
        rows = [(name, radius, text) for name, radius, text in zip(stage.inputs, G, ("G", "G′"))]
        rows.append(
            (stage.name, *((G[0] * G[1], "G·G′") if stage.equation == "modulation" else (G[0] + G[1], "G + G′")))
        )
        titles = {s.name: s.title for s in trace.walk.stages}
        found.append(
            [(titles[name], trace.walk.values[name].as_complex()[:, k], radius, text) for name, radius, text in rows]
        )
    return found


def as_json_object(trace):
    """The trace as a dict for strict JSON: NaN and infinities as strings, every array by its shape, norm and first entries."""
    subject, classes = trace.subject, trace.subject.classes
    config = subject.network.config

    def forward_row(q):
        about = {"name": q.name, "title": q.title, "kind": q.kind, "equation": EQUATIONS[q.equation].number}
        return {**about, "shape": list(q.value.shape), **size_of(q.value)}

    def size_of(array):
        return {"norm": norm(np.ravel(array)), "values": np.ravel(array)[: trace.shown].tolist()}

    def backward_row(q):
        check = q.check._asdict()
        return {
            "name": q.name,
            "title": q.title,
            "kind": q.kind,
            **size_of(q.gradient),
            "numeric_values": check.pop("entries"),
            **check,
        }

    waves = [
        [
            {"title": t, "re": z.real.tolist(), "im": z.imag.tolist(), "radius": radius, "circle": circle}
            for t, z, radius, circle in block
        ]
        for block in phasor_waves(trace)
    ]
    return json_safe(
        {
            "ok": trace.ok, "verdict": verdict_line(trace), "origin": subject.origin,
            "network": {"model": config.model, **{name: getattr(config, name) for name in SETTINGS[config.model]}},
            "tokens": subject.tokens, "label": classes[int(subject.batch.labels[0])], "loss": float(trace.walk.values["loss"]),
            "probabilities": dict(zip(classes, probabilities(trace).tolist())),
            "forward": [forward_row(q) for q in trace.quantities if q.kind != "parameter"],
            "backward": [backward_row(q) for q in backwards(trace.quantities)],
            "phasors": {"dimension": trace.dimension, "blocks": waves} if config.model == "wave" else {},
        }
    )  # fmt: skip
