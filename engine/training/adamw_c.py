"""AdamW and the norm of the gradient by functions in C, for float32 on the host: each number is read and written once.

The operations of AdamW are those of adamw.py and adamw_lazy_rows.py in their order, so that the results are theirs to
the bit.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.compiled.c_file import CFile, pointer
from engine.types import Floats, Floats2d, Ints1d

FUNCTIONS = CFile(__file__, update="IIFirr", squared_norms="IIid", update_rows="fffIFii" + "FFFFF" + "rrrrr")


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
    tables: tuple[Floats2d, Floats2d, Floats2d], rows: Ints1d, grad: Floats2d, rest: Any, factors: Any
) -> None:
    """Update the different rows (R,) of the tables (value, m, v), in place, after the steps that they missed.

    grad: (R, d); rest: a Rest of adamw_lazy_rows.py; factors: the Factors of adamw.py.
    """
    rows = np.ascontiguousarray(rows, np.int64)
    FUNCTIONS.call("update_rows", *tables, rows, grad, *grad.shape, *rest, *factors)
