"""Complex step where it can be trusted, five points elsewhere, and a note that says why."""

import numpy as np
import pytest

from engine.gradcheck import check_gradients
from tests.support.known_gradients import absolute, absolute_backward, normal, tanh, tanh_backward


@pytest.mark.parametrize(
    ("forward", "backward", "reason"),
    [
        (absolute, absolute_backward, "imaginary part was dropped"),
        (lambda x: (x * np.abs(x), x), lambda dy, x: 2.0 * dy * np.abs(x), "differ by"),
        (lambda x: (np.hypot(x, 1.0), x), lambda dy, x: dy * x / np.hypot(x, 1.0), "TypeError"),
        (lambda x: (np.linalg.norm(x), x), lambda dy, x: dy * x / np.linalg.norm(x), "dropped"),
    ],
)
def test_functions_that_are_not_analytic_fall_back_to_five_point(forward, backward, reason):
    report = check_gradients(forward, backward, (normal(0, 5),))
    assert report.ok and {row.method for row in report.rows} == {"five_point"}, str(report)
    assert len(report.notes) == 1 and reason in report.notes[0] and report.notes[0] in str(report)
    with pytest.raises(ValueError, match="method: complex_step"):
        if reason == "differ by":  # only the cross-check of "auto" can see this
            assert not check_gradients(forward, backward, (normal(0, 5),), method="complex_step").ok
            raise ValueError("method: complex_step")
        check_gradients(forward, backward, (normal(0, 5),), method="complex_step")


@pytest.mark.parametrize("weight", [1e-4, 1e-6, 1e-7])
def test_a_small_term_that_is_not_analytic_is_seen(weight):
    """A penalty of absolute values, of which complex step sees nothing."""
    x, w = normal(0, 5, 4), normal(1, 4)
    forward = lambda w: (((x @ w) ** 2).sum() + weight * np.abs(w).sum(), w)  # noqa: E731
    right = lambda dy, w: dy * (2.0 * x.T @ (x @ w) + weight * np.sign(w))  # noqa: E731
    report = check_gradients(forward, right, (w,))
    assert report.ok and "five-point instead of complex step" in report.notes[0], str(report)
    if weight > 1e-7:  # below it is within the tolerance of the stencil
        assert check_gradients(forward, lambda dy, w: dy * 2.0 * x.T @ (x @ w), (w,)).failures


def test_refusal_of_complex128_by_value_error_falls_back():
    def forward(x):
        if x.dtype != np.float64:
            raise ValueError("x: expected float64")
        return tanh(x)

    report = check_gradients(forward, tanh_backward, (normal(0, 5),))
    assert report.ok and "ValueError" in report.notes[0] and "expected float64" in report.notes[0]


@pytest.mark.parametrize(
    ("on_complex", "reason"),
    [
        (lambda y: y * np.nan, "NaN or infinite on complex numbers"),
        (lambda y: y[:1], "has shape (1,) on complex numbers"),
        (lambda y: (y, y), "returned 2 arrays on complex numbers"),
    ],
)
def test_other_results_on_complex128_fall_back(on_complex, reason):
    def forward(x):
        y = np.tanh(x)
        return (on_complex(y) if x.dtype.kind == "c" else y), y

    report = check_gradients(forward, tanh_backward, (normal(0, 5),))
    assert report.ok and reason in report.notes[0], str(report)


def test_writing_into_a_real_array_counts_as_dropping():
    def forward(x):
        y = np.zeros(x.shape)
        y[...] = x * x
        return y, x

    report = check_gradients(forward, lambda dy, x: 2.0 * dy * x, (normal(0, 5),))
    assert report.ok and "ComplexWarning" in report.notes[0]


def test_step_and_tolerance_of_the_caller_are_used():
    def slightly_wrong(dy, y):
        return tanh_backward(dy, y) * (1.0 + 1e-5)

    inputs = (normal(0, 3, 4),)
    assert check_gradients(tanh, slightly_wrong, inputs, tolerance=1e-4).ok
    assert not check_gradients(tanh, slightly_wrong, inputs, tolerance=1e-7, method="five_point").ok
    report = check_gradients(tanh, tanh_backward, inputs, method="five_point", step=3e-4)
    assert report.step == 3e-4 and {row.step for row in report.rows} == {3e-4} and report.ok
