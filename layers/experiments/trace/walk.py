"""One text's walk through the stages of a network and back. No mathematics of its own.

Every array of a walk with its gradient and with the function that all that follows makes of it.
"""

from collections.abc import Callable
from functools import partial, reduce
from operator import add
from typing import NamedTuple

import numpy as np

from engine.arrays.ragged import positions
from engine.gradcheck.trees import leaves, rebuild
from engine.layer import RowSparse
from layers.experiments.trace.comparison import Comparison
from layers.experiments.trace.stages import Stage, transformer_stages, wave_stages
from layers.wave import global_magnitude_forward, phase_forward

STAGES = {"wave": wave_stages, "transformer": transformer_stages}
STEP = 1e-30  # of the complex step


def stages_of(network, batch):
    """The stages of a network of any kind for a RaggedBatch with labels, in the order of computation; "loss" is the last."""
    return STAGES[network.config.model](network, batch)


class Walk:
    """One batch through the stages of a network and back; its parameters' gradients are then those of this batch.

    values, gradients: dicts by the names of the stages; values also of "ids" and "places", the numbers of the tokens in their
    texts. A wave is a Wave, its gradient too.
    """

    def __init__(self, network, batch):
        self.stages = stages_of(network, batch)
        places = positions(batch.offsets, len(batch.ids))
        self.values, self.caches = {"ids": batch.ids, "places": places}, []
        for stage in self.stages:
            self.values[stage.name], cache = stage.forward(*self.inputs_of(stage, self.values))
            self.caches.append(cache)
        network.zero_grad()
        self.gradients = {"loss": self.values["loss"].dtype.type(1.0)}
        self.walk_back()

    def inputs_of(self, stage, values):
        return [values[name] for name in stage.inputs]

    def walk_back(self):
        """Fill `gradients`. Where a value is used more than once its shares add, in the order of use."""
        shares = {}
        for stage, cache in zip(reversed(self.stages), reversed(self.caches)):
            if stage.name in shares:
                self.gradients[stage.name] = reduce(add, shares[stage.name])
            for name, share in zip(stage.inputs, stage.backward(self.gradients[stage.name], cache)):
                shares[name] = [share, *shares.get(name, [])]

    def logits_with(self, name, value):
        """The logits when the value `name` is replaced and all that comes after it is computed anew."""
        first = 1 + next(i for i, stage in enumerate(self.stages) if stage.name == name)
        return self.rest({**self.values, name: value}, first)

    def logits_with_parameter(self, name, value):
        """The logits when a parameter is replaced; its own value is back in place afterwards."""
        first, parameter = next((i, s.parameters[name]) for i, s in enumerate(self.stages) if name in s.parameters)
        kept, parameter.value = parameter.value, value
        try:
            return self.rest(dict(self.values), first)
        finally:
            parameter.value = kept

    def rest(self, values, first):
        """The logits by the stages from number `first` on; `values` holds what comes before, and is filled."""
        for stage in self.stages[first:-1]:
            values[stage.name], _ = stage.forward(*self.inputs_of(stage, values))
        return values["classifier"]

    def logit_slopes(self):
        """(B, C): dL/dlogits by complex step, to rounding, from the forward of the loss alone."""
        logits, loss = self.values["classifier"], self.stages[-1]
        slopes = np.zeros_like(logits)
        for index in np.ndindex(*logits.shape):
            moved = logits.astype(np.complex128)
            moved[index] += 1j * STEP
            slopes[index] = loss.forward(moved)[0].imag / STEP
        return slopes


class Quantity(NamedTuple):
    """One array of the walk. kind: "intermediate"; "parameter"; "reading": shown, but not on the path (E1 and E2).

    equation: a key of EQUATIONS. logits: what follows as a function of this array: → (1, C); of the loss itself, the array.
    gradient, logits and check: None for a reading; check is None until checked.
    """

    name: str
    title: str
    kind: str
    equation: str
    stage: Stage
    value: np.ndarray
    gradient: np.ndarray | None = None
    logits: Callable | None = None
    check: Comparison | None = None


def quantities_of(walk, offsets, config):
    """All Quantities, unchecked, in the order of the forward pass; parameters come before what is computed with them."""
    found = []
    for stage in walk.stages:
        found += [parameter_quantity(walk, stage, name) for name in stage.parameters]
        found += readings(walk, stage, offsets, config)
        parts = zip(leaves(walk.values[stage.name], stage.name), leaves(walk.gradients[stage.name], stage.name))
        for i, ((name, value), (_, gradient)) in enumerate(parts):
            title = stage.title + name[len(stage.name) :].replace(".", " ")
            found.append(
                Quantity(
                    name, title, "intermediate", stage.equation, stage, value, gradient, logits_of_value(walk, stage, i)
                )
            )
    return found


def logits_of_value(walk, stage, position):
    """The logits as a function of one leaf of a stage's value (a wave has two); the loss is itself."""
    if stage.name == "loss":
        return np.asarray
    whole = walk.values[stage.name]
    return lambda x: walk.logits_with(stage.name, with_leaf(whole, position, x))


def with_leaf(tree, position, leaf):
    """The tree with one leaf replaced."""
    return rebuild(tree, iter([leaf if i == position else old for i, (_, old) in enumerate(leaves(tree, ""))]))


def parameter_quantity(walk, stage, name):
    """The Quantity of a parameter. Of a table only the rows in use: the text does not depend on the others."""
    parameter = stage.parameters[name]
    title = f"{stage.title}: {name.rpartition('.')[2]}"
    if not isinstance(parameter.grad, RowSparse):
        logits = partial(walk.logits_with_parameter, name)
        return Quantity(name, title, "parameter", stage.equation, stage, parameter.value, parameter.grad, logits)
    rows, values = parameter.grad
    title = f"{name.replace('.', ' ')} in use"

    def logits(x):
        table = parameter.value.copy()
        table[rows] = x
        return walk.logits_with_parameter(name, table)

    return Quantity(name, title, "parameter", stage.equation, stage, parameter.value[rows], values, logits)


def readings(walk, stage, offsets, config):
    """Global magnitude and phase beside a wave: the closed form E4 does without them."""
    if stage.equation != "token2wave":
        return []
    w = walk.values[stage.inputs[0]]
    G, _ = global_magnitude_forward(w, offsets, config.scope)
    alpha, _ = phase_forward(w, G, offsets)
    parts = [("magnitude", "magnitude G", "global magnitude", G), ("phase", "phase α", "phase", alpha)]
    return [
        Quantity(f"{stage.name}.{name}", f"{stage.title} {title}", "reading", e, stage, value)
        for name, title, e, value in parts
    ]
