"""One text's walk through the readable network and back: every array with its gradient. No mathematics of its own.

A Quantity is an array of the walk with the function that all later stages make of it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.ragged import RaggedBatch
from engine.gradcheck import check_recorded_gradient
from engine.gradcheck.arrays import leaves, rebuild
from engine.layer import RowSparse
from engine.types import Array, Floats, Floats2d
from layers.experiments.trace.stages import Again, Recorder, Stage, stages_of
from layers.networks import Transformer, WaveNetwork
from layers.networks.parts import twin
from layers.standard.softmax_cross_entropy import softmax_cross_entropy_forward
from layers.wave import global_magnitude_forward, phase_forward

VERDICTS = {"ok": "ok", "FAIL": "WRONG", "kink": "kink", "noise": "rounding"}


class Comparison(NamedTuple):
    """numeric, analytic: the slope along a random unit direction. entries: numerical derivatives by the first entries.

    verdict: "ok"; "WRONG"; "kink": the function has no derivative here; "rounding": they differ by more than the
    tolerance but by less than rounding explains, so the gradient is too small to be checked. message: says more where
    not ok.
    """

    numeric: float
    analytic: float
    difference: float
    verdict: str
    message: str
    entries: list[float]


def compare(
    f: Callable[[Any], Any],
    weights: Any,
    value: Any,
    gradient: Any,
    shown: int = 4,
    locate: bool = False,
    seed: int = 0,
) -> Comparison:
    """Check a recorded gradient; arguments as of check_recorded_gradient."""
    row, entries = check_recorded_gradient(f, weights, value, gradient, shown=shown, locate=locate, seed=seed)
    assert row.numeric is not None and row.analytic is not None and row.absolute_error is not None
    message = row.message or (f"worst entry {row.entry}" if row.entry else "")
    return Comparison(row.numeric, row.analytic, row.absolute_error, VERDICTS[row.verdict], message, entries)


STEP = 1e-30  # of the complex step
READABLE: dict[str, type[WaveNetwork] | type[Transformer]] = {"wave": WaveNetwork, "transformer": Transformer}


class Walk:
    """One batch through the readable network and back, every value and gradient recorded.

    values, gradients: dicts by the names of the stages; values also of "ids". A wave is a Wave, its gradient too.
    network: the readable twin of the given one; its gradients are those of this batch. faults: by name of a stage, a
    function that spoils the gradient that its backward receives.
    """

    def __init__(self, network: Any, batch: RaggedBatch, faults: dict[str, Callable] | None = None):
        self.recorder, self.batch, faults = Recorder(), batch, faults or {}
        self.network = twin(network, self.recorder.functions, READABLE[network.config.model])
        _, cache = self.network.loss_forward(batch)
        calls = self.recorder.calls
        self.stages = stages_of(self.network, calls, cache)
        self.values = {"ids": batch.ids, **{stage.name: calls[stage.number].value for stage in self.stages}}
        self.recorder.faults = {stage.number: faults[stage.name] for stage in self.stages if stage.name in faults}
        self.network.loss_backward(cache, self.values["loss"].dtype.type(1.0))
        self.gradients = {stage.name: self.recorder.gradients[stage.number] for stage in self.stages}

    def logits_with(self, name: str, value: Any) -> Floats2d:
        """The logits when the value `name` is replaced and everything after it is computed anew."""
        number = next(stage.number for stage in self.stages if stage.name == name)
        return self.logits_again(Again(self.recorder.calls, number, value))

    def logits_with_parameter(self, name: str, value: Floats) -> Floats2d:
        """The logits when a parameter is replaced; its own value is back in place afterwards."""
        first, parameter = next((s.number, s.parameters[name]) for s in self.stages if name in s.parameters)
        kept, parameter.value = parameter.value, value
        try:
            return self.logits_again(Again(self.recorder.calls, first))
        finally:
            parameter.value = kept

    def logits_again(self, again: Again) -> Floats2d:
        """The logits of the batch, computed again in part."""
        self.recorder.again = again
        try:
            return self.network.forward(self.batch)[0]
        finally:
            self.recorder.again = None

    def logit_slopes(self) -> Floats2d:
        """(B, C): dL/dlogits by complex step, to rounding, from the forward of the loss alone."""
        logits, labels = self.values["classifier"], self.batch.labels
        assert labels is not None
        slopes = np.zeros_like(logits)
        for index in np.ndindex(*logits.shape):
            moved = logits.astype(np.complex128)
            moved[index] += 1j * STEP
            slopes[index] = softmax_cross_entropy_forward(moved, labels)[0].imag / STEP
        return slopes


Logits = Callable[[Any], Floats]  # an array of the walk → the logits


class Quantity(NamedTuple):
    """One array of the walk. kind: "intermediate"; "parameter"; "reading": shown, but not on the path (E1 and E2).

    equation: a key of FORMULAS. logits: of this array → (1, C), computed by all later stages; for the loss, the array
    itself. gradient, logits and check: None for a reading; check is None until checked.
    """

    name: str
    title: str
    kind: str
    equation: str
    stage: Stage
    value: Array
    gradient: Array | None = None
    logits: Logits | None = None
    check: Comparison | None = None


def quantities_of(walk: Walk) -> list[Quantity]:
    """All Quantities, unchecked, in the order of the forward pass; parameters come before the values made with them."""
    found: list[Quantity] = []
    for stage in walk.stages:
        found += [parameter_quantity(walk, stage, name) for name in stage.parameters]
        found += readings(walk, stage)
        parts = zip(leaves(walk.values[stage.name], stage.name), leaves(walk.gradients[stage.name], stage.name))
        for i, ((name, value), (_, gradient)) in enumerate(parts):
            title = stage.title + name[len(stage.name) :].replace(".", " ")
            logits = logits_of_value(walk, stage, i)
            found.append(Quantity(name, title, "intermediate", stage.equation, stage, value, gradient, logits))
    return found


def logits_of_value(walk: Walk, stage: Stage, position: int) -> Logits:
    """The logits as a function of one leaf of a stage's value (a wave has two); the loss stays as it is."""
    if stage.name == "loss":
        return np.asarray
    whole = walk.values[stage.name]
    return lambda x: walk.logits_with(stage.name, with_leaf(whole, position, x))


def with_leaf(tree: Any, position: int, leaf: Any) -> Any:
    """The tree with one leaf replaced."""
    return rebuild(tree, iter([leaf if i == position else old for i, (_, old) in enumerate(leaves(tree, ""))]))


def parameter_quantity(walk: Walk, stage: Stage, name: str) -> Quantity:
    """The Quantity of a parameter; of a table only the rows in use, since the text does not depend on the others."""
    parameter = stage.parameters[name]
    title = f"{stage.title}: {name.rpartition('.')[2]}"
    if not isinstance(parameter.grad, RowSparse):
        logits = partial(walk.logits_with_parameter, name)
        return Quantity(name, title, "parameter", stage.equation, stage, parameter.value, parameter.grad, logits)
    rows, values = parameter.grad
    title = f"{name.replace('.', ' ')} in use"

    def logits_with_rows(x: Floats2d) -> Floats2d:
        table = parameter.value.copy()
        table[rows] = x
        return walk.logits_with_parameter(name, table)

    return Quantity(name, title, "parameter", stage.equation, stage, parameter.value[rows], values, logits_with_rows)


def readings(walk: Walk, stage: Stage) -> list[Quantity]:
    """Global magnitude and phase beside a wave: the closed form E4 does without them."""
    if stage.equation != "token2wave":
        return []
    assert isinstance(walk.network, WaveNetwork)
    w, offsets = walk.recorder.calls[stage.number].arguments[:2]
    G, _ = global_magnitude_forward(w, offsets, walk.network.config.scope)
    alpha, _ = phase_forward(w, G, offsets)
    parts = [("magnitude", "magnitude G", "global magnitude", G), ("phase", "phase α", "phase", alpha)]
    return [
        Quantity(f"{stage.name}.{name}", f"{stage.title} {title}", "reading", e, stage, value)
        for name, title, e, value in parts
    ]
