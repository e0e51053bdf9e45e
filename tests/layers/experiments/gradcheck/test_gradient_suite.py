"""The contract, for every function pair and network of the gradient suite."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import layers.wave
from engine.arrays.backend import random_generator
from layers.experiments.gradcheck import cases as gradient_cases
from layers.experiments.gradcheck.cases import CASES, draw_token2wave
from layers.experiments.gradcheck.exact_cases import EXACT_CASES
from layers.experiments.gradcheck.problem import Case, Problem
from layers.experiments.gradcheck.suite import check_case, check_exact, methods_of, report_of
from layers.standard import (
    attention,
    dropout,
    embedding,
    gelu,
    layer_norm,
    linear,
    pooling,
    relu,
    softmax_cross_entropy,
)
from tests.support.layer_laws import arrays, assert_equal, distance, random_like, to_bytes, tree_map

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
FLOAT32_BOUND = 1e-5


class Run:
    """A problem drawn from a case, in some dtype and memory layout, ready to be called."""

    def __init__(self, case, seed=0, dtype=np.float64, layout=lambda x: x):
        problem = case.draw(np.random.default_rng(seed))
        self.forward, self._backward, self.parameters = problem.forward, problem.backward, problem.parameters or {}

        def prepared(x):
            return layout(x.astype(np.float32).astype(dtype)) if x.dtype.kind == "f" and x.ndim else x

        self.inputs = tree_map(prepared, tuple(problem.inputs))
        for parameter in self.parameters.values():
            parameter.value = prepared(parameter.value)
        self.y, self.cache = self.forward(*self.inputs)

    def backward(self, dy, cache=None):
        """The gradients of inputs and parameters as one list of arrays."""
        for parameter in self.parameters.values():
            parameter.grad = None
        returned = self._backward(dy, self.cache if cache is None else cache)
        return [*arrays(returned), *(p.dense_grad() for p in self.parameters.values())]

    def cotangent(self, seed=1, dtype=np.float64):
        return random_like(np.random.default_rng(seed), self.y, dtype)


PAIRS = [case for case in CASES if not case.name.startswith("network")]
COMPOSED = [
    case for case in PAIRS if case.name.startswith("wave pair") or case.name.endswith((", bias", "of a sum", "3 heads"))
]
EQUATIONS = [case for case in PAIRS if case not in COMPOSED]
NETWORKS = [case for case in CASES if case.name.startswith("network")]


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


@by_method(PAIRS, lambda case: {"complex_step", "five_point"})
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_every_pair_and_composition_is_right(case, method, seed):
    """25 random batches: complex step to 1e-12, five points to 1e-7."""
    assert_right(case, method, seed)


def assert_right(case, method, seed):
    report = report_of(case, method, case.draw(random_generator(seed)), seed)
    assert report.ok and report.tolerance == {"complex_step": 1e-12, "five_point": 1e-7}[method], str(report)
    assert {row.method for row in report.rows} == {method}


@by_method(PAIRS, lambda case: {"richardson", "float64_twin"})
def test_other_methods_agree(case, method):
    result = check_case(case, method, examples=3, seed=1)
    assert result.ok and result.tolerance == {"richardson": 1e-8, "float64_twin": 1e-5}[method], result


@by_method(NETWORKS, lambda case: {"complex_step", "five_point", "richardson", "float64_twin"})
def test_every_parameter_of_a_network_has_the_right_gradient(case, method):
    result = check_case(case, method, examples=2, seed=1)
    assert result.ok and result.tolerance == (1e-5 if method == "float64_twin" else 1e-6), result


@pytest.mark.parametrize("name", EXACT_CASES)
def test_singular_points_have_their_exact_values(name):
    assert check_exact(name).ok, EXACT_CASES[name]()


def test_an_exact_case_fails_for_any_other_number_shape_or_dtype(monkeypatch):
    right = np.array([1.0, 2.0])
    for found in (right + [0, 1e-15], right[:1], right.astype(np.float32)):
        monkeypatch.setitem(EXACT_CASES, "wrong", lambda found=found: ((found,), (right,)))
        assert not check_exact("wrong").ok


@every_case
def test_backward_is_repeatable(case):
    run = Run(case)
    dy = run.cotangent()
    assert to_bytes(run.backward(dy)) == to_bytes(run.backward(dy))


@every_case
def test_forward_is_repeatable(case):
    run = Run(case)
    assert to_bytes(run.forward(*run.inputs)[0]) == to_bytes(run.y)


@every_case
def test_neither_pass_writes_into_what_it_was_given(case):
    """Inputs, parameters, cotangent, cache and result stay as they are."""
    run = Run(case)
    dy = run.cotangent()
    values = [p.value for p in run.parameters.values()]
    before = to_bytes((run.inputs, values, run.cache, run.y, dy))
    run.forward(*run.inputs)
    run.backward(dy)
    assert to_bytes((run.inputs, values, run.cache, run.y, dy)) == before


@every_case
def test_backward_works_on_read_only_arrays(case):
    run = Run(case)
    dy = run.cotangent()
    expected = to_bytes(run.backward(dy))
    for array in arrays((run.inputs, [p.value for p in run.parameters.values()], run.cache, dy)):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    run.forward(*run.inputs)
    assert to_bytes(run.backward(dy)) == expected


@every_case
def test_a_cotangent_of_zero_gives_exactly_zero(case):
    run = Run(case)
    assert not any(g.any() for g in run.backward(tree_map(np.zeros_like, run.y)))


@every_case
def test_backward_is_linear_in_the_cotangent(case):
    run = Run(case)
    first, second = run.cotangent(1), run.cotangent(2)
    pairs = zip(arrays(first), arrays(second))
    mixed = iter([np.asarray(2.0 * a - 0.5 * b)[()] for a, b in pairs])
    actual = run.backward(tree_map(lambda _: next(mixed), run.y))
    expected = [2.0 * a - 0.5 * b for a, b in zip(run.backward(first), run.backward(second))]
    assert_equal(actual, expected, 1e-12)


@every_case
def test_gradients_have_shape_and_dtype_of_what_they_belong_to(case):
    for dtype in (np.float32, np.float64):
        run = Run(case, dtype=dtype)
        found = run.backward(run.cotangent(dtype=dtype))
        floats = [x for x in arrays(run.inputs) if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
        wanted = [*floats, *(p.value for p in run.parameters.values())]
        assert [(g.shape, g.dtype) for g in found] == [(x.shape, x.dtype) for x in wanted]
        assert all(y.dtype == dtype for y in arrays(run.y))


@every_case
def test_a_cotangent_of_another_dtype_is_refused(case):
    run = Run(case)
    if not np.ndim(arrays(run.y)[0]):
        pytest.skip("the cotangent of a loss is a plain number")
    with pytest.raises(ValueError, match="expected dtype float64"):
        run.backward(run.cotangent(dtype=np.float32))


@every_case
def test_float32_agrees_with_float64(case):
    single, double = Run(case, dtype=np.float32), Run(case)
    dy = single.cotangent(dtype=np.float32)
    assert distance(tree_map(np.float64, single.y), double.y) <= FLOAT32_BOUND
    wide = tree_map(lambda a: a.astype(np.float64), dy)
    for gradient, expected in zip(single.backward(dy), double.backward(wide), strict=True):
        assert np.linalg.norm(gradient - expected) <= FLOAT32_BOUND * np.linalg.norm(expected)


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "every second column": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: x[::-1].copy()[::-1],
}


@every_case
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_memory_layout_does_not_matter(case, layout):
    plain, other = Run(case), Run(case, layout=layout)
    dy = plain.cotangent()
    laid_out = tree_map(lambda a: layout(a) if isinstance(a, np.ndarray) and a.ndim else a, dy)
    assert_equal(other.y, plain.y, 1e-14)
    assert_equal(other.backward(laid_out), plain.backward(dy), 1e-13)


def test_case_names_are_unique():
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_function_pair_has_a_case():
    """Every function of layers.wave and layers.standard that ends in _forward or _backward is called by some case."""
    modules = [
        layers.wave,
        attention,
        dropout,
        embedding,
        gelu,
        layer_norm,
        linear,
        pooling,
        relu,
        softmax_cross_entropy,
    ]
    pairs = {f for m in modules for name, f in vars(m).items() if name.endswith(("_forward", "_backward"))}
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
    offsets = gradient_cases.random_offsets(np.random.default_rng(seed))
    lengths = np.diff(offsets)
    assert offsets[0] == 0 and offsets.dtype == np.int64 and 1 in lengths and lengths.max() > 1 and lengths.min() >= 0
