"""Pytest plugin: the fixture `gradient_check` for any project's own backward passes.

    def test_mine(gradient_check):
        gradient_check(my_forward, my_backward, x)      # y, cache = my_forward(x);  dx = my_backward(dy, cache)

A module of its own name, which imports nothing of ours until the fixture is asked for: a project that has a package
called `engine` itself can still start its tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from engine.gradcheck import GradientReport


@pytest.fixture
def gradient_check() -> Callable[..., GradientReport]:
    """gradient_check(forward, backward, *inputs, **options) → GradientReport; fails the test when a gradient is wrong.

    options: those of engine.gradcheck.check_gradients (wrt, parameters, directions, method, step, tolerance, kink,
    seed). Where another `engine` hides ours, the distribution gradcheck serves if it is installed.
    """
    from wave_network import shadowed

    problem = shadowed("engine")
    if problem is None:
        from engine.gradcheck.pytest_plugin import gradient_check as check

        return check
    try:
        from gradcheck.pytest_plugin import gradient_check as check_alone
    except ImportError:
        pytest.fail(f"gradient_check: {problem}", pytrace=False)
    return check_alone
