"""Entries of a block, one by one: which is furthest off when its gradient has failed, and which lie on no kink.

check_recorded_gradient checks one gradient of a value inside a computation, of which only what follows can be run
again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .arrays import Array, Direction, norm, random_generator, real_vector, to_host_array
from .point import Point, entry_scales
from .report import Row
from .verdict import Judge

ENTRIES = 100  # looked at in a block; of a larger one a random sample


class Entry(NamedTuple):
    """The two derivatives by one entry of a block.

    part: "", or ".re", ".im" of a complex one. off: the error that no kink excuses.
    """

    flat: int
    part: str
    numeric: float
    analytic: float
    off: float


def entries(judge: Judge, position: int, method: str, chosen: Iterable[int]) -> list[Entry]:
    """Differentiate by the entries of a block with these flat indices."""
    found = []
    method = "five_point" if method == "richardson" else method  # cheaper, and digits enough for one entry
    for flat in chosen:
        for part, scale, u in entry_directions(judge.point, position, flat):
            slope = judge.slope("an entry", method, u)[1]
            numeric = float(judge.dy @ slope.vector) / scale
            analytic = judge.inner_product(u) / scale
            excused = slope.kink_size / scale if slope.kinked else 0.0
            found.append(Entry(flat, part, numeric, analytic, abs(numeric - analytic) - excused))
    return found


def worst_entry(judge: Judge, position: int, method: str) -> str:
    """Name the entry of a block that is furthest off: "[2, 1]: numeric 0.5, analytic 0.7"; "" for an empty block."""
    found = entries(judge, position, method, chosen_entries(judge, position))
    if not found:
        return ""
    worst = max(found, key=lambda entry: (np.nan_to_num(entry.off, nan=np.inf), -entry.flat))
    value = judge.point.blocks[position].value
    sample = "" if value.size <= ENTRIES else f" (of {ENTRIES} looked at)"
    numbers = f"numeric {worst.numeric:.6g}, analytic {worst.analytic:.6g}"
    return f"{index_of(value, worst.flat)}{worst.part}: {numbers}{sample}"


def chosen_entries(judge: Judge, position: int) -> list[int]:
    """Return the flat indices of all entries of a block, or of ENTRIES of them."""
    size = judge.point.blocks[position].value.size
    if size <= ENTRIES:
        return list(range(size))
    return [int(i) for i in random_generator(judge.seed, 3).choice(size, ENTRIES, replace=False)]


def away_from_kinks(judge: Judge, position: int, u: Direction) -> Direction:
    """Return a direction u of one block without the entries that meet a kink when moved alone.

    Entries that were not looked at are left out as well.
    """
    smooth = np.zeros(u[position].size, bool)
    for flat in chosen_entries(judge, position):
        smooth[flat] = not any(
            judge.stencil_slope(alone, judge.step).kinked
            for _, _, alone in entry_directions(judge.point, position, flat)
        )
    return [np.where(smooth.reshape(part.shape), part, 0.0) if i == position else part for i, part in enumerate(u)]


def entry_directions(point: Point, position: int, flat: int) -> Iterator[tuple[str, float, Direction]]:
    """Yield (name of the part, scale, direction) that move one entry by its scale: both parts of a complex one."""
    values = [to_host_array(block.value) for block in point.blocks]
    index = np.unravel_index(flat, values[position].shape)
    scale = float(entry_scales(values[position])[index])
    units = [(".re", 1.0), (".im", 1.0j)] if values[position].dtype.kind == "c" else [("", 1.0)]
    for part, unit in units:
        u = [np.zeros_like(value) for value in values]
        u[position][index] = unit * scale
        yield part, scale, u


def index_of(array: Array, flat: int) -> str:
    """Return the index of an entry as Python writes it: [2, 1]."""
    return str([int(i) for i in np.unravel_index(flat, array.shape)])


class RecordedGradient(NamedTuple):
    """row: numeric and analytic slope along one direction. entries: numerical derivatives by single entries."""

    row: Row
    entries: list[float]


def check_recorded_gradient(
    f: Callable[[Any], Any],
    weights: Any,
    value: Any,
    gradient: Any,
    *,
    tolerance: float | None = None,
    shown: int = 0,
    locate: bool = False,
    seed: int = 0,
) -> RecordedGradient:
    """Compare a gradient with the slope of weights · f at `value` along a random direction of norm 1.

    f: array of value's shape → float64 array of the shape of weights, pure: all that follows the value but for a last
    step, the loss of f's result; weights: the derivative of that step. A loss near 0 has too few digits for
    differences, the result before it has them all.
    value, gradient: float64 arrays of one shape (0-d too). shown: how many entries, from the first, are differentiated
    by themselves. locate: where the gradient is wrong, name the entry that is furthest off. seed: of the direction.

    Numbers and verdicts are those of check_gradients by five points, but that no backward can be run again to excuse
    its rounding.
    """
    value = np.asarray(value)
    with np.errstate(all="ignore"):  # what matters is seen in the numbers
        judge = RecordedJudge(f, np.ravel(weights), value, np.asarray(gradient), tolerance, seed)
        row = judge.row("value", "five_point", *judge.direction(0))
        found = entries(judge, 0, "five_point", range(min(shown, value.size)))
        if row.verdict == "FAIL" and locate:
            row = replace(row, entry=worst_entry(judge, 0, "five_point"))
    return RecordedGradient(row, [entry.numeric for entry in found])


class RecordedJudge(Judge):
    """A Judge whose backward returns the recorded gradient, whatever the cotangent."""

    kink_slack = 10.0  # several kinks at one place can cancel in what is seen of them, by about this factor

    def __init__(
        self, f: Callable[[Any], Any], weights: Array, value: Array, gradient: Array, tolerance: float | None, seed: int
    ) -> None:
        point = Point(lambda x: (np.asarray(f(x)), None), (value,))
        super().__init__(point, lambda dy, cache: gradient, None, tolerance, "report", seed)
        self.tree, self.cache = point.evaluate()
        self.y = real_vector([self.tree])
        self.dy = self.dy_tree = weights
        self.gradients = [gradient]

    def unit(self, u: Direction) -> float:
        """Return the length of u."""
        return norm(real_vector(u)) or 1.0
