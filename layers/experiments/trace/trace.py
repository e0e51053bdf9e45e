"""A trace: one text through a network in float64 and back, with every gradient checked, and the trace as JSON."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from engine.gradcheck.arrays import norm
from engine.gradcheck.report import json_safe
from engine.support.errors import UserError
from engine.training.calibration import softmax
from engine.types import Array, Floats1d
from layers.experiments.trace.stages import FORMULAS
from layers.experiments.trace.subject import Subject
from layers.experiments.trace.walk import Quantity, Walk, compare, quantities_of
from layers.wave import OPERATIONS

SETTINGS = {  # of the network, in JSON
    "wave": ("dimension", "operation", "readout", "scope"),
    "transformer": ("dimension", "heads", "blocks"),
}


class Trace(NamedTuple):
    """A walk with all its quantities checked.

    quantities: in the order of the forward pass; parameters come before the values that are computed with them. shown:
    how many entries of each array; dimension: that of the phasors.
    """

    subject: Subject
    walk: Walk
    quantities: list[Quantity]
    shown: int
    dimension: int

    @property
    def wrong(self) -> list[Quantity]:
        """Quantities whose gradient does not match, the one nearest to the loss first."""
        return [q for q in backwards(self.quantities) if q.check is not None and q.check.verdict == "WRONG"]

    @property
    def ok(self) -> bool:
        """Whether all gradients match."""
        return not self.wrong


def trace_subject(
    subject: Subject,
    shown: int = 4,
    dimension: int = 0,
    seed: int = 0,
    entries: bool = True,
    faults: dict[str, Callable[[Any], Any]] | None = None,
) -> Trace:
    """The Trace of a Subject. Raises UserError for a dimension that the network lacks.

    shown, dimension: as in Trace; seed: of the directions; faults: as in Walk. entries: also differentiate by each
    entry shown, not only along one direction, which takes four times as long.
    """
    config = subject.network.config
    if dimension >= config.dimension:
        raise UserError(f"--dimension-shown {dimension}: the network has the dimensions 0 to {config.dimension - 1}")
    walk = Walk(subject.network, subject.batch, faults)
    weights = walk.logit_slopes()

    def checked(i: int, quantity: Quantity, locate: bool = False) -> Quantity:
        """The Quantity with its Comparison. Its direction depends on its place alone."""
        if quantity.logits is None:
            return quantity
        last = 1.0 if quantity.name == "loss" else weights
        arrays, count = (last, quantity.value, quantity.gradient), shown if entries else 0
        return quantity._replace(check=compare(quantity.logits, *arrays, count, locate, seed + i))

    quantities = [checked(i, q) for i, q in enumerate(quantities_of(walk))]
    trace = Trace(subject, walk, quantities, shown, dimension)
    if not trace.ok:  # name the worst entry of the first wrong gradient; the others follow from it
        i = next(i for i, q in enumerate(quantities) if q is trace.wrong[0])
        quantities[i] = checked(i, quantities[i], locate=True)
    return trace


def backwards(quantities: list[Quantity]) -> list[Quantity]:
    """Quantities from the loss to the embedding table: each value, then the parameters it was computed with."""
    stages = list(dict.fromkeys(q.stage.name for q in quantities))
    return sorted(
        (q for q in quantities if q.kind != "reading"),
        key=lambda q: (-stages.index(q.stage.name), q.kind == "parameter"),
    )


def first_wrong(trace: Trace) -> str:
    """A sentence: which backward is the first to go wrong, seen from the loss."""
    wrong = trace.wrong[0]
    users = (
        [wrong.stage] if wrong.kind == "parameter" else [s for s in trace.walk.stages if wrong.stage.name in s.inputs]
    )
    names = " or ".join(f"{FORMULAS[s.equation].number} {FORMULAS[s.equation].name} ({s.title})".strip() for s in users)
    checked = sum(q.check is not None for q in trace.quantities)
    return (
        f"WRONG: {len(trace.wrong)} of {checked} gradients do not match their numerical values; seen from the loss "
        f"the first is that of {wrong.title}, which comes from the backward of {names}"
    )


def verdict_line(trace: Trace) -> str:
    """The outcome in a sentence."""
    if not trace.ok:
        return first_wrong(trace)
    checked = [q.check.verdict for q in trace.quantities if q.check]
    counts = {"kink": "at a kink", "rounding": "too small to be checked"}
    more = [f"{checked.count(verdict)} {words}" for verdict, words in counts.items() if verdict in checked]
    matching = f"{checked.count('ok')} of {len(checked)} gradients match their numerical values"
    return ", ".join([matching, *more])


def probabilities(trace: Trace) -> Floats1d:
    """(C,) class probabilities of the text."""
    return softmax(trace.walk.values["classifier"])[0]


class PhasorWave(NamedTuple):
    """A wave of a text in one dimension. values: (T,) complex; radius, circle: of a circle, and what the circle is."""

    title: str
    values: Array
    radius: float
    circle: str


def phasor_waves(trace: Trace) -> list[list[PhasorWave]]:
    """For each block its waves in the dimension shown.

    The waves of a text lie on the circle of its global magnitude; a modulation on that of their product; an
    interference within that of the sum.
    """
    k, found = trace.dimension, []
    values = {q.name: q.value for q in trace.quantities}
    titles = {s.name: s.title for s in trace.walk.stages}
    for stage in trace.walk.stages:
        if stage.equation not in OPERATIONS:
            continue
        magnitudes = [values[f"{name}.magnitude"] for name in stage.inputs]
        # Of several sentences the largest.
        G = [float(magnitude[:, k if magnitude.shape[1] > 1 else 0].max()) for magnitude in magnitudes]
        rows = [(name, radius, text) for name, radius, text in zip(stage.inputs, G, ("G", "G′"))]
        bound, circle = OPERATIONS[stage.equation].circle
        rows.append((stage.name, bound(*G), circle))
        waves = trace.walk.values
        found.append(
            [PhasorWave(titles[name], waves[name].as_complex()[:, k], radius, text) for name, radius, text in rows]
        )
    return found


def as_json_object(trace: Trace) -> Any:
    """The trace as a dict for strict JSON: NaN and infinities as strings.

    Arrays are given by their shape, norm and first entries.
    """
    subject, classes = trace.subject, trace.subject.classes
    config, labels = subject.network.config, subject.batch.labels
    assert labels is not None  # of every Subject

    def forward_row(q: Quantity) -> dict[str, Any]:
        about = {"name": q.name, "title": q.title, "kind": q.kind, "equation": FORMULAS[q.equation].number}
        return {**about, "shape": list(q.value.shape), **size_of(q.value)}

    def size_of(array: Any) -> dict[str, Any]:
        return {"norm": norm(np.ravel(array)), "values": np.ravel(array)[: trace.shown].tolist()}

    def backward_row(q: Quantity) -> dict[str, Any]:
        assert q.check is not None  # of every gradient
        check, about = q.check._asdict(), {"name": q.name, "title": q.title, "kind": q.kind}
        return {**about, **size_of(q.gradient), "numeric_values": check.pop("entries"), **check}

    def wave_row(wave: PhasorWave) -> dict[str, Any]:
        re, im = wave.values.real.tolist(), wave.values.imag.tolist()
        return {"title": wave.title, "re": re, "im": im, "radius": wave.radius, "circle": wave.circle}

    waves = [[wave_row(wave) for wave in block] for block in phasor_waves(trace)]
    return json_safe(
        {
            "ok": trace.ok, "verdict": verdict_line(trace), "origin": subject.origin,
            "network": {"model": config.model, **{name: getattr(config, name) for name in SETTINGS[config.model]}},
            "tokens": subject.tokens, "label": classes[int(labels[0])], "loss": float(trace.walk.values["loss"]),
            "probabilities": dict(zip(classes, probabilities(trace).tolist())),
            "forward": [forward_row(q) for q in trace.quantities if q.kind != "parameter"],
            "backward": [backward_row(q) for q in backwards(trace.quantities)],
            "phasors": {"dimension": trace.dimension, "blocks": waves} if config.model == "wave" else {},
        }
    )  # fmt: skip
