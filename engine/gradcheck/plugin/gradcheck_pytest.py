"""Pytest plugin of the distribution gradcheck: the fixture `gradient_check`.

    def test_mine(gradient_check):
        gradient_check(my_forward, my_backward, x)      # y, cache = my_forward(x);  dx = my_backward(dy, cache)

A module outside of the package, which is imported only when the fixture is asked for: a project with a `gradcheck.py`
of its own can still start its tests, and tests that need no fixture start without NumPy.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gradcheck import GradientReport


@pytest.fixture
def gradient_check() -> Callable[..., GradientReport]:
    """gradient_check(forward, backward, *inputs, **options) → GradientReport; fails the test when a gradient is wrong.

    options: those of gradcheck.check_gradients (wrt, parameters, directions, method, step, tolerance, kink, seed).
    """
    spec = importlib.util.find_spec("gradcheck")
    if spec and spec.origin and not Path(spec.origin).with_name("pytest_plugin.py").is_file():
        pytest.fail(
            f"gradient_check: Python finds another `gradcheck`, {spec.origin}, before the installed one; rename it or "
            "keep its folder off the path (start elsewhere, see PYTHONPATH)",
            pytrace=False,
        )
    from gradcheck import pytest_plugin

    check: Callable[..., GradientReport] = pytest_plugin.gradient_check
    return check
