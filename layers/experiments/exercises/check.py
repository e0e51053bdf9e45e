"""Check a learner's backward: by the gradient checker, and term by term where it is wrong."""

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.gradcheck import GradientReport, check_gradients
from engine.gradcheck.arrays import Array, Vector, norm, real_parts
from engine.support.command import command_name
from engine.support.errors import UserError
from layers.experiments.exercises.draws import Random
from layers.experiments.exercises.fit import Finding, Term, diagnose
from layers.experiments.exercises.learner import Learner, freeze
from layers.experiments.exercises.table import EXERCISES, Exercise, Inputs, Task, Terms
from layers.experiments.exercises.worst import Entry, place_of, worst_entry

EXAMPLES = 4
TOLERANCE = 1e-7  # of a gradient beside the sum of its terms, as of the gradient checker's five points


class Example(NamedTuple):
    """Arguments of forward, by name, and the cotangent; what the learner's backward returned, beside what is right.

    cache: of the learner's forward. singular: what makes the arguments singular, "" for usual ones.
    """

    arguments: dict[str, Any]
    dy: Any
    cache: Any
    terms: Terms
    got: dict[str, Array]
    right: dict[str, Array]
    singular: str

    def is_right(self, name: str) -> bool:
        """Whether a gradient agrees with the sum of its terms."""
        got, right = vector(self.got[name]), vector(self.right[name])
        return norm(got - right) <= TOLERANCE * norm(right)


class Gradient(NamedTuple):
    """The verdict on one gradient. findings: [] where it is right, or wrong in no known way. worst: None if right."""

    name: str
    findings: list[Finding]
    worst: Entry | None


class Verdict(NamedTuple):
    """reports: of the gradient checker, one an example, up to the first that fails."""

    exercise: Exercise
    path: str
    gradients: list[Gradient]
    reports: list[GradientReport]

    @property
    def ok(self) -> bool:
        """Whether the gradient checker passes and every gradient is right, at singular places too."""
        return all(gradient.worst is None for gradient in self.gradients) and all(report.ok for report in self.reports)


def check_file(path: str, name: str | None = None) -> Verdict:
    """Check the backward in a file. name: the exercise; by default the one that its docstring names.

    Raises UserError for a file that cannot be checked: see Learner, run_example() and received().
    """
    learner = Learner(path)
    exercise = exercise_of(learner, name)
    task = exercise.task()
    examples = [run_example(learner, task, task.draw(Random(i)), i) for i in range(EXAMPLES)]
    names = list(examples[0].terms)
    wrt = [list(examples[0].arguments).index(name[1:]) for name in names]
    reports: list[GradientReport] = []
    for example in examples:
        if not reports or reports[-1].ok:
            inputs = tuple(example.arguments.values())
            reports.append(check_gradients(learner.forward, learner.backward, inputs, wrt=wrt))
    if hasattr(task, "singular"):
        singular, inputs = task.singular(Random(EXAMPLES))
        examples.append(run_example(learner, task, inputs, EXAMPLES, singular))
    swapped = exchanged(names, examples)
    gradients = [judge(name, swapped.get(name), learner, task, examples) for name in names]
    return Verdict(exercise, path, gradients, reports)


def exercise_of(learner: Learner, name: str | None) -> Exercise:
    """Return the exercise of a file; UserError where its docstring names none and `name` does not either."""
    named = learner.exercise if learner.exercise in EXERCISES else None
    if named is None and name is None:
        told = "its docstring does not begin with 'Exercise' and the name of one"
        raise UserError(f"{learner.path}: {told}; give the name: {command_name()} exercise NAME --check FILE")
    if name is not None and named is not None and name != named:
        raise UserError(f"{learner.path}: is the exercise {named}, not {name}; leave out {name}")
    return EXERCISES[name or named or ""]


def run_example(learner: Learner, task: Task, inputs: Inputs, number: int, singular: str = "") -> Example:
    """Run the learner's forward and backward once, on arrays that cannot be written into.

    Raises UserError where forward has become another function, and as received() does.
    """
    freeze(inputs)
    y, cache = learner.forward(*inputs)
    with np.errstate(all="ignore"):
        expected = np.asarray(task.forward(*inputs)[0])
    if np.shape(y) != expected.shape or not np.allclose(y, expected, rtol=1e-12, atol=1e-12):
        raise UserError(f"{learner.path}: forward no longer computes the equation; restore it")
    dy, terms, right = of_cotangent(task, inputs, Random(number, 1).like(expected))
    arguments = dict(zip(inspect.signature(task.forward).parameters, inputs))
    got = received(learner.path, learner.backward(dy, freeze(cache)), right, arguments.get("offsets"))
    return Example(arguments, dy, cache, terms, got, right, singular)


def of_cotangent(task: Task, inputs: Inputs, dy: Array) -> tuple[Any, Terms, dict[str, Array]]:
    """Return (dy, read-only, the terms, their sums); dy of a number as a number."""
    dy = freeze(dy) if dy.ndim else dy[()]
    terms = task.terms(dy, *inputs)
    return dy, terms, {name: np.sum([value for _, value, _ in of_one], axis=0) for name, of_one in terms.items()}


def received(path: str, returned: Any, right: dict[str, Array], offsets: Any) -> dict[str, Array]:
    """Return what backward returned, by name; UserError for a wrong number, type, shape or dtype, and for NaN."""
    values = returned if isinstance(returned, (tuple, list)) else (returned,)
    if len(values) != len(right):
        got = f"{len(values)} gradient{'s' * (len(values) != 1)}"
        raise UserError(f"{path}: backward returned {got}, expected {len(right)}: {', '.join(right)}")
    for (name, expected), got in zip(right.items(), values):
        if not isinstance(got, (np.ndarray, np.generic)):
            told = f"is of type {type(got).__name__}, expected an array of shape {expected.shape}"
        elif got.shape != expected.shape:
            told = f"has shape {got.shape}, expected {expected.shape}{reason_of_shape(np.asarray(got), expected)}"
        elif got.dtype != expected.dtype:
            told = f"has dtype {got.dtype}, expected {expected.dtype}"
        elif not np.isfinite(got).all():
            index = [int(i) for i in np.argwhere(~np.isfinite(got))[0]]
            value = "NaN" if np.isnan(np.asarray(got)[tuple(index)]) else "infinite"
            told = f"is {value} at {index}{place_of(index, expected, offsets)}; divide only where the divisor is not 0"
        else:
            continue
        raise UserError(f"{path}: {name} {told}")
    return dict(zip(right, map(np.asarray, values)))


def reason_of_shape(got: Array, right: Array) -> str:
    """Say what a gradient of a wrong shape lacks, where that makes it right; "" otherwise."""
    if got.T.shape == right.shape and np.allclose(got.T, right):
        return ": it is transposed"
    if got.size == right.size and np.allclose(got.reshape(right.shape), right):
        return ": the numbers are right, drop the axis of length 1"
    if got.shape[1:] == right.shape and np.allclose(got.sum(axis=0), right):
        return ": it is not summed over the rows"
    return ""


def exchanged(names: Sequence[str], examples: Sequence[Example]) -> dict[str, str]:
    """Return {name of a gradient: the other} where backward returned two of them in the wrong order."""

    def is_other(name: str, other: str) -> bool:
        pairs = [(vector(e.got[name]), vector(e.right[other])) for e in examples]
        return all(a.shape == b.shape and norm(a - b) <= TOLERANCE * norm(b) for a, b in pairs)

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
        findings = min_findings(name, task, usual) or no_cotangent(name, learner, task, wrong)
    return Gradient(name, findings, worst_entry(wrong.got[name], wrong.right[name], wrong.arguments.get("offsets")))


def min_findings(name: str, task: Task, examples: Sequence[Example]) -> list[Finding]:
    """Return the shorter diagnosis by terms() and, where there are any, parts(); [] where there is none."""
    got = [vector(example.got[name]) for example in examples]
    sizes = [task.sizes(e.dy, *e.arguments.values()) if hasattr(task, "sizes") else {} for e in examples]
    found = [diagnose(got, terms_of([e.terms[name] for e in examples]), sizes)]
    if hasattr(task, "parts"):
        parts = [task.parts(e.dy, *e.arguments.values())[name] for e in examples]
        found.append(diagnose(got, terms_of(parts), sizes))
    return min((findings for findings in found if findings), key=len, default=[])


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


def no_cotangent(name: str, learner: Learner, task: Task, example: Example) -> list[Finding]:
    """Find whether a gradient is the same for another cotangent."""
    inputs = tuple(example.arguments.values())
    dy, _, right = of_cotangent(task, inputs, Random(0, 2).like(np.asarray(example.dy)))
    again = received(learner.path, learner.backward(dy, example.cache), right, example.arguments.get("offsets"))
    return [Finding("", "does not depend on the cotangent")] if np.array_equal(again[name], example.got[name]) else []


def vector(array: Array) -> Vector:
    """Return an array, real or complex, as one real vector."""
    return real_parts(np.asarray(array)).ravel()
