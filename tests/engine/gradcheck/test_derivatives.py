"""Extrapolated central differences: more digits than five points, the same kinks, an honest error estimate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gradcheck import TOLERANCES, check_gradients
from engine.gradcheck.derivatives import Line
from engine.gradcheck.point import Point
from engine.gradcheck.precision import DOUBLE
from engine.gradcheck.richardson import richardson
from tests.support.examples import examples

SEEDS = st.integers(0, 2**32 - 1)
SMOOTH = {
    "exp": (np.exp, np.exp),
    "sin": (np.sin, np.cos),
    "cube": (lambda x: x**3, lambda x: 3 * x**2),
    "log": (np.log, lambda x: 1 / x),
}


def slope_of(function, x, u=1.0):
    """Slope of a scalar function of a scalar."""
    point = Point(lambda x: (function(x), None), (np.array([x]),))
    line = Line(point, [np.array([u])], np.atleast_1d(function(np.array([x]))), np.ones(1), DOUBLE)
    return richardson(line, TOLERANCES["richardson"])


@pytest.mark.parametrize("name", SMOOTH)
@given(st.floats(0.5, 3.0))
@examples(50)
def test_smooth_functions_keep_eleven_digits(name, x):
    """The estimated error covers what is lost."""
    function, derivative = SMOOTH[name]
    slope = slope_of(function, x)
    error = abs(slope.vector[0] - derivative(x))
    size = max(
        abs(derivative(x)), abs(function(x))
    )  # where the slope is 0 (of a sine at π/2), differences still have the rounding of f
    assert error <= 1e-11 * size
    assert error <= slope.uncertainty + 1e-15 * size
    assert not slope.kinked


@given(SEEDS)
@examples(50)
def test_a_gradient_off_by_a_millionth_is_caught(seed):
    """The right one passes."""
    x = np.random.default_rng(seed).normal(size=(3, 4))
    forward = lambda x: (np.tanh(x), x)  # noqa: E731
    assert check_gradients(forward, lambda dy, x: dy / np.cosh(x) ** 2, (x,), method="richardson", seed=seed).ok
    wrong = check_gradients(
        forward, lambda dy, x: 1.000001 * dy / np.cosh(x) ** 2, (x,), method="richardson", seed=seed
    )
    assert not wrong.ok and {row.method for row in wrong.rows} == {"richardson"}


def test_a_kink_is_reported():
    report = check_gradients(
        lambda x: (np.abs(x), x), lambda dy, x: dy * np.sign(x), (np.zeros(3),), method="richardson"
    )
    assert report.kinks and not report.failures


def test_steps_shrink_past_a_kink_nearby_and_out_of_a_domain():
    near = slope_of(np.abs, 1e-4)
    assert abs(near.vector[0] - 1) <= 1e-9 and near.step < 1e-4
    edge = slope_of(lambda x: np.sqrt(x), 1e-3)  # NaN beyond 0
    assert abs(edge.vector[0] - 0.5 / np.sqrt(1e-3)) <= 1e-8


def test_steps_shrink_where_a_function_raises_far_away():
    def function(x):
        if abs(x[0] - 1) > 0.01:
            raise ValueError("outside")
        return x**2

    assert abs(slope_of(function, 1.0).vector[0] - 2) <= 1e-9


def test_the_first_step_of_the_caller_is_used():
    visited = []

    def forward(x):
        visited.append(float(x[0]) - 1.0)
        return x**3, x

    check_gradients(forward, lambda dy, x: 3 * dy * x**2, (np.ones(1),), method="richardson", step=0.5, directions=1)
    assert max(map(abs, visited)) == pytest.approx(0.5)
