"""Gradient steps on one text, and the walk at which they end. Each step computes with whatever gradient is there,
broken or not.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from engine.support.errors import UserError
from engine.support.text import sanitize
from engine.training.calibration import softmax
from engine.types import Floats1d, Floats2d
from layers.experiments.explore.source import Scene
from layers.experiments.trace.stages import TITLES
from layers.experiments.trace.walk import Walk
from layers.wave import Wave


class Course(NamedTuple):
    """walk: of the text after the last step. losses: (n + 1,); probabilities: (n + 1, C), before and after each step.

    diverged: the steps were ended, since the next would have led to numbers that are not finite. at: name of the stage
    whose backward is broken, or would be.
    """

    walk: Walk
    at: str
    losses: Floats1d
    probabilities: Floats2d
    diverged: bool


def breakable_stage(at: str, names: list[str]) -> str:
    """The name of the stage that a state calls `at`; where this network has none of this name, that of the logits.

    names: of all stages. Raises UserError for a name that no network has.
    """
    found = {short_name(name): name for name in names}
    if at not in found and at.rpartition(".")[2] not in TITLES:
        raise UserError(f"at: there is no stage {sanitize(at, 40)!r}; there are {', '.join(found)}")
    return found.get(at, "classifier")


def short_name(name: str) -> str:
    """The name of a stage without that of the first block."""
    return name.removeprefix("blocks.0.")


def spoiled(kind: str) -> Callable[[Any], Any]:
    """What a wrong backward makes of the gradient that it receives. kind: of BREAKS.

    A path that is missing in the backward of a wave is that of the imaginary part, through the other tokens.
    """
    if kind == "sign":
        return lambda d: Wave(-d.re, -d.im) if isinstance(d, Wave) else -d
    if kind == "factor":
        return lambda d: Wave(d.re / 2, d.im / 2) if isinstance(d, Wave) else d / 2
    return lambda d: Wave(d.re, 0 * d.im) if isinstance(d, Wave) else 0 * d


def course_of(scene: Scene) -> Course:
    """The Course of a Scene."""
    state, subject = scene.state, scene.subject
    walk = Walk(subject.network, subject.batch)
    at = breakable_stage(state.at, [stage.name for stage in walk.stages])
    faults = {} if state.broken == "none" else {at: spoiled(state.broken)}
    if faults:
        walk = Walk(subject.network, subject.batch, faults)
    recorder, parameters = walk.recorder, walk.network.parameters()
    learning = [p for name, p in parameters.items() if state.learns == "everything" or name == "embedding.table"]
    losses, probabilities = [float(walk.values["loss"])], [class_probabilities(walk.values["classifier"])]
    diverged = False
    with np.errstate(all="ignore"):
        for _ in range(state.steps):
            before = [parameter.value for parameter in learning]
            for parameter in learning:
                parameter.value = parameter.value - state.rate * parameter.dense_grad()
            walk.network.zero_grad()
            recorder.calls.clear()
            loss, cache = walk.network.loss_forward(subject.batch)
            walk.network.loss_backward(cache, loss.dtype.type(1.0))
            if diverged := not is_finite(walk.network, float(loss)):
                for parameter, value in zip(learning, before):
                    parameter.value = value
                break
            losses.append(float(loss))
            probabilities.append(class_probabilities(cache.logits))
        if state.steps:
            walk = Walk(walk.network, subject.batch, faults)
    return Course(walk, at, np.array(losses), np.array(probabilities), diverged)


def class_probabilities(logits: Floats2d) -> Floats1d:
    """(1, C) → (C,)."""
    probabilities: Floats1d = softmax(logits)[0]
    return probabilities


def is_finite(network: Any, loss: float) -> bool:
    """Whether a step from here leads to finite numbers: the loss and the gradients are, and none is enormous."""
    gradients = [parameter.grad_array() for parameter in network.parameters().values()]
    return bool(np.isfinite(loss)) and all(np.all(abs(g) < 1e100) for g in gradients if g is not None)
