"""Compare a recorded gradient of a walk with numerical derivatives, in the words of a trace."""

from collections.abc import Callable
from typing import Any, NamedTuple

from engine.gradcheck import check_recorded_gradient

VERDICTS = {"ok": "ok", "FAIL": "WRONG", "kink": "kink", "noise": "rounding"}


class Comparison(NamedTuple):
    """numeric, analytic: the slope along a random unit direction. entries: numerical derivatives by the first entries.

    verdict: "ok"; "WRONG"; "kink": the function has no derivative here; "rounding": they differ by more than the
    tolerance but by less than rounding explains, so the gradient is too small to be checked. message: says more where
    not ok.
    """

    numeric: float
    analytic: float
    difference: float
    verdict: str
    message: str
    entries: list[float]


def compare(
    f: Callable[[Any], Any],
    weights: Any,
    value: Any,
    gradient: Any,
    shown: int = 4,
    locate: bool = False,
    seed: int = 0,
) -> Comparison:
    """Check a recorded gradient; arguments as of check_recorded_gradient."""
    row, entries = check_recorded_gradient(f, weights, value, gradient, shown=shown, locate=locate, seed=seed)
    assert row.numeric is not None and row.analytic is not None and row.absolute_error is not None
    message = row.message or (f"worst entry {row.entry}" if row.entry else "")
    return Comparison(row.numeric, row.analytic, row.absolute_error, VERDICTS[row.verdict], message, entries)
