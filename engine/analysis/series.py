"""Series of numbers recorded step by step, of which some may be missing: medians of what there is."""

import math

import numpy as np


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def numbers(values):
    """A list of numbers and None → float64, None as NaN."""
    return np.array([math.nan if value is None else value for value in values], np.float64)


def finite(values):
    return values[np.isfinite(values)]


def median(values):
    """Of what is finite; NaN where nothing is."""
    values = finite(values)
    return float(np.median(values)) if len(values) else math.nan


def largest(values):
    values = finite(values)
    return float(values.max()) if len(values) else math.nan


def tenth(values, last=False):
    """The first or last tenth of the steps, at least one."""
    count = max(1, len(values) // 10)
    return values[-count:] if last else values[:count]


def window_for(steps):
    """Steps over which running medians of so many are taken: about a twelfth of them, at least 7 of 30 or more; odd.

    Batches hold texts of about one length, and short texts may be easy ones: fewer steps would show their clusters.
    """
    return 2 * max(steps // 24, min(3, steps // 10)) + 1


def running_median(values, window):
    """values: (n,) → (n,), the median of what is finite among the `window` (odd) values around each; NaN where nothing is.

    Towards the ends the window holds only the values that there are.
    """
    rim = np.full(window // 2, math.nan)
    around = np.concatenate([rim, np.where(np.isfinite(values), values, math.nan), rim])
    around = np.sort(np.lib.stride_tricks.sliding_window_view(around, window), axis=1)  # NaN last
    count = np.isfinite(around).sum(axis=1)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    row = np.arange(len(values))
    return np.where(count > 0, (around[row, low] + around[row, np.minimum(high, window - 1)]) / 2, math.nan)
