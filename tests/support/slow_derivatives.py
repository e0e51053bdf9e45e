"""Derivatives by single entries, slowly and with care, sharing no code with the checker.

Central differences, extrapolated to step 0 (Ridders) from many first steps, in np.longdouble where the function takes
it. At a kink the slopes from both sides are told instead.
"""

import copy
import math
from typing import NamedTuple

import numpy as np

PRECISIONS = [{"f": np.longdouble, "c": np.clongdouble}, {"f": np.float64, "c": np.complex128}]
FIRST_STEPS = [10.0**-k for k in (0.5, 1, 2, 3, 4, 5, 6, 7, 9, 11)]  # relative to the entry
LEVELS = 9
KINK_STEPS = (1e-9, 1e-10)
# Large steps can seem to converge by accident: they must agree with the smallest ones whose error is up to this larger.
ACCIDENT = 1e4
KINKED = 1e-3  # slopes from both sides differ by this share of the larger


class Derivative(NamedTuple):
    """value ± error; low < high at a kink, where every value between them is a right gradient."""

    value: float
    error: float
    low: float
    high: float


def flatten(tree):
    """The leaves of nested tuples."""
    return [leaf for part in tree for leaf in flatten(part)] if isinstance(tree, (tuple, list)) else [tree]


def is_float(x):
    return isinstance(x, np.ndarray) and x.dtype.kind in "fc"


def replaced(tree, arrays):
    """The same nested tuples with float arrays taken from an iterator, and copies of random generators."""
    if isinstance(tree, (tuple, list)):
        parts = [replaced(part, arrays) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return next(arrays) if is_float(tree) else copy.deepcopy(tree)


class Slow:
    """⟨dy, f⟩ of a function of its float arrays, in the widest precision that it takes."""

    def __init__(self, forward, inputs):
        self.forward, self.inputs = forward, inputs
        self.blocks = [x for x in flatten(inputs) if is_float(x)]
        for self.types in PRECISIONS:
            try:
                self.outputs()
                break
            except (TypeError, ValueError):
                continue

    def outputs(self, block=0, index=None, change=0.0):
        """What forward returns with one entry changed."""
        arrays = [np.array(x, self.types[x.dtype.kind]) for x in self.blocks]
        if index is not None:
            arrays[block][index] += change
        with np.errstate(all="ignore"):
            return flatten((self.forward(*replaced(tuple(self.inputs), iter(arrays)))[0],))

    def epsilon(self):
        """Rounding of the outputs: a Python float has no more digits than float64."""
        return max(np.finfo(np.asarray(y).real.dtype).eps for y in self.outputs())

    def derivative(self, dy, block, index, unit=1.0):
        """The Derivative of ⟨dy, f⟩, complex numbers as pairs, by one entry or its imaginary part (unit 1j)."""
        size, real = float(abs(self.blocks[block][index])) or 1.0, self.types["f"]

        def f(t):
            parts = zip(dy, map(np.asarray, self.outputs(block, index, unit * real(t))))
            return np.concatenate([(d.real * y.real + d.imag * y.imag).ravel() for d, y in parts])

        middle, slopes = f(0.0), []
        for step in KINK_STEPS if self.types is PRECISIONS[0] else (1e-6, 1e-7):
            h = real(power_of_two(step * size))
            slopes.append((np.sum(middle - f(-h)) / h, np.sum(f(h) - middle) / h))
        gaps = [abs(right - left) for left, right in slopes]
        left, right = map(float, slopes[-1])
        rounding = 100 * np.finfo(real).eps * np.sum(np.abs(middle)) / h
        if min(gaps) > KINKED * max(abs(left), abs(right)) + rounding and gaps[1] > 0.5 * gaps[0]:
            return Derivative(0.5 * (left + right), np.inf, min(left, right), max(left, right))
        steps = [real(power_of_two(step * size)) for step in FIRST_STEPS]
        moves = (f(steps[0]) != middle) | (f(-steps[0]) != middle) | (f(steps[2]) != middle)
        found = [ridders(f, h, self.epsilon() * moves) for h in steps]
        near = [pair for pair in found if pair[1] <= ACCIDENT * min(error for _, error in found)]
        best = min((pair for pair in near if agree(pair, near[-1])), key=lambda pair: pair[1])
        return Derivative(*best, best[0], best[0])


def power_of_two(h):
    """The nearest one: x ± h is then exact."""
    return 2.0 ** round(math.log2(h))


def agree(a, b):
    """Whether two values with their errors agree."""
    return abs(a[0] - b[0]) <= 10 * (a[1] + b[1])


def ridders(f, h, epsilon):
    """(slope at 0 of the sum of f, its estimated error) from the steps h, h/2, h/4, …; epsilon: rounding of each f."""
    above, best = [], (np.nan, np.inf)
    for _ in range(LEVELS):
        right, left = f(h), f(-h)
        row = [np.sum(right - left) / (2 * h)]
        rounding = float(np.sum(epsilon * (abs(right) + abs(left))) / h)
        for k, coarse in enumerate(above):
            row.append(row[k] + (row[k] - coarse) / (4.0 ** (k + 1) - 1))
            error = float(max(abs(row[-1] - row[-2]), abs(row[-1] - coarse))) + rounding
            if error < best[1]:
                best = (float(row[-1]), error)
        above, h = row, h / 2
    return best
