"""State outside of the cache, and backwards that change what they are given."""

import numpy as np
import pytest
from hypothesis import given

from engine.gradcheck import check_gradients, check_jacobian
from tests.support.examples import examples
from tests.support.known_gradients import SEEDS, normal


class Stateful:
    """A layer that keeps its input in self, as many libraries do. factor: of its gradient, 1 for the right one."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def forward(self, x):
        self.x = x
        return np.tanh(x), None

    def backward(self, dy, cache):
        return self.factor * dy * (1.0 - np.tanh(self.x) ** 2)


@pytest.mark.parametrize("check", [check_gradients, check_jacobian])
def test_state_in_self_is_named_and_can_be_allowed(check):
    layer, x = Stateful(), (normal(0, 4),)
    report = check(layer.forward, layer.backward, x)
    assert [row.name for row in report.failures] == ["backward"], str(report)
    assert "kept outside of the cache (in self?)" in str(report) and "stateful=True" in str(report)
    assert check(layer.forward, layer.backward, x, stateful=True).ok
    wrong = Stateful(0.9)
    assert check(wrong.forward, wrong.backward, x, stateful=True).failures


def changes_cache(dy, cache):
    cache *= 2.0
    return dy * cache / 2.0


def changes_cotangent(dy, cache):
    dy *= cache
    return dy.copy()


@pytest.mark.parametrize(
    ("backward", "text"),
    [
        (changes_cache, "gives another result when called again"),
        (changes_cotangent, "writes into its cotangent"),
    ],
)
def test_a_backward_that_writes_is_named(backward, text):
    report = check_gradients(lambda x: (0.5 * x * x, x.copy()), backward, (normal(0, 4),))
    assert [row.name for row in report.failures][:1] == ["backward"] and text in str(report), str(report)


@given(seed=SEEDS)
@examples(20)
def test_the_absolute_value_of_a_cotangent_is_noticed(seed):
    """A scalar loss has one cotangent, and it is negative; of several the first is."""
    loss = lambda x: (np.sum(x**3), x)  # noqa: E731
    x = (normal(seed, 3),)
    assert check_gradients(loss, lambda dy, x: 3.0 * dy * x**2, x, seed=seed).ok
    assert check_gradients(loss, lambda dy, x: 3.0 * abs(dy) * x**2, x, seed=seed).failures
    cube = lambda x: (x**3, x)  # noqa: E731
    assert check_gradients(cube, lambda dy, x: 3.0 * np.abs(dy) * x**2, (normal(seed, 2),), seed=seed).failures
