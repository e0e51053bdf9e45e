"""The function that the pytest fixture `gradient_check` returns.

The fixture itself stands in two modules, which pytest can load without this package: gradcheck_pytest of the
distribution gradcheck, wave_network_pytest of the distribution wave-network.
"""

from typing import Any

from .arrays import Backward, Forward
from .check import check_gradients
from .report import GradientReport, assert_gradients


def gradient_check(forward: Forward, backward: Backward, *inputs: Any, **options: Any) -> GradientReport:
    """Run check_gradients and return its report; raise AssertionError, which fails the test, unless it is ok.

    options: those of check_gradients.
    """
    __tracebackhide__ = True
    report = check_gradients(forward, backward, inputs, **options)
    assert_gradients(report)
    return report
