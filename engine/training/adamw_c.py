"""AdamW and the norm of the gradient by functions in C, for float32 on the host: each number is read and written once.

The operations of AdamW are those of adamw.py and adamw_lazy_rows.py in their order, so that the results are theirs to
the bit.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.compiled.c_file import CFile, pointer
from engine.training.adamw_lazy_rows import powers, shrink_of
from engine.types import Floats, Floats2d, Ints1d

FUNCTIONS = CFile(__file__, update="IIFirr", squared_norms="IIid", update_rows="fffIFii" + "nDDDF" + "iR" + "rrrrr")


def is_usable(*arrays: Any) -> bool:
    """Whether these functions read and update arrays like these."""
    return FUNCTIONS.takes(*arrays)


def update(arrays: Sequence[tuple[Floats, Floats, Floats, Floats]], betas: tuple[float, float], factors: Any) -> None:
    """Update arrays of any shape, in place, each given with its m, v and gradient. factors: the Factors of each."""
    addresses = np.array([[pointer(x, kind) for x, kind in zip(each, "fffF")] for each in arrays], np.int64)
    sizes = np.array([each[0].size for each in arrays], np.int64)
    FUNCTIONS.call("update", addresses, sizes, np.array(factors, np.float32), len(sizes), *betas)


def global_norm(grads: Sequence[Floats]) -> float:
    """The root of the sum of all squares, in float64."""
    addresses = np.array([pointer(x, "F") for x in grads], np.int64)
    sizes, sums = np.array([x.size for x in grads], np.int64), np.empty(len(grads))
    FUNCTIONS.call("squared_norms", addresses, sizes, len(grads), sums)
    return math.sqrt(sum(sums.tolist()))


def update_rows(
    tables: tuple[Floats2d, Floats2d, Floats2d],
    rows: Ints1d,
    grad: Floats2d,
    state: dict[str, Any],
    betas: tuple[float, float],
    epsilon: float,
    factors: Any,
) -> None:
    """Update different, ascending rows (R,) of the tables (value, m, v), in place, after the steps that they missed.

    grad: (R, d); state: that of the table, whose t is the step and whose last is brought up to it; factors: the
    Factors of adamw.py.
    """
    rows, t = np.ascontiguousarray(rows, np.int64), int(state["t"])
    if len(rows) and not (0 <= rows[0] and rows[-1] < len(state["last"])):
        raise ValueError(f"rows: must ascend in [0, {len(state['last'])}), got {rows[0]} to {rows[-1]}")
    faded = [powers(beta, t + 1) for beta in betas]
    shrink = shrink_of(state["last"][rows], t - 1, state).astype(np.float32) if state["shrunk"][t - 1] else None
    given = (state["last"], state["missed"], *faded, shrink)
    FUNCTIONS.call("update_rows", *tables, rows, grad, *grad.shape, *given, t, epsilon, *factors)
