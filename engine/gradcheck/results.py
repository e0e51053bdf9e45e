"""Parts of a report beside the rows that are judged: results that cannot be used, and detection limits."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .arrays import FLOATS, Array, count_not_finite, to_host_array
from .report import Limit, Row


def same_gradients(found: list[Any], expected: list[Any]) -> bool:
    """Tell whether two lists of gradients, None among them, are equal bit for bit."""
    return all((a is None) == (b is None) and (a is None or np.array_equal(a, b)) for a, b in zip(found, expected))


def wrong_dtype_rows(named_arrays: Iterable[tuple[str, Any]]) -> list[Row]:
    """Return a failing row for every result that is no array of floats."""
    found = [(name, to_host_array(array).dtype) for name, array in named_arrays]
    return [Row(name, "FAIL", message=f"dtype {t}, expected a float type") for name, t in found if t not in FLOATS]


def not_finite_rows(named_arrays: Iterable[tuple[str, Any]]) -> list[Row]:
    """Return a failing row for every array with NaN or infinite entries."""
    rows = []
    for name, array in named_arrays:
        bad = count_not_finite(to_host_array(array))
        if bad:
            rows.append(Row(name, "FAIL", message=f"{bad} of {np.size(array)} entries are NaN or infinite"))
    return rows


def limits_of(
    names: Sequence[str], gradients: Sequence[Array | None], rows_of: Callable[[str], list[Row]]
) -> tuple[Limit, ...]:
    """Return a Limit for each block with a row that is ok. rows_of: name of a block → its rows."""
    found = []
    for name, gradient in zip(names, gradients):
        seen = [row.detects for row in rows_of(name) if row.detects is not None and row.verdict == "ok"]
        largest = 0.0 if gradient is None else float(np.max(np.abs(gradient), initial=0.0))
        if seen:
            found.append(Limit(name, min(seen), min(seen) / largest if largest else np.inf))
    return tuple(found)
