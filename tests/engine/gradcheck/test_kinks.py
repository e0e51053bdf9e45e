"""Kinks are reported as kinks: they excuse what lies on them and nothing beside them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gradcheck import assert_gradients, check_gradients
from tests.support.examples import examples
from tests.support.known_gradients import (
    SEEDS,
    absolute,
    absolute_backward,
    normal,
    relu,
    relu_backward,
    tanh_backward,
)


@pytest.mark.parametrize("method", ["auto", "five_point"])
@examples(20)
@given(seed=SEEDS)
def test_relu_at_zero_is_a_kink(method, seed):
    x = normal(seed, 6)
    x[2] = 0.0
    report = check_gradients(relu, relu_backward, (x,), seed=seed, method=method)
    assert [row.verdict for row in report.rows] == ["kink"] * 3 + ["ok"] and report.ok, str(report)
    assert report.rows[-1].name == "input 0, away from kinks"
    assert check_gradients(relu, relu_backward, (x,), seed=seed, method=method, kink="fail").failures


@pytest.mark.parametrize("method", ["auto", "five_point", "richardson"])
def test_a_block_that_only_moves_at_kinks_is_not_passed(method):
    report = check_gradients(relu, relu_backward, (np.zeros(3),), method=method)
    assert len(report.kinks) == 3 == len(report.rows) and not report.ok and report.unchecked == ("input 0",), str(
        report
    )
    with pytest.raises(AssertionError, match="input 0: nothing is known of its gradient"):
        assert_gradients(report)
    assert '"unchecked": [\n  "input 0"\n ]' in report.to_json()


def padded_layer(scale_x=1.0, scale_b=1.0):
    """relu(x·w + b) where rows of x and all of b are 0, with gradients of x and b off by these factors."""

    def forward(x, w, b):
        z = x @ w + b
        return z * (z.real > 0), (x, w, z.real > 0)

    def backward(dy, cache):
        x, w, positive = cache
        dz = dy * positive
        return scale_x * (dz @ w.T), x.T @ dz, scale_b * dz.sum(axis=0)

    x = normal(0, 8, 5)
    x[5:] = 0.0
    return forward, backward, (x, normal(1, 5, 4), np.zeros(4))


@pytest.mark.parametrize("method", ["auto", "five_point", "richardson"])
def test_kinks_do_not_hide_a_wrong_gradient_beside_them(method):
    """The rows of w are smooth, those of x and b are not: they vouch for w alone."""
    for scale in (0.0, 0.5, 1.1):
        report = check_gradients(*padded_layer(scale_x=scale), method=method)
        assert any(row.name.startswith("input 0") for row in report.failures), str(report)
        assert all(row.name.startswith(("all", "input 0")) for row in report.failures), str(report)
    assert any(row.entry.startswith("[") for row in report.failures), str(report)
    for scale in (0.0, 0.5, 1.0):
        report = check_gradients(*padded_layer(scale_b=scale), method=method)
        assert report.unchecked == ("input 2",) and not report.ok, str(report)
    forward, backward, (x, w, b) = padded_layer()
    assert check_gradients(forward, backward, (x, w, b + 0.1), method=method).ok
    assert check_gradients(
        lambda x, w: forward(x, w, b), lambda dy, cache: backward(dy, cache)[:2], (x, w), method=method
    ).ok


def test_kink_in_one_block_leaves_the_other_checked():
    def forward(x, z):
        return (relu(x)[0], np.tanh(z)), (x.real > 0.0, np.tanh(z))

    def backward(dy, cache):
        return relu_backward(dy[0], cache[0]), tanh_backward(dy[1], cache[1])

    report = check_gradients(forward, backward, (np.array([1.0, 0.0]), normal(0, 3)))
    assert report.ok and [(row.name, row.verdict) for row in report.rows[3:]] == [
        ("input 0", "kink"),
        ("input 0, away from kinks", "ok"),
        ("input 1", "ok"),
    ], str(report)


def test_kink_does_not_excuse_a_gross_error():
    x = np.array([0.0, 1.0, -2.0, 3.0])
    assert check_gradients(relu, lambda dy, p: -30.0 * dy * p, (x,)).failures
    at_zero = lambda slope: check_gradients(relu, lambda dy, p: np.where(x == 0.0, slope * dy, dy * p), (x,))  # noqa: E731
    assert at_zero(0.0).ok and at_zero(0.5).ok and at_zero(1.0).ok
    assert len(at_zero(4.0).failures) == 3  # any in [0, 1] would do


def test_the_worst_entry_is_not_one_on_a_kink():
    """An entry on a kink is right by convention."""
    x = np.array([0.0, 1.0, -2.0, 3.0])
    report = check_gradients(relu, lambda dy, p: 0.7 * dy * p, (x,), kink="fail")
    assert report.failures[0].entry[:3] in ("[1]", "[3]"), str(report)


@examples(60)
@given(SEEDS, st.floats(-6, 3), st.sampled_from(["auto", "five_point"]))
def test_away_from_the_kink_absolute_and_relu_are_fine(seed, exponent, method):
    """Distances down to 1e-6 of the other entries: the step shrinks until the kink is out of reach."""
    x = normal(seed, 6)
    x[0] = 10.0**exponent
    for forward, backward in ((absolute, absolute_backward), (relu, relu_backward)):
        report = check_gradients(forward, backward, (x,), seed=seed, method=method)
        assert report.ok and not report.kinks and not report.unresolved, str(report)


@examples(20)
@given(SEEDS, st.floats(-6, -4))
def test_step_shrinks_near_a_kink_that_is_not_at_zero(seed, exponent):
    """Nearer than about 1e-6 of the input, rounding leaves no step to shrink to, and a kink is reported."""
    x = normal(seed, 3) + 5.0
    x[0] = 1.0 + 10.0**exponent
    report = check_gradients(lambda x: relu(x - 1.0), relu_backward, (x,), seed=seed, method="five_point")
    assert report.ok and not report.kinks and not report.unresolved, str(report)


def test_flat_point_is_no_kink():
    report = check_gradients(lambda x: (x**4, x), lambda dy, x: 4.0 * dy * x**3, (np.zeros(3),), method="five_point")
    assert report.ok and not report.kinks, str(report)


def test_step_stays_where_the_function_is_smooth():
    backward = lambda dy, x: 10.0 * dy * np.cos(10.0 * x)  # noqa: E731
    report = check_gradients(lambda x: (np.sin(10.0 * x), x), backward, (normal(0, 3),), method="five_point")
    assert report.ok and {row.step for row in report.rows} == {1e-4}, str(report)


def test_jump_is_reported():
    report = check_gradients(lambda x: (np.sign(x) + x, None), lambda dy, _: dy, (np.array([0.0, 1.0, 2.0]),))
    assert len(report.kinks) == 3 and not report.failures, str(report)


@examples(40)
@given(SEEDS, st.sampled_from([np.exp, np.square, np.sin, lambda x: x**5]))
def test_curvature_is_no_kink(seed, function):
    derivative = {np.exp: np.exp, np.square: lambda x: 2.0 * x, np.sin: np.cos}.get(function, lambda x: 5.0 * x**4)
    x = normal(seed, 6, scale=10.0)
    x[0] = 0.0
    report = check_gradients(
        lambda x: (function(x), x), lambda dy, x: dy * derivative(x), (x,), seed=seed, method="five_point"
    )
    assert report.ok and not report.kinks, str(report)
