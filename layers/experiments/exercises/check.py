"""Check a learner's backward: by the gradient checker, and term by term where it is wrong."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.gradcheck import GradientReport, check_gradients
from engine.gradcheck.arrays import Vector, real_parts
from engine.support.command import command_name
from engine.support.errors import UserError
from engine.types import Array
from layers.experiments.exercises.draws import Random, batch_sizes
from layers.experiments.exercises.fit import Finding, Term, diagnose
from layers.experiments.exercises.learner import Learner, freeze, importable
from layers.experiments.exercises.table import EXERCISES, Exercise, Inputs, Task, Terms
from layers.experiments.exercises.worst import Entry, is_right, worst_entry

EXAMPLES = 4


class Example(NamedTuple):
    """Arguments of forward, by name, with y and a cotangent; what the learner's backward returned, and what is right.

    singular: what makes the arguments singular, "" for usual ones.
    """

    arguments: dict[str, Any]
    y: Array
    dy: Any
    terms: Terms
    right: dict[str, Array]
    got: dict[str, Array]
    singular: str

    @property
    def inputs(self) -> Inputs:
        """Arguments of forward."""
        return tuple(self.arguments.values())

    @property
    def offsets(self) -> Any:
        """(B + 1,) of the texts; None where there are none."""
        return self.arguments.get("offsets")

    def is_right(self, name: str) -> bool:
        """Tell whether a gradient agrees with the sum of its terms."""
        return is_right(self.got[name], self.right[name])


class Gradient(NamedTuple):
    """The verdict on one gradient. findings: [] where it is right, or wrong in no known way. worst: None if right."""

    name: str
    findings: list[Finding]
    worst: Entry | None


class Verdict(NamedTuple):
    """reports: of the gradient checker, one an example, up to the first that fails.

    hidden_state: the gradients are right, but not once forward has run on other inputs.
    """

    exercise: Exercise
    path: str
    gradients: list[Gradient]
    reports: list[GradientReport]
    hidden_state: bool

    @property
    def all_right(self) -> bool:
        """Whether every gradient is right where backward follows its forward, at singular places too."""
        return all(gradient.worst is None for gradient in self.gradients)

    @property
    def ok(self) -> bool:
        """Whether the gradients are right, need no hidden state, and pass the gradient checker."""
        return self.all_right and not self.hidden_state and all(report.ok for report in self.reports)


def check_file(path: str, name: str | None = None) -> Verdict:
    """Check the backward in a file. name: the exercise; by default the one that its docstring names.

    Raises UserError for a file that cannot be checked: see Learner and run_example().
    """
    with importable(path) as module:
        return check(Learner(path, module), name)


def check(learner: Learner, name: str | None) -> Verdict:
    """Check a learner's backward, as check_file() does."""
    exercise = exercise_of(learner, name)
    task = exercise.task()
    examples = [run_example(learner, task, task.draw(Random(i)), i) for i in range(EXAMPLES)]
    reports: list[GradientReport] = []
    for example in examples:
        if not reports or reports[-1].ok:
            reports.append(check_numerically(learner, example))
    if hasattr(task, "singular"):
        singular, inputs = task.singular(Random(EXAMPLES))
        examples.append(run_example(learner, task, inputs, EXAMPLES, singular))
    names = list(examples[0].right)
    swapped = find_swapped(names, examples)
    gradients = [judge(name, swapped.get(name), learner, task, examples) for name in names]
    verdict = Verdict(exercise, learner.path, gradients, reports, hidden_state=False)
    return verdict._replace(hidden_state=verdict.all_right and has_hidden_state(learner, *examples[:2]))


def exercise_of(learner: Learner, name: str | None) -> Exercise:
    """Return the exercise of a file; UserError where its docstring names none and `name` does not either."""
    named = learner.exercise if learner.exercise in EXERCISES else name
    if named is None:
        reason = "its docstring does not begin with 'Exercise' and the name of one"
        raise UserError(f"{learner.path}: {reason}; give the name: {command_name()} exercise NAME --check FILE")
    if name not in (None, named):
        raise UserError(f"{learner.path}: is the exercise {named}, not {name}; leave out {name}")
    return EXERCISES[named]


def run_example(learner: Learner, task: Task, inputs: Inputs, number: int, singular: str = "") -> Example:
    """Run the learner's forward and backward once, on arrays that cannot be written into.

    Raises UserError where forward has become another function, and as Learner does.
    """
    freeze(inputs)
    with np.errstate(all="ignore"):
        expected = np.asarray(task.forward(*inputs)[0])
    y, cache = learner.forward(inputs, expected)
    if y.dtype != expected.dtype or not np.allclose(y, expected, rtol=1e-12, atol=1e-12):
        raise UserError(f"{learner.path}: forward no longer computes the equation; restore it")
    dy, terms, right = expected_gradients(task, inputs, Random(number, 1).like(expected))
    arguments = dict(zip(inspect.signature(task.forward).parameters, inputs))
    got = learner.backward(dy, cache, right, arguments.get("offsets"))
    return Example(arguments, expected, dy, terms, right, got, singular)


def expected_gradients(task: Task, inputs: Inputs, dy: Array) -> tuple[Any, Terms, dict[str, Array]]:
    """Return (dy, read-only, the terms, their sums); dy of a number as a number."""
    dy = freeze(dy) if dy.ndim else dy[()]
    terms = task.terms(dy, *inputs)
    return dy, terms, {name: np.sum([value for _, value, _ in found], axis=0) for name, found in terms.items()}


def check_numerically(learner: Learner, example: Example) -> GradientReport:
    """Run the gradient checker on an example."""

    def forward(*inputs: Any) -> tuple[Array, Any]:
        return learner.forward(inputs, example.y)

    def backward(dy: Any, cache: Any) -> tuple[Array, ...]:
        return tuple(learner.backward(dy, cache, example.right, example.offsets).values())

    wrt = [list(example.arguments).index(name[1:]) for name in example.right]
    return check_gradients(forward, backward, example.inputs, wrt=wrt)


def has_hidden_state(learner: Learner, example: Example, other: Example) -> bool:
    """Tell whether right gradients become wrong, or none, once forward has run on other inputs."""
    _, cache = learner.forward(example.inputs, example.y)
    learner.forward(other.inputs, other.y)
    try:
        got = learner.backward(example.dy, cache, example.right, example.offsets)
    except UserError:
        return True
    return not all(is_right(got[name], right) for name, right in example.right.items())


def find_swapped(names: Sequence[str], examples: Sequence[Example]) -> dict[str, str]:
    """Return {name of a gradient: the other} where backward returned two of them in the wrong order."""

    def is_other(name: str, other: str) -> bool:
        return all(is_right(example.got[name], example.right[other]) for example in examples)

    wrong = [name for name in names if not all(example.is_right(name) for example in examples)]
    return {a: b for a in wrong for b in wrong if a != b and is_other(a, b) and is_other(b, a)}


def judge(name: str, swapped: str | None, learner: Learner, task: Task, examples: Sequence[Example]) -> Gradient:
    """Compare one gradient with the sum of its terms in every example, and say what is wrong."""
    wrong = next((example for example in examples if not example.is_right(name)), None)
    if wrong is None:
        return Gradient(name, [], None)
    usual = [example for example in examples if not example.singular]
    if swapped is not None:
        findings = [Finding("", f"exchanged with {swapped}")]
    elif wrong.singular:
        findings = [Finding("", f"wrong only where {wrong.singular}")]
    else:
        got = [vector(example.got[name]) for example in usual]
        sizes = [sizes_of(task, example.dy, example.arguments) for example in usual]
        findings = diagnose(got, terms_of([example.terms[name] for example in usual]), sizes) or []
        if not findings and ignores_cotangent(name, learner, task, wrong):
            findings = [Finding("", "does not depend on the cotangent")]
    return Gradient(name, findings, worst_entry(wrong.got[name], wrong.right[name], wrong.offsets))


def sizes_of(task: Task, dy: Any, arguments: Mapping[str, Any]) -> dict[str, float]:
    """Return the named numbers by which a gradient may be wrongly multiplied or divided."""
    sizes = batch_sizes(arguments["offsets"]) if "offsets" in arguments else {}
    return {**sizes, **(task.sizes(dy, *arguments.values()) if hasattr(task, "sizes") else {})}


def terms_of(found: Sequence[Sequence[tuple[str, Array, Any]]]) -> list[Term]:
    """Return the terms of one gradient in every example as Terms."""
    return [
        Term(
            same[0][0],
            [vector(value) for _, value, _ in same],
            {mistake: [vector(mistaken[mistake]) for _, _, mistaken in same] for mistake in same[0][2]},
        )
        for same in zip(*found)
    ]


def ignores_cotangent(name: str, learner: Learner, task: Task, example: Example) -> bool:
    """Tell whether a gradient is the same for another cotangent."""
    dy, _, right = expected_gradients(task, example.inputs, Random(0, 2).like(example.y))
    _, cache = learner.forward(example.inputs, example.y)
    again = learner.backward(dy, cache, right, example.offsets)
    return np.array_equal(again[name], example.got[name])


def vector(array: Array) -> Vector:
    """Return an array, real or complex, as one real vector."""
    return real_parts(np.asarray(array)).ravel()
