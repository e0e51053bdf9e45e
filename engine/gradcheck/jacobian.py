"""Check the whole Jacobian, every output against every input: for small functions, where nothing may hide."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from engine.gradcheck.arrays import (
    Array,
    Backward,
    Direction,
    Forward,
    Parameter,
    leaves,
    random_generator,
    rebuild,
    to_host_array,
)
from engine.gradcheck.check import Check
from engine.gradcheck.derivatives import Slope
from engine.gradcheck.point import Point, entry_scales
from engine.gradcheck.report import GradientReport, Row, severity
from engine.gradcheck.verdict import Judge

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


LARGEST = 250_000  # entries of a Jacobian


def check_jacobian(
    forward: Forward,
    backward: Backward,
    inputs: Sequence[Any],
    *,
    wrt: Sequence[int] | None = None,
    parameters: Mapping[str, Parameter] | None = None,
    method: str = "auto",
    step: float | None = None,
    tolerance: float | None = None,
    kink: str = "report",
    seed: int = 0,
) -> GradientReport:
    """Compare every entry ∂y_i/∂x_j from forward with that from backward.

    Arguments as in check_gradients. One row a block with its worst entry and that entry's indices, one more where
    entries lie on kinks. The relative error of an entry is |numeric − analytic|/‖column j of J‖.
    Costs one backward per output entry and a forward or four per input entry. Raises ValueError beyond LARGEST entries,
    and as check_gradients does.
    """
    return JacobianCheck(Point(forward, inputs, wrt, parameters), backward, step, tolerance, kink, seed).run(method)


class Column(NamedTuple):
    """The slope of all outputs by one entry of an input, which `u` moves by `scale`."""

    name: str
    scale: float
    u: Direction
    method: str
    slope: Slope


class JacobianCheck(Check):
    """A Check whose cotangents and directions are unit vectors, all of them."""

    def rows_by(self, method: str) -> list[Row]:
        """Return the rows of the worst entries, and of the kinks."""
        blocks = self.point.blocks
        inputs = sum(block.value.size for block in blocks)
        if self.y.size * inputs > LARGEST:
            raise ValueError(
                f"inputs: the Jacobian has {self.y.size}·{inputs} entries, more than {LARGEST}; give smaller ones, or "
                "use check_gradients"
            )
        columns = [list(self.columns(position, method)) for position in range(len(blocks))]
        found: list[list[tuple[str, Row]]] = [[] for _ in columns]
        for number, name in enumerate(self.output_names()):
            self.unit_cotangent(number)
            self.point.assign()
            gradients = self.run_backward(self.cache)[0]
            for position, of_block in enumerate(columns):
                if gradients[position] is None:  # its shape or dtype is wrong, which has a row already
                    continue
                for c in of_block:
                    slope, analytic = c.slope.for_cotangent(self.dy), self.inner_product(c.u, gradients)
                    row = self.judge(blocks[position].name, c.method, slope, c.u, analytic)
                    numeric = float(self.dy @ slope.vector)
                    entry = f"{name} by {c.name}: numeric {numeric / c.scale:.6g}, analytic {analytic / c.scale:.6g}"
                    found[position].append((c.name, replace(row, entry=entry)))
        rows = [row for of_block in found for row in worst_of(of_block)]
        if not rows and any(block.value.size == 0 for block in blocks):
            rows = [self.row(f"{blocks[0].name}, empty", method, *self.direction(2))]
        return rows

    def columns(self, position: int, method: str) -> Iterator[Column]:
        """Yield a Column for every entry of a block."""
        block = self.point.blocks[position]
        for flat in range(block.value.size):
            for part, scale, u in entry_directions(self.point, position, flat):
                used, slope = self.slope(block.name, method, u)
                yield Column(f"{block.name}{index_of(block.value, flat)}{part}", scale, u, used, slope)

    def output_names(self) -> list[str]:
        """Return a name for every entry of y as a real vector."""
        names = []
        for name, leaf in leaves(self.tree, "output"):
            array = to_host_array(leaf)
            parts = (".re", ".im") if array.dtype.kind == "c" else ("",)
            names += [
                f"{name}{index_of(array, flat) if array.ndim else ''}{part}"
                for flat in range(array.size)
                for part in parts
            ]
        return names

    def unit_cotangent(self, number: int) -> None:
        """Let dy be the unit vector of one entry of y."""
        self.dy = np.zeros(self.y.size)
        self.dy[number] = 1.0
        parts, start = [], 0
        for _, leaf in leaves(self.tree, "output"):
            array = to_host_array(leaf)
            is_complex = array.dtype.kind == "c"
            numbers = self.dy[start : start + array.size * (1 + is_complex)]
            start += numbers.size
            part = (numbers.view(np.complex128) if is_complex else numbers).reshape(array.shape)
            parts.append(part[()] if np.isscalar(leaf) else self.point.module.asarray(part))
        self.dy_tree = rebuild(self.tree, iter(parts))


def worst_of(named_rows: list[tuple[str, Row]]) -> list[Row]:
    """Return of [(input entry, Row)] the row that needs attention most, and the first kink beside it."""
    judged = [row for _, row in named_rows if row.verdict != "kink"]
    kinks = [row for _, row in named_rows if row.verdict == "kink"]
    worst = [max(judged, key=severity)] if judged else []
    if kinks:
        places = len({at for at, row in named_rows if row.verdict == "kink"})
        worst.append(replace(kinks[0], name=f"{kinks[0].name}, kink at {places} of its entries"))
    return worst
