"""Every array of a walk with its gradient and with the function that all that follows makes of it."""

from functools import partial
from typing import Callable, NamedTuple

import numpy as np

from engine.analysis.slope_check import Comparison
from engine.gradcheck.trees import leaves, rebuild
from engine.layer import RowSparse
from layers.trace.stages import Stage
from layers.wave import global_magnitude_forward, phase_forward


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
            found.append(Quantity(name, title, "intermediate", stage.equation, stage, value, gradient, logits_of_value(walk, stage, i)))
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
    return [Quantity(f"{stage.name}.{name}", f"{stage.title} {title}", "reading", e, stage, value) for name, title, e, value in parts]
