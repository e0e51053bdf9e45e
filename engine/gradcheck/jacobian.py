"""Check the whole Jacobian, every output against every input: for small functions, where nothing may hide."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .arrays import Backward, Direction, Forward, Parameter, leaves, rebuild, to_host_array
from .check import Check
from .derivatives import Slope
from .entries import entry_directions, index_of
from .point import Point
from .report import GradientReport, Row, severity

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
    stateful: bool = False,
    seed: int = 0,
) -> GradientReport:
    """Compare every entry ∂y_i/∂x_j from forward with that from backward.

    Arguments as in check_gradients. One row a block with its worst entry and that entry's indices, one more where
    entries lie on kinks. The relative error of an entry is |numeric − analytic|/‖column j of J‖.
    Costs one backward per output entry and a forward or four per input entry. Raises ValueError beyond LARGEST entries,
    and as check_gradients does.
    """
    point = Point(forward, inputs, wrt, parameters)
    return JacobianCheck(point, backward, step, tolerance, kink, seed, stateful).run(method)


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
                    slope = c.slope.for_cotangent(self.dy, self.precision)
                    row = self.judge(blocks[position].name, c.method, slope, c.u, gradients)
                    row = self.closer(row, slope, c.u, gradients)
                    numbers = [number / c.scale for number in (row.numeric, row.analytic) if number is not None]
                    entry = f"{name} by {c.name}: numeric {numbers[0]:.6g}, analytic {numbers[1]:.6g}"
                    found[position].append((c.name, replace(row, entry=entry)))
        rows = [row for of_block in found for row in worst_of(of_block)]
        if not rows and any(block.value.size == 0 for block in blocks):
            rows = [self.row(f"{blocks[0].name}, empty", method, self.direction(2))]
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
    """Return of [(input entry, Row)] the row that needs attention most, and beside it the first kink and noise."""
    judged = [row for _, row in named_rows if row.verdict not in ("kink", "noise")]
    worst = [max(judged, key=severity)] if judged else []
    for verdict in ("kink", "noise"):
        rows = [row for _, row in named_rows if row.verdict == verdict]
        if rows:
            places = len({at for at, row in named_rows if row.verdict == verdict})
            worst.append(replace(rows[0], name=f"{rows[0].name}, {verdict} at {places} of its entries"))
    return worst
