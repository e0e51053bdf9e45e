"""The comparison of a trace: its words, its numbers."""

import numpy as np
import pytest

from layers.experiments.trace.walk import compare

X = np.array([0.5, -1.0, 2.0])
KINKED = lambda x: np.abs(x).sum().reshape(1)  # noqa: E731
DROWNED = lambda x: 1e12 + np.sin(x).sum().reshape(1)  # noqa: E731


@pytest.mark.parametrize(
    "f, value, gradient, verdict, message",
    [
        (np.sum, X, np.ones(3), "ok", ""),
        (np.sum, X, np.array([1.0, 1.0, 3.0]), "WRONG", "worst entry [2]: numeric 1, analytic 3"),
        (KINKED, np.zeros(3), np.zeros(3), "kink", "from left"),
        (DROWNED, X, np.cos(X), "rounding", "within the rounding"),
    ],
)
def test_verdicts_have_the_words_of_a_trace(f, value, gradient, verdict, message):
    found = compare(lambda x: f(x).reshape(1), 1.0, value, gradient, shown=2, locate=True)
    assert found.verdict == verdict and message in found.message and bool(message) == bool(found.message)
    assert len(found.entries) == 2


def test_numbers_are_those_along_the_direction():
    found = compare(lambda x: (x**2).sum().reshape(1), 1.0, X, 2 * X, seed=3)
    assert found.numeric == pytest.approx(found.analytic) and found.difference < 1e-9
    np.testing.assert_allclose(found.entries, 2 * X, rtol=1e-8)
