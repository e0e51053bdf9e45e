"""Compare gradient checkers on function pairs whose gradients are known: python -m engine.gradcheck.compare."""

from . import (
    cases_complex,
    cases_elementwise,
    cases_indices,
    cases_kinks,
    cases_layers,
    cases_linear,
    cases_losses,
    cases_single,
    cases_state,
)
from .case import Case

CASES: list[Case] = [
    *cases_elementwise.CASES,
    *cases_kinks.CASES,
    *cases_losses.CASES,
    *cases_linear.CASES,
    *cases_layers.CASES,
    *cases_indices.CASES,
    *cases_complex.CASES,
    *cases_state.CASES,
    *cases_single.CASES,
]
