"""Check hand-written gradients: numerical differentiation, comparison and reports, usable from any test suite.

    report = check_gradients(forward, backward, (x, offsets))
    print(report)                  an aligned table
    assert_gradients(report)       fails with a text that says what is wrong where

For a random cotangent dy and random directions u, the identity ⟨dy, J·u⟩ = ⟨Jᵀ·dy, u⟩ is tested: J·u comes from
forward alone (complex step, five-point stencil or Richardson's extrapolation), Jᵀ·dy from backward.

check_jacobian compares entry by entry, check_properties checks laws that need no derivative, check_layer and
check_network take layers and networks, compare_backends sets devices and precisions side by side,
check_recorded_gradient takes a gradient that was computed elsewhere. Only NumPy is needed; nothing else of `engine` is
imported.
"""

from .adapters import from_layer, from_loss, from_objective
from .backends import compare_backends
from .check import check_gradients
from .derivatives import METHODS, TOLERANCES
from .frameworks import from_cupy, from_jax, from_torch
from .jacobian import check_jacobian
from .jvp import check_jvp
from .layers import check_layer, check_network
from .properties import check_properties
from .recorded import check_recorded_gradient
from .report import GradientReport, Row, assert_gradients

__version__ = "0.1.0"  # of the distribution gradcheck

__all__ = [
    "METHODS",
    "TOLERANCES",
    "GradientReport",
    "Row",
    "assert_gradients",
    "check_gradients",
    "check_jacobian",
    "check_jvp",
    "check_layer",
    "check_network",
    "check_properties",
    "check_recorded_gradient",
    "compare_backends",
    "from_cupy",
    "from_jax",
    "from_layer",
    "from_loss",
    "from_objective",
    "from_torch",
]
