"""Pytest plugin: the fixture `gradient_check` for any project's own backward passes.

    def test_mine(gradient_check):
        gradient_check(my_forward, my_backward, x)      # y, cache = my_forward(x);  dx = my_backward(dy, cache)

A module of its own name, which imports nothing of ours until the fixture is asked for: a project that has a package
called `engine` itself can still start its tests.
"""

from pathlib import Path

import pytest


@pytest.fixture
def gradient_check():
    """gradient_check(forward, backward, *inputs, **options) → GradientReport; fails the test when a gradient is wrong.

    options: those of engine.gradcheck.check_gradients (wrt, parameters, directions, method, step, tolerance, kink, seed).
    """
    import engine

    found = Path(engine.__path__[0]) if hasattr(engine, "__path__") else Path(engine.__file__)
    if (
        found.resolve() != Path(__file__).resolve().parent / "engine"
    ):  # ours lies beside this file, however it was installed
        pytest.fail(
            f"gradient_check: Python finds another `engine`, {found}, before wave-network's; rename it, or check where it is not on the path",
            pytrace=False,
        )
    from engine.gradcheck import assert_gradients, check_gradients

    def check(forward, backward, *inputs, **options):
        __tracebackhide__ = True
        report = check_gradients(forward, backward, inputs, **options)
        assert_gradients(report)
        return report

    return check
