"""Pytest plugin: the fixture `gradient_check` for any project's own backward passes.

    def test_mine(gradient_check):
        gradient_check(my_forward, my_backward, x)      # y, cache = my_forward(x);  dx = my_backward(dy, cache)

A module of its own name, which imports nothing of ours until the fixture is asked for: a project that has a package
called `engine` itself can still start its tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from engine.gradcheck import GradientReport
    from engine.gradcheck.arrays import Backward, Forward


@pytest.fixture
def gradient_check() -> Callable[..., GradientReport]:
    """gradient_check(forward, backward, *inputs, **options) → GradientReport; fails the test when a gradient is wrong.

    options: those of engine.gradcheck.check_gradients (wrt, parameters, directions, method, step, tolerance, kink,
    seed).
    """
    from wave_network import shadowed

    if problem := shadowed("engine"):
        pytest.fail(f"gradient_check: {problem}", pytrace=False)
    from engine.gradcheck import assert_gradients, check_gradients

    def check(forward: Forward, backward: Backward, *inputs: Any, **options: Any) -> GradientReport:
        __tracebackhide__ = True
        report = check_gradients(forward, backward, inputs, **options)
        assert_gradients(report)
        return report

    return check
