"""Functions whose slope rounding hides: nothing passes that was not seen."""

import numpy as np
import pytest
from hypothesis import given, settings

from engine.gradcheck import check_gradients
from tests.support.examples import examples
from tests.support.known_gradients import SEEDS, normal, relu, relu_backward, tanh, tanh_backward

WITHIN = {  # computed in float32, or in float16, inside a function of float64
    "elementwise": (lambda x, t: np.tanh(x.astype(t)).astype(np.float64), lambda y: 1.0),
    "scaled": (lambda x, t: 1.1 * np.tanh(x.astype(t)).astype(np.float64), lambda y: 1.1),
    "mean": (lambda x, t: 1.1 * np.tanh(x.astype(t)).astype(np.float64).mean(), lambda y: 1.1 / y.size),
}


def check_within(name, dtype, seed, scale):
    """Check a function of WITHIN, with its gradient times a number."""
    function, factor = WITHIN[name]
    forward = lambda x: (function(x, dtype), np.tanh(x))  # noqa: E731
    backward = lambda dy, y: scale * dy * factor(y) * (1.0 - y * y)  # noqa: E731
    return check_gradients(forward, backward, (normal(seed, 6),), seed=seed)


@pytest.mark.parametrize("name", WITHIN)
@given(seed=SEEDS)
@settings(deadline=None, max_examples=8)
def test_float32_inside_is_noticed(name, seed):
    """A step that float32 does not see is no proof of a slope of 0; the report says what was found."""
    right = check_within(name, np.float32, seed, 1.0)
    assert right.ok and right.dtype == "float32" and any("float32" in text for text in right.notes), str(right)
    assert not any(check_within(name, np.float32, seed, scale).ok for scale in (0.0, 2.0, -1.0))


@pytest.mark.parametrize("name", WITHIN)
def test_float16_inside_is_noticed(name):
    """Three digits leave some points, such as a mean near 0, without any: these are chosen."""
    for seed in range(8):
        right = check_within(name, np.float16, seed, 1.0)
        assert right.ok and right.dtype == "float16", str(right)
        assert not any(check_within(name, np.float16, seed, scale).ok for scale in (0.0, 2.0, -1.0))


@pytest.mark.parametrize("large", [1e10, 1e14])
@given(seed=SEEDS)
@settings(deadline=None, max_examples=8)
def test_a_small_term_beside_a_large_one_is_not_passed_unseen(large, seed):
    """sin(w) beside large·|x|, whose rounding is as large or larger: its gradient is wrong, or nothing is known."""

    def check(scale):
        forward = lambda x, w: (large * np.abs(x).sum() + np.sin(w).sum(), (x, w))  # noqa: E731
        backward = lambda dy, c: (dy * large * np.sign(c[0]), scale * dy * np.cos(c[1]))  # noqa: E731
        return check_gradients(forward, backward, (normal(seed, 4), normal(seed + 1, 2)), seed=seed)

    right = check(1.0)
    assert not right.failures, str(right)
    for scale in (0.0, 2.0):
        wrong = check(scale)
        assert not wrong.ok and (wrong.failures or wrong.unchecked == ("input 1",)), str(wrong)


def test_a_block_of_noise_alone_is_named_as_unchecked():
    forward = lambda x, w: (1e14 * np.abs(x).sum() + np.sin(w).sum(), (x, w))  # noqa: E731
    backward = lambda dy, c: (dy * 1e14 * np.sign(c[0]), dy * np.cos(c[1]))  # noqa: E731
    report = check_gradients(forward, backward, (np.array([0.3, -0.7]), np.array([0.4])))
    assert report.unchecked == ("input 1",) and not report.ok, str(report)
    assert "input 1: nothing is known of its gradient" in str(report)


@pytest.mark.parametrize("phase", [1e6, 1e9])
@given(seed=SEEDS)
@examples(20)
def test_large_phases_are_trusted_to_complex_step(phase, seed):
    """No stencil of a usual step resolves sin at a phase of 10⁹; one of a few thousand roundings agrees."""
    x = phase * normal(seed, 5)
    right = check_gradients(lambda x: (np.sin(x), x), lambda dy, x: dy * np.cos(x), (x,), seed=seed)
    assert right.ok and {row.method for row in right.rows} == {"complex_step"}, str(right)
    assert check_gradients(lambda x: (np.sin(x), x), lambda dy, x: dy * np.sin(x), (x,), seed=seed).failures


@pytest.mark.parametrize("method", ["auto", "five_point", "richardson"])
@pytest.mark.parametrize("value", [-3.0, 50.0])
def test_units_that_do_not_move_at_all_are_right_with_zero(method, value):
    """A dead ReLU and a saturated tanh are flat from near by, and bend far away: that is no rounding."""
    forward, backward = {-3.0: (relu, relu_backward), 50.0: (tanh, tanh_backward)}[value]
    report = check_gradients(forward, backward, (np.full(4, value),), method=method)
    assert not report.failures and not report.kinks, str(report)
    assert report.ok or (value, method) == (50.0, "auto"), str(
        report
    )  # the true slope is 1e-43: that of tanh_backward?
    assert check_gradients(forward, lambda dy, y: dy, (np.full(4, value),), method=method).failures
