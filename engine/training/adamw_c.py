"""AdamW by functions in C, for float32 on the host: each number is read and written once.

The operations are those of adamw.py and adamw_lazy_rows.py in their order, so that the results are theirs to the bit.
"""

from typing import Any

import numpy as np

from engine.compiled.c_file import CFile
from engine.types import Floats, Floats2d, Ints1d

FUNCTIONS = CFile(__file__, update="fffFirr" + "rrrrr", update_rows="fffIFii" + "FFFFF" + "rrrrr")


def is_usable(*arrays: Any) -> bool:
    """Whether these functions update arrays like these."""
    known = all(isinstance(x, np.ndarray) and x.dtype == np.float32 and x.flags.c_contiguous for x in arrays)
    return known and FUNCTIONS.is_usable()


def update(value: Floats, m: Floats, v: Floats, grad: Floats, betas: tuple[float, float], factors: Any) -> None:
    """Update an array of any shape, in place. factors: the Factors of adamw.py."""
    FUNCTIONS.call("update", value, m, v, grad, value.size, *betas, *factors)


def update_rows(
    tables: tuple[Floats2d, Floats2d, Floats2d], rows: Ints1d, grad: Floats2d, rest: Any, factors: Any
) -> None:
    """Update the different rows (R,) of the tables (value, m, v), in place, after the steps that they missed.

    grad: (R, d); rest: a Rest of adamw_lazy_rows.py; factors: the Factors of adamw.py.
    """
    rows = np.ascontiguousarray(rows, np.int64)
    FUNCTIONS.call("update_rows", *tables, rows, grad, *grad.shape, *rest, *factors)
