"""Forward mode: right tangents pass, wrong ones are found; and a backward is checked as a forward."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.gradcheck import assert_gradients, check_gradients, check_jvp

METHODS = pytest.mark.parametrize("method", ["auto", "complex_step", "five_point", "richardson"])
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))
Z = X + 1j * Y


def forward(x, y):
    return np.sin(x) * y, None


def tangent(inputs, tangents):
    (x, y), (dx, dy) = inputs, tangents
    return np.cos(x) * dx * y + np.sin(x) * dy


def both(inputs, tangents):
    return forward(*inputs)[0], tangent(inputs, tangents)


@METHODS
@pytest.mark.parametrize("jvp", [tangent, both])
def test_a_right_tangent_passes_alone_and_after_y(method, jvp):
    report = check_jvp(forward, jvp, (X, Y), method=method)
    assert_gradients(report)
    assert [row.name for row in report.rows[3:]] == ["input 0", "input 1"]


@METHODS
@given(st.integers(0, 3), st.integers(0, 2), st.sampled_from([0, 1]), st.floats(0.01, 10.0))
@settings(max_examples=10)
def test_a_wrong_entry_is_named(method, row, column, position, off):
    def wrong(inputs, tangents):
        found = tangent(inputs, tangents)
        found[row, column] += off * tangents[position][row, column]
        return found

    report = check_jvp(forward, wrong, (X, Y), method=method)
    entries = {found.name: found.entry for found in report.failures}
    assert f"input {1 - position}" not in entries, str(report)
    assert entries[f"input {position}"].startswith(f"[{row}, {column}]: numeric "), str(report)


WRONG = {
    "sign": lambda inputs, tangents: -tangent(inputs, tangents),
    "factor": lambda inputs, tangents: 1.0001 * tangent(inputs, tangents),
    "term": lambda inputs, tangents: np.sin(inputs[0]) * tangents[1],
    "not linear": lambda inputs, tangents: tangent(inputs, [np.abs(t) for t in tangents]),
    "y in the place of the tangent": lambda inputs, tangents: forward(*inputs)[0],
    "NaN": lambda inputs, tangents: np.nan * tangent(inputs, tangents),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_tangents_fail(name):
    report = check_jvp(forward, WRONG[name], (X, Y))
    assert {"input 0", "all, direction 1"} <= {row.name for row in report.failures}, str(report)


@pytest.mark.parametrize(
    ("jvp", "message"),
    [
        (lambda x, u: (1.001 * forward(*x)[0], tangent(x, u)), "its y is not that of forward"),
        (
            lambda x, u: (tangent(x, u),) * 3,
            r"returned tangent\[0\], tangent\[1\], tangent\[2\]; expected tangent, alone",
        ),
        (lambda x, u: None, "returned nothing; expected tangent|tangent is a NoneType, expected an array"),
        (lambda x, u: "text", "tangent is a str, expected an array"),
        (lambda x, u: tangent(x, u)[:2], r"tangent is float64 of shape \(2, 3\), expected float64 of shape \(4, 3\)"),
        (lambda x, u: tangent(x, u).astype(np.float32), r"tangent is float32 of shape \(4, 3\), expected float64"),
    ],
)
def test_what_is_no_tangent_fails_in_words(jvp, message):
    report = check_jvp(forward, jvp, (X, Y))
    assert [row.name for row in report.failures] == ["jvp"]
    with pytest.raises(AssertionError, match=message):
        assert_gradients(report)


PAIRS = {
    "a pair of results": (
        lambda x, y: ((x * y, x + y), None),
        lambda x, u: (u[0] * x[1] + x[0] * u[1], u[0] + u[1]),
        (X, Y),
    ),
    "y, tangent of a pair of results": (
        lambda x, y: ((x * y, x + y), None),
        lambda x, u: ((x[0] * x[1], x[0] + x[1]), (u[0] * x[1] + x[0] * u[1], u[0] + u[1])),
        (X, Y),
    ),
    "a pair as an input": (
        lambda pair: (pair[0] * pair[1], None),
        lambda x, u: tangent_of_product(x[0], u[0]),
        ((X, Y),),
    ),
    "complex, with conj": (
        lambda a, b: (a * np.conj(b), None),
        lambda x, u: u[0] * np.conj(x[1]) + x[0] * np.conj(u[1]),
        (Z, Z[::-1]),
    ),
    "a scalar loss": (lambda x: (np.sum(x * x), None), lambda x, u: np.sum(2 * x[0] * u[0]), (X,)),
    "0-d": (lambda x: (x * x, None), lambda x, u: 2 * x[0] * u[0], (np.array(0.3),)),
    "other arguments": (
        lambda x, power, text: (x**power, text),
        lambda x, u: x[1] * x[0] ** (x[1] - 1) * u[0] if u[1:] == (None, None) else None,
        (X, 3, "text"),
    ),
}


def tangent_of_product(pair, along):
    return along[0] * pair[1] + pair[0] * along[1]


@pytest.mark.parametrize("name", PAIRS)
def test_inputs_and_results_of_every_form(name):
    function, jvp, inputs = PAIRS[name]
    assert_gradients(check_jvp(function, jvp, inputs))
    assert not check_jvp(function, lambda x, u: doubled(jvp(x, u)), inputs).ok


def doubled(tree):
    return tuple(map(doubled, tree)) if isinstance(tree, tuple) else 2.0 * tree


def test_inputs_that_are_left_out_have_zero_tangents():
    seen = []

    def jvp(inputs, tangents):
        seen.append(tangents)
        return tangent(inputs, tangents)

    assert_gradients(check_jvp(forward, jvp, (X, Y), wrt=[1]))
    assert seen and all(np.array_equal(dx, np.zeros((4, 3))) and np.any(dy) for dx, dy in seen)
    seen.clear()
    assert_gradients(check_jvp(lambda y, x: forward(x, y), lambda x, u: jvp(x[::-1], u[::-1]), (Y, X), wrt=[1, 0]))


def test_generators_are_in_the_same_state_for_both():
    drop = lambda x, rng: (x * (rng.random(x.shape) < 0.5), None)  # noqa: E731
    rng = np.random.default_rng(5)
    assert_gradients(check_jvp(drop, lambda x, u: drop(u[0], x[1])[0], (X, rng)))
    assert not check_jvp(drop, lambda x, u: drop(u[0], np.random.default_rng(6))[0], (X, rng)).ok


def test_a_jvp_with_a_random_stream_of_its_own_fails():
    rng = np.random.default_rng(0)
    report = check_jvp(forward, lambda x, u: tangent(x, u) + rng.normal(), (X, Y))
    assert "different results for the same arguments" in str(report) and not report.ok


def test_kinks_are_kinks_and_gross_errors_are_none():
    relu = lambda x: (np.where(np.real(x) > 0, x, 0.0), None)  # noqa: E731
    x = np.array([0.0, 1.0, -1.0])
    report = check_jvp(relu, lambda x, u: u[0] * (x[0] > 0), (x,))
    assert report.ok and report.kinks and not report.failures, str(report)
    assert check_jvp(relu, lambda x, u: u[0] * (x[0] > 0), (x,), kink="fail").failures
    assert check_jvp(relu, lambda x, u: u[0] * (x[0] > 0) + 5.0 * u[0], (x,)).failures


def test_rounding_is_no_error():
    """Softmax does not see the shift b: its tangent is what rounding leaves."""

    def softmax(z, b):
        e = np.exp(z + b)
        return e / e.sum(axis=1, keepdims=True), None

    def jvp(inputs, tangents):
        y = softmax(*inputs)[0]
        dz = tangents[0] + tangents[1]
        return y * (dz - (y * dz).sum(axis=1, keepdims=True))

    report = check_jvp(softmax, jvp, (X, np.array([1.7])))
    assert report.ok and not report.failures, str(report)
    wrong = check_jvp(softmax, lambda x, u: jvp(x, u) + 1e-9 * u[1], (X, np.array([1.7])))
    assert [row.name for row in wrong.failures if row.name.startswith("input")] == ["input 1"], str(wrong)


def test_rounding_of_the_inputs_is_no_error():
    """Both sides compute the cosine near its zeros of numbers that differ by one rounding."""
    x = 10.0 * (np.pi * (np.arange(300, 320) + 0.5) + 0.01)
    assert np.any(x * 0.1 != x / 10.0)
    sine = lambda x: (np.sin(x * 0.1), None)  # noqa: E731
    report = check_jvp(sine, lambda x, u: 0.1 * np.cos(x[0] / 10.0) * u[0], (x,))
    assert report.unresolved and not report.failures, str(report)
    assert check_jvp(sine, lambda x, u: 0.1 * (1 + 1e-9) * np.cos(x[0] / 10.0) * u[0], (x,)).failures


def test_a_seed_repeats_the_check():
    first, again, other = (check_jvp(forward, tangent, (X, Y), seed=seed) for seed in (1, 1, 2))
    assert first == again and first.rows[0].numeric != other.rows[0].numeric


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"directions": 0}, "^directions: expected at least 1, got 0$"),
        ({"method": "forward"}, "^method: expected one of "),
        ({"kink": "ignore"}, "^kink: expected one of "),
        ({"wrt": [2]}, "^wrt: there is no input 2"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        check_jvp(forward, tangent, (X, Y), **options)
    with pytest.raises(ValueError, match="^inputs: expected a tuple of the arguments of forward, got ndarray"):
        check_jvp(forward, tangent, X)


def tanh_backward(dy, x):
    return dy * (1 - np.tanh(x) ** 2), (dy, x)


@pytest.mark.parametrize("factor", [1.0, -1.0, 0.999])
def test_the_backward_of_a_backward_is_checked(factor):
    def second_backward(ddx, cache):
        dy, x = cache
        y = np.tanh(x)
        return ddx * (1 - y * y), factor * ddx * dy * -2 * y * (1 - y * y)

    report = check_gradients(tanh_backward, second_backward, (Y, X))
    assert report.ok if factor == 1.0 else [row.name for row in report.failures][-1] == "input 1", str(report)


def test_a_backward_has_a_forward_mode_too():
    """Forward over reverse: the tangent of a gradient, as in a Hessian–vector product."""

    def jvp(inputs, tangents):
        (dy, x), (ddy, dx) = inputs, tangents
        y = np.tanh(x)
        return (1 - y * y) * (ddy - 2 * dy * y * dx)

    assert_gradients(check_jvp(tanh_backward, jvp, (Y, X)))
    assert not check_jvp(tanh_backward, lambda x, u: jvp(x, (u[0], -u[1])), (Y, X)).ok
