"""The whole Jacobian, entry by entry: every output against every input. For small functions, where nothing may hide."""

from dataclasses import replace

import numpy as np

from engine.gradcheck.check import Check
from engine.gradcheck.locate import entry_directions, index_of
from engine.gradcheck.point import Point
from engine.gradcheck.report import severity
from engine.gradcheck.trees import leaves, rebuild, to_host_array

LARGEST = 250_000  # entries of a Jacobian


def check_jacobian(
    forward,
    backward,
    inputs,
    *,
    wrt=None,
    parameters=None,
    method="auto",
    step=None,
    tolerance=None,
    kink="report",
    seed=0,
):
    """Compare every entry ∂y_i/∂x_j from forward with that from backward. Returns a GradientReport.

    Arguments as in check_gradients. One row a block with its worst entry and that entry's indices, one more where entries
    lie on kinks. The relative error of an entry is |numeric − analytic|/‖column j of J‖.
    Costs one backward per output entry and a forward or four per input entry. Raises ValueError beyond LARGEST entries,
    and as check_gradients does.
    """
    return JacobianCheck(Point(forward, inputs, wrt, parameters), backward, step, tolerance, kink, seed).run(method)


class JacobianCheck(Check):
    """A Check whose cotangents and directions are unit vectors, all of them."""

    def rows_by(self, method):
        """Rows of the worst entries, and of the kinks."""
        inputs = sum(block.value.size for block in self.point.blocks)
        if self.y.size * inputs > LARGEST:
            raise ValueError(
                f"inputs: the Jacobian has {self.y.size}·{inputs} entries, more than {LARGEST}; give smaller ones, or use check_gradients"
            )
        columns = [list(self.columns(position, method)) for position in range(len(self.point.blocks))]
        found = [[] for _ in columns]
        for number, name in enumerate(self.output_names()):
            self.unit_cotangent(number)
            self.point.place()
            gradients = self.run_backward(self.cache)[0]
            for position, of_block in enumerate(columns):
                if gradients[position] is None:  # its shape or dtype is wrong, which has a row already
                    continue
                for at, scale, u, used, slope in of_block:
                    row = self.judge(
                        self.point.blocks[position].name,
                        used,
                        slope.seen_by(self.dy),
                        u,
                        self.inner_product(u, gradients),
                    )
                    entry = f"{name} by {at}: numeric {row.numeric / scale:.6g}, analytic {row.analytic / scale:.6g}"
                    found[position].append((at, replace(row, entry=entry)))
        rows = [row for of_block in found for row in worst_of(of_block)]
        if not rows and any(block.value.size == 0 for block in self.point.blocks):
            rows = [self.row(f"{self.point.blocks[0].name}, empty", method, *self.direction(2))]
        return rows

    def columns(self, position, method):
        """(name, scale, direction, method used, Slope) for every entry of a block."""
        block = self.point.blocks[position]
        for flat in range(block.value.size):
            for part, scale, u in entry_directions(self.point, position, flat):
                yield f"{block.name}{index_of(block.value, flat)}{part}", scale, u, *self.slope(block.name, method, u)

    def output_names(self):
        """A name for every entry of y as a real vector."""
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

    def unit_cotangent(self, number):
        """Let dy be the unit vector of one entry of y."""
        self.dy = np.zeros(self.y.size)
        self.dy[number] = 1.0
        parts, start = [], 0
        for _, leaf in leaves(self.tree, "output"):
            array = to_host_array(leaf)
            is_complex = array.dtype.kind == "c"
            numbers = self.dy[start : start + array.size * (1 + is_complex)]
            start += numbers.size
            numbers = numbers.view(np.complex128) if is_complex else numbers
            part = numbers.reshape(array.shape)
            parts.append(part[()] if np.isscalar(leaf) else self.point.module.asarray(part))
        self.dy_tree = rebuild(self.tree, iter(parts))


def worst_of(named_rows):
    """Of [(input entry, Row)] the row that needs attention most, and the first kink beside it."""
    judged = [row for _, row in named_rows if row.verdict != "kink"]
    kinks = [row for _, row in named_rows if row.verdict == "kink"]
    worst = [max(judged, key=severity)] if judged else []
    if kinks:
        places = len({at for at, row in named_rows if row.verdict == "kink"})
        worst.append(replace(kinks[0], name=f"{kinks[0].name}, kink at {places} of its entries"))
    return worst
