"""Are hand-written gradients right? Numerical differentiation, comparison and reports, usable from any test suite.

    report = check_gradients(forward, backward, (x, offsets))
    print(report)                  an aligned table
    assert_gradients(report)       fails with a text that says what is wrong where

For a random cotangent dy and random directions u, the identity ⟨dy, J·u⟩ = ⟨Jᵀ·dy, u⟩ is tested: J·u comes from
forward alone (complex step or five-point stencil), Jᵀ·dy from backward.
"""

from engine.gradcheck.check import check_gradients
from engine.gradcheck.report import GradientReport, Row, assert_gradients
from engine.gradcheck.slopes import TOLERANCES

__all__ = ["TOLERANCES", "GradientReport", "Row", "assert_gradients", "check_gradients"]
