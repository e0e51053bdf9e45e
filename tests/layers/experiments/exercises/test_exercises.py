"""Every exercise is the project's equation: its forward, the terms of its gradients, and what the check finds right."""

import ast
import inspect

import numpy as np
import pytest

from layers.experiments.exercises.check import EXAMPLES, check_file, expected_gradients, sizes_of, terms_of
from layers.experiments.exercises.draws import Random
from layers.experiments.exercises.fit import Finding, diagnose
from layers.experiments.exercises.learner import freeze
from layers.experiments.exercises.report import verdict_as_text
from layers.experiments.exercises.table import EXERCISES
from tests.support.exercise_equations import FUNCTIONS, equation, write_with_equation
from tests.support.paths import ROOT


def examples(task):
    """Random inputs, and those of the singular place if there is one."""
    yield from (task.draw(Random(i)) for i in range(100, 120))
    if hasattr(task, "singular"):
        yield task.singular(Random(0))[1]


def test_all_exercises_have_an_equation():
    assert list(EXERCISES) == list(FUNCTIONS) and len(EXERCISES) >= 13


@pytest.mark.parametrize("name", EXERCISES)
def test_the_file_of_a_learner_is_whole(name):
    """It compiles, names its exercise and equation, imports NumPy alone, has a hole, and none of the terms."""
    exercise = EXERCISES[name]
    text = exercise.text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree).startswith(f"Exercise {name} ({exercise.number}): ")
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= {"numpy", "math"} and not [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert "\nWrite backward. Then: wave-network exercise --check THIS_FILE\n" in text
    assert text.count("raise NotImplementedError(") == 1 and "terms" not in [
        n.name for n in tree.body if "name" in n._fields
    ]
    assert len(text.splitlines()) <= 40 and text.endswith('")\n')


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_solution_and_derivation_exist(exercise):
    assert f"{exercise.number}  " in (ROOT / exercise.solution).read_text(encoding="utf-8")
    chapter = (ROOT / exercise.chapter).read_text(encoding="utf-8")
    assert f"**{exercise.derivation}" in chapter or f"## {exercise.derivation}\n" in chapter


@pytest.mark.parametrize("name", EXERCISES)
def test_forward_and_terms_are_those_of_the_equation(name):
    """On random batches and at singular places: the sum of the terms is what the equation's backward returns."""
    task = EXERCISES[name].task()
    forward, backward = equation(name)
    for number, inputs in enumerate(examples(task)):
        with np.errstate(all="ignore"):
            y = task.forward(*inputs)[0]
        expected, cache = forward(*inputs)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)
        dy, terms, sums = expected_gradients(task, inputs, Random(number, 1).like(np.asarray(y)))
        gradients = backward(dy, cache)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        assert [name[1:] for name in terms] == [
            p for p in inspect.signature(task.forward).parameters if f"d{p}" in terms
        ]
        for gradient, found in zip(gradients, sums.values(), strict=True):
            np.testing.assert_allclose(found, gradient, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_backward_of_the_equation_is_right(name, tmp_path):
    verdict = check_file(write_with_equation(tmp_path / "mine.py", name))
    assert verdict.ok, verdict_as_text(verdict)
    assert f"The same in this project: {EXERCISES[name].solution}" in verdict_as_text(verdict)


def test_all_arrays_of_a_cache_are_frozen():
    arrays = [np.zeros(1) for _ in range(4)]
    freeze((arrays[0], [{"a": [arrays[1]]}], {"b": {"c": (arrays[2],)}, "d": arrays[3]}))
    assert not any(array.flags.writeable for array in arrays)


def test_examples_have_texts_of_all_kinds():
    """None, one and several tokens, in every example; the first example is the smallest."""
    found = [np.diff(Random(i).offsets()) for i in range(EXAMPLES)]
    assert all({0, 1} <= set(n) and max(n) > 1 for n in found)
    assert found[0].sum() == min(n.sum() for n in found) <= 3


@pytest.mark.parametrize("name", EXERCISES)
def test_sizes_of_the_examples_can_be_told_apart(name):
    """No two sizes are the same in all examples, and counts differ among them: they are no constant factor."""
    task = EXERCISES[name].task()
    found = [named_sizes(task, inputs, dy) for inputs, dy in drawn(task)]
    columns = {key: tuple(size[key] for size in found) for key in found[0]}
    assert len(set(columns.values())) == len(columns)
    assert all(len(set(column)) > 1 for key, column in columns.items() if "the number of" in key)


@pytest.mark.parametrize("name", EXERCISES)
def test_every_known_mistake_can_be_told(name):
    """Each mistake in each term alone, made of the arrays that the check itself uses, is found as this and no other."""
    task = EXERCISES[name].task()
    found = [(task.terms(dy, *inputs), named_sizes(task, inputs, dy)) for inputs, dy in drawn(task)]
    sizes = [size for _, size in found]
    for gradient in found[0][0]:
        terms = terms_of([terms[gradient] for terms, _ in found])
        for term in terms:
            for mistake, values in term.mistaken.items():
                others = [other.values for other in terms if other is not term]
                got = [np.sum(parts, axis=0) for parts in zip(values, *others)]
                assert diagnose(got, terms, sizes) == [Finding(term.name, mistake)], gradient


def named_sizes(task, inputs, dy):
    """The sizes of an example."""
    return sizes_of(task, dy, dict(zip(inspect.signature(task.forward).parameters, inputs)))


def drawn(task):
    """The (inputs, cotangent) that the check takes."""
    for i in range(EXAMPLES):
        inputs = task.draw(Random(i))
        dy = Random(i, 1).like(np.asarray(task.forward(*inputs)[0]))
        yield inputs, dy if dy.ndim else dy[()]
