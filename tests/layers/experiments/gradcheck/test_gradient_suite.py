"""The contract, for every function pair and network of the gradient suite."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import layers.wave
from engine.arrays.backend import random_generator
from engine.gradcheck import TOLERANCES
from layers.experiments.gradcheck import Case, Problem
from layers.experiments.gradcheck.cases import CASES
from layers.experiments.gradcheck.exact_cases import EXACT_CASES
from layers.experiments.gradcheck.inputs import random_offsets
from layers.experiments.gradcheck.suite import check_case, check_exact, methods_of, report_of
from layers.experiments.gradcheck.wave_draws import draw_token2wave
from layers.fast import FUNCTIONS
from tests.support.examples import examples
from tests.support.layer_laws import Run

PAIRS = [case for case in CASES if not case.name.startswith("network")]
COMPOSED = [
    case
    for case in PAIRS
    if case.name.startswith(("wave pair", "feed-forward")) or case.name.endswith(("counts", "of a sum", "3 heads"))
]
EQUATIONS = [case for case in PAIRS if case not in COMPOSED]
NETWORKS = [case for case in CASES if case.name.startswith("network")]
TOLERANCE_OF = {**TOLERANCES, "float64_twin": 1e-5}


def by_method(cases, methods):
    """The tests of these cases by methods(case), each with a readable name."""
    chosen = [(case, method) for case in cases for method in methods_of(case) if method in methods(case)]
    return pytest.mark.parametrize("case, method", chosen, ids=[f"{case.name}, {method}" for case, method in chosen])


@pytest.mark.thorough
@by_method(EQUATIONS, lambda case: {"complex_step" if case.analytic else "five_point"})
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_every_pair_is_right_on_200_batches(case, method, seed):
    """By the sharpest method that a pair allows."""
    assert_right(case, method, seed)


@by_method(PAIRS, lambda case: {"complex_step" if case.analytic else "five_point"})
@given(st.integers(0, 2**32 - 1))
@examples(40)
def test_every_pair_and_composition_is_right(case, method, seed):
    """Random batches: complex step to 1e-12, five points to 1e-7."""
    assert_right(case, method, seed)


@pytest.mark.thorough
@by_method([case for case in PAIRS if case.analytic], lambda case: {"five_point"})
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None)
def test_five_points_agree(case, method, seed):
    assert_right(case, method, seed)


def assert_right(case, method, seed):
    report = report_of(case, method, case.draw(random_generator(seed)), seed)
    assert report.ok and report.tolerance == TOLERANCE_OF[method], str(report)
    assert {row.method for row in report.rows} == {method}


@by_method(PAIRS, lambda case: {"richardson", "float64_twin"})
def test_other_methods_agree(case, method):
    result = check_case(case, method, examples=1, seed=1)
    assert result.ok and result.tolerance == TOLERANCE_OF[method], result


@by_method(NETWORKS, lambda case: {"complex_step" if case.analytic else "five_point", "float64_twin"})
def test_every_parameter_of_a_network_has_the_right_gradient(case, method, examples=1):
    result = check_case(case, method, examples, seed=1)
    assert result.ok and result.tolerance == TOLERANCE_OF[method], result
    assert method != "five_point" or result.worst_relative_error <= 1e-8, result


@pytest.mark.thorough
@by_method(NETWORKS, lambda case: {"complex_step", "five_point", "richardson", "float64_twin"})
def test_every_parameter_has_it_by_every_method(case, method):
    examples = 25 if method in ("complex_step", "five_point") else 3
    test_every_parameter_of_a_network_has_the_right_gradient(case, method, examples)


@pytest.mark.parametrize("name", EXACT_CASES)
def test_singular_points_have_their_exact_values(name):
    assert check_exact(name).ok, EXACT_CASES[name]()


def test_an_exact_case_fails_for_any_other_number_shape_or_dtype(monkeypatch):
    right = np.array([1.0, 2.0])
    for found in (right + [0, 1e-15], right[:1], right.astype(np.float32)):
        monkeypatch.setitem(EXACT_CASES, "wrong", lambda found=found: ((found,), (right,)))
        assert not check_exact("wrong").ok


def test_case_names_are_unique():
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_function_pair_has_a_case():
    """Some case calls whatever layers.wave exports, EQUATIONS, and all that is composed of them contain."""
    exported = {f for name, f in vars(layers.wave).items() if name.endswith(("_forward", "_backward"))}
    exported -= {layers.wave.operation_forward, layers.wave.operation_backward}  # look an operation up
    pairs = exported | {f for pair in FUNCTIONS["equations"].pairs.values() for f in pair}
    seen = set()

    def watch(frame, event, _):
        if event == "call":
            seen.add(frame.f_code)

    previous = sys.getprofile()
    sys.setprofile(watch)
    try:
        for case in CASES:
            if not case.name.startswith("network"):
                run = Run(case)
                run.backward(run.cotangent())
    finally:
        sys.setprofile(previous)
    assert len(pairs) >= 30
    assert {f.__name__ for f in pairs if f.__code__ not in seen} == set()


def test_a_wrong_backward_makes_a_case_fail():
    def draw(rng):
        right = draw_token2wave("dimension", rng)

        def corrupted(dz, cache):
            return right.backward(dz, cache) - dz.re

        return Problem(right.forward, corrupted, right.inputs)

    for method in methods_of(Case("", draw)):
        if method != "float64_twin":  # which judges precision, not truth
            result = check_case(Case("corrupted", draw), method)
            assert not result.ok and result.worst_relative_error > result.tolerance


def test_one_failing_example_makes_a_case_fail():
    drawn = []

    def draw(rng):
        drawn.append(draw_token2wave("dimension", rng))
        right = drawn[-1]
        return (
            right
            if len(drawn) != 2
            else Problem(right.forward, lambda dz, cache: -right.backward(dz, cache), right.inputs)
        )

    assert not check_case(Case("corrupted once", draw), "five_point", examples=4).ok and len(drawn) == 4


@pytest.mark.parametrize("seed", range(20))
def test_random_batches_have_short_and_longer_texts(seed):
    """One text of one token and one of several, at least."""
    offsets = random_offsets(np.random.default_rng(seed))
    lengths = np.diff(offsets)
    assert offsets[0] == 0 and offsets.dtype == np.int64 and 1 in lengths and lengths.max() > 1 and lengths.min() >= 0
