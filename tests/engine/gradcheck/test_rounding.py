"""What rounding explains is neither right nor wrong; NaN, infinity and randomness are named."""

import numpy as np
import pytest
from hypothesis import given

from engine.gradcheck import assert_gradients, check_gradients
from tests.support.examples import examples
from tests.support.known_gradients import SEEDS, normal, softmax, softmax_backward, tanh, tanh_backward


def test_a_function_that_depends_on_nothing_is_named():
    """Softmax sums to 1 whatever its input: both sides are rounding errors of 0."""

    def forward(x):
        y, _ = softmax(x)
        return y.sum(), y

    def backward(dy, y):
        return softmax_backward(dy * np.ones_like(y), y)

    for method in ("auto", "five_point"):
        report = check_gradients(forward, backward, (normal(0, 7, scale=3.0),), method=method)
        assert report.ok and not report.unresolved, str(report)
        assert "without influence" in str(report), str(report)
    assert check_gradients(forward, lambda dy, y: dy * y, (normal(0, 7),)).failures


def test_complex_step_is_not_excused_by_the_rounding_of_values():
    """It takes no differences: a small term beside a large one is as exact as if it were alone."""
    forward = lambda x, b: (1e6 * (x * x).sum() + 1e-11 * (b**3).sum(), (x, b))  # noqa: E731
    backward = lambda sign: lambda dy, c: (dy * 2e6 * c[0], sign * 3e-11 * dy * c[1] ** 2)  # noqa: E731
    inputs = (np.full(3, 1.5), np.full(3, 2.0))
    right, wrong = (check_gradients(forward, backward(sign), inputs) for sign in (1.0, -1.0))
    assert right.ok and not right.unresolved, str(right)
    assert [row.name for row in wrong.failures] == ["input 1"], str(wrong)


@pytest.mark.parametrize("method", ["auto", "complex_step", "five_point"])
@examples(20)
@given(seed=SEEDS)
def test_an_input_without_influence_is_no_failure(method, seed):
    """A bias that the mean takes away again: what is left of it is rounding."""

    def forward(x, bias):
        y = x + bias
        return y - y.mean(axis=1, keepdims=True), None

    def backward(dy, _):
        dx = dy - dy.mean(axis=1, keepdims=True)
        return dx, dx.sum()

    report = check_gradients(forward, backward, (normal(seed, 4, 7), np.array(0.3)), seed=seed, method=method)
    assert report.ok, str(report)


def saturated(seed):
    """tanh of 6 to 16: 1 − y² has between ten digits and none."""
    return (np.random.default_rng(seed).uniform(6.0, 16.0, 5),)


@examples(40)
@given(SEEDS)
def test_saturated_tanh_is_no_failure_but_a_wrong_one_is(seed):
    right = check_gradients(tanh, tanh_backward, saturated(seed), seed=seed)
    assert not right.failures and not right.kinks, str(right)
    wrong = check_gradients(tanh, lambda dy, y: -tanh_backward(dy, y), (np.full(5, 9.0),), seed=seed)
    assert wrong.failures, str(wrong)


def test_rounding_of_one_entry_beside_large_ones_is_no_failure():
    """The large entries stretch the direction, which makes the lost digits of the small entry's 1 − y² visible."""
    for entry in np.linspace(8.0, 12.0, 9):
        report = check_gradients(tanh, tanh_backward, (np.array([entry, 3e3, -8e3, 1e4]),))
        assert not report.failures, str(report)


def test_an_unrepeatable_backward_is_not_excused_as_rounding():
    rng = np.random.default_rng(0)
    unsteady = lambda dy, y: tanh_backward(dy, y) + 1e-13 * rng.normal(size=dy.shape)  # noqa: E731
    report = check_gradients(tanh, unsteady, (np.full(5, 9.0),))
    assert [row.name for row in report.failures][1:] == [f"input 0, direction {k}" for k in (1, 2, 3)], str(report)


def test_small_input_beside_a_large_bias_is_seen_by_a_wider_step():
    def forward(x, b):
        return x @ np.array([[1.0, -2.0], [0.5, 3.0]]) + b, None

    def backward(sign):
        return lambda dy, _: (sign * dy @ np.array([[1.0, -2.0], [0.5, 3.0]]).T, dy.sum(axis=0))

    inputs = (normal(0, 3, 2, scale=1e-12), np.ones(2))
    right = check_gradients(forward, backward(1.0), inputs, method="five_point")
    assert right.ok and not right.unresolved, str(right)
    wrong = check_gradients(forward, backward(-1.0), inputs, method="five_point")
    assert [row.name for row in wrong.failures] == ["input 0"], str(wrong)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_is_named(bad):
    x = normal(0, 4)
    x[1] = bad
    assert "input 0: 1 of 4 entries are NaN or infinite" in str(check_gradients(tanh, tanh_backward, (x,)))
    report = check_gradients(lambda x: (x * np.array([1.0, bad, 1.0, 1.0]), None), tanh_backward, (np.ones(4),))
    assert not report.ok and "output: 1 of 4 entries are NaN or infinite" in str(report)
    report = check_gradients(tanh, lambda dy, y: dy * np.array([1.0, bad, 1.0, 1.0]), (np.ones(4),))
    assert not report.ok and "1 of 4 entries of its gradient are NaN or infinite" in str(report)
    with pytest.raises(AssertionError, match="entries of its gradient"):
        assert_gradients(report)


def test_nan_beside_the_point_fails():
    report = check_gradients(lambda x: (np.sqrt(x), x), lambda dy, x: dy, (np.array([0.0, 1.0]),), method="five_point")
    assert len(report.failures) == 3 and "NaN or infinite along the direction" in str(report)


def test_random_forward_is_named():
    rng = np.random.default_rng(0)
    report = check_gradients(lambda x: (x * (rng.random(x.shape) > 0.5), x), lambda dy, x: dy, (normal(0, 8),))
    assert not report.ok and "different results for the same inputs" in str(report)
