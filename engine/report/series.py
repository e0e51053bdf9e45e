"""Series recorded step by step, of which some numbers may be missing.

A run is a dict of lists: "step", series with a number or None for each of them, and "validation": [{"step", "accuracy",
"loss"}]. `groups` is everywhere {name: runs that share a line}: a single one, or several that differ in nothing but
their seed.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from engine.types import Floats1d

Curves: TypeAlias = Mapping[str, Any]  # a run
Groups: TypeAlias = Mapping[str, Sequence[Curves]]


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def numbers(values: Iterable[float | None]) -> Floats1d:
    """A list of numbers and None → float64, None as NaN."""
    return np.array([math.nan if value is None else value for value in values], np.float64)


def finite(values: Floats1d) -> Floats1d:
    return values[np.isfinite(values)]


def median(values: Floats1d) -> float:
    """Median of the finite numbers; NaN where there is none."""
    values = finite(values)
    return float(np.median(values)) if len(values) else math.nan


def largest(values: Floats1d) -> float:
    """Largest finite number; NaN where there is none."""
    values = finite(values)
    return float(values.max()) if len(values) else math.nan


def tenth(values: Floats1d, last: bool = False) -> Floats1d:
    """The first or last tenth of the steps, at least one."""
    count = max(1, len(values) // 10)
    return values[-count:] if last else values[:count]


def window_for(steps: int) -> int:
    """Width of the running median over so many steps: about a twelfth of them, at least 7 of 30 or more; odd.

    Batches hold texts of about one length, and short texts may be easy ones: fewer steps would show their clusters.
    """
    return 2 * max(steps // 24, min(3, steps // 10)) + 1


def running_median(values: Floats1d, window: int) -> Floats1d:
    """values: (n,) → (n,), the median of the finite numbers among the `window` (odd) values around each; NaN for none.

    Towards the ends the window holds only the values that there are.
    """
    rim = np.full(window // 2, math.nan)
    around = np.concatenate([rim, np.where(np.isfinite(values), values, math.nan), rim])
    around = np.sort(np.lib.stride_tricks.sliding_window_view(around, window), axis=1)  # NaN last
    count = np.isfinite(around).sum(axis=1)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    row = np.arange(len(values))
    return np.where(count > 0, (around[row, low] + around[row, np.minimum(high, window - 1)]) / 2, math.nan)


def all_runs(groups: Groups) -> list[Curves]:
    return [run for runs in groups.values() for run in runs]


def window_in(groups: Groups) -> int:
    """Width of the running median: for all runs as for the longest."""
    return window_for(max(len(run["step"]) for run in all_runs(groups)))
