"""The exercises: name, equation, what is asked. A learner's file, and what the check needs, are in tasks/NAME.py."""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

from engine.types import Array

MARKER = "# --- not in the learner's file ---"
Inputs: TypeAlias = tuple[Any, ...]
Terms: TypeAlias = Mapping[str, Sequence[tuple[str, Array, Mapping[str, Array]]]]


class Task(Protocol):
    """A module of tasks/. Beside these functions it has, where they apply:

    singular(random) → (what is singular there, inputs): inputs where the gradient is a convention.
    sizes(dy, *inputs) → {description: number}: numbers by which a gradient may be wrongly multiplied or divided,
    beside the sizes of a batch of texts.
    """

    def forward(self, *inputs: Any) -> tuple[Any, Any]:
        """Return y and the cache of the equation."""

    def draw(self, random: Any) -> Inputs:
        """Return random inputs of forward; random: a draws.Random."""

    def terms(self, dy: Any, *inputs: Any) -> Terms:
        """Return for each gradient its terms (name, array, {mistake: array with it}); their sum is the gradient.

        A gradient is named d and the name of the argument of forward.
        """


class Exercise(NamedTuple):
    """equation: file of the solution and, with .md, of its chapter, in layers/ and without suffix.

    derivation: where in the chapter.
    """

    name: str
    number: str
    asked: str
    equation: str
    derivation: str = "Derivation"

    @property
    def solution(self) -> str:
        """The file with the equation."""
        return f"layers/{self.equation}.py"

    @property
    def chapter(self) -> str:
        """The chapter of the equation."""
        return f"layers/{self.equation}.md"

    def task(self) -> Task:
        """The module tasks/NAME.py."""
        return cast(Task, importlib.import_module(f"layers.experiments.exercises.tasks.{self.name}"))

    def text(self) -> str:
        """The file that a learner gets."""
        return inspect.getsource(cast(Any, self.task())).split(MARKER)[0].rstrip() + "\n"


EXERCISES = {
    exercise.name: exercise
    for exercise in (
        Exercise("interference", "E5", "dA, dB of Z = A + B", "wave/interference"),
        Exercise("linear", "E8", "dx, dW, db of y = x·W + b", "standard/linear"),
        Exercise("embedding", "E9", "dE of y_j = E[id_j]", "standard/embedding"),
        Exercise("modulation", "E6", "dA, dB of Z = A·B", "wave/modulation"),
        Exercise("dropout", "E13", "dx of y = x·m/(1 − θ)", "standard/dropout"),
        Exercise("mean_pooling", "E14", "dx of the mean of each text", "standard/pooling"),
        Exercise("max_pooling", "E14", "dx of the maximum of each text", "standard/pooling"),
        Exercise("gelu", "E11", "dx of y = x·Φ(x)", "standard/gelu"),
        Exercise("readout_magnitude", "E7", "dZ of y = |Z|", "wave/readout"),
        Exercise("readout_phase", "E7", "dZ of y = atan2(im, re)", "wave/readout"),
        Exercise("cross_entropy", "E15", "dz of the loss of smoothed labels", "standard/softmax_cross_entropy"),
        Exercise("layer_norm", "E10", "dx, dγ, dβ of a layer norm", "standard/layer_norm"),
        Exercise("modulated_magnitude", "E17", "da, db of y = G_A·G_B", "wave/modulated_magnitude", "Directly"),
        Exercise("attention", "E18", "dq, dk, dv of one head", "standard/attention"),
        Exercise("token2wave", "E4", "dw of Z = w + i·v (hard)", "wave/token2wave", "E4.3 Second derivation: directly"),
    )
}
