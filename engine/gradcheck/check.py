"""Check one backward along random directions, over everything together and over each block."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .arrays import (
    Backward,
    Direction,
    Forward,
    Parameter,
    check_choice,
    leaves,
    random_generator,
    real_vector,
    rebuild,
    to_host_array,
    tree_vector,
)
from .derivatives import METHODS, NotAnalytic
from .directions import random_unit
from .entries import away_from_kinks
from .locate import wrong_entries
from .noise import noise_of
from .point import Point, ShapeChanged
from .precision import DOUBLE, SINGLE, Precision, dtype_name, noise_precision, precision_of, representable
from .report import GradientReport, Limit, Row
from .results import limits_of, not_finite_rows, same_gradients, wrong_dtype_rows
from .verdict import Judge

STATE = (
    "depends on the latest call of forward: what it needs is kept outside of the cache (in self?); return it in the "
    "cache, or pass stateful=True, which runs forward before each backward"
)


def check_gradients(
    forward: Forward,
    backward: Backward,
    inputs: Sequence[Any],
    *,
    wrt: Sequence[int] | None = None,
    parameters: Mapping[str, Parameter] | None = None,
    directions: int = 3,
    method: str = "auto",
    step: float | None = None,
    tolerance: float | None = None,
    kink: str = "report",
    stateful: bool = False,
    seed: int = 0,
) -> GradientReport:
    """Compare ⟨dy, J·u⟩, from forward alone, with ⟨Jᵀ·dy, u⟩, from backward.

    forward, backward: y, cache = forward(*inputs); backward(dy, cache) returns the gradient, or a tuple of gradients in
    the order of wrt (anything, where no input is differentiated), or one entry for every input, with None for the rest.
    dy has the form of y, with None for what is no float.
    inputs: tuple of arguments; float arrays, and tuples and dicts of them, are differentiated, the
    rest is passed on (forms.py says more); a random generator starts from the same state at every call.
    wrt: indices of the inputs to differentiate; floats, and tuples and dicts with text in them, only if it names them.
    parameters: compared as well; their values and gradients are as before when the check is over.
    directions: random directions over everything together; each block then has one of its own, so that a small one
    cannot hide behind a large one.
    method: "complex_step"; "five_point"; "richardson" (central differences, extrapolated); "auto": complex step,
    cross-checked against five-point in every row, with five-point as the fallback (a note says why).
    step: of the stencil or of the complex step, relative to the inputs, or the first of richardson; with "auto" that of
    the stencil.
    tolerance: of the relative error; if None that of the method and the precision: TOLERANCES[method] in float64, wider
    in float32 and float16, also where results of float64 turn out to have no more digits than these (a note says so).
    kink: "report" or "fail"; reported kinks prove nothing: an input of which only kinks were met is checked once more
    along its entries that lie on none, and where all do, or where rounding hides the slope, it is named in
    report.unchecked, and the report is not ok.
    stateful: run forward at the point before each backward, for layers that keep their input outside of the cache.
    seed: of dy and the directions; the same seed repeats the check exactly.

    Raises ValueError for wrong arguments. Exceptions of forward and backward pass through.
    """
    if directions < 1:
        raise ValueError(f"directions: expected at least 1, got {directions}")
    check = Check(Point(forward, inputs, wrt, parameters), backward, step, tolerance, kink, seed, stateful)
    check.directions = directions
    return check.run(method)


class Check(Judge):
    """One run of check_gradients: what is known at the point, and the rows found so far."""

    directions = 1

    def __init__(
        self,
        point: Point,
        backward: Backward,
        step: float | None,
        tolerance: float | None,
        kink: str,
        seed: int,
        stateful: bool = False,
    ) -> None:
        super().__init__(point, backward, step, tolerance, kink, seed)
        self.stateful = stateful
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self.method = "five_point"  # by which the rows are judged in the end
        self.is_complex = any(b.value.dtype.kind == "c" for b in point.blocks)

    def run(self, method: str) -> GradientReport:
        """Return the report by a method, or by "auto"."""
        check_choice("method", method, ("auto", *METHODS))
        with self.point.restored():
            try:
                self.fill(method)
            except ShapeChanged as error:
                raise ValueError(str(error)) from None
        return self.report()

    def fill(self, method: str) -> None:
        """Fill rows and notes."""
        self.rows += not_finite_rows((b.name, b.value) for b in self.point.blocks)
        if self.rows:
            return
        self.tree, self.cache = self.point.evaluate()
        self.notes += [f"forward writes into {name}: let it work on a copy" for name in self.point.written]
        named_outputs = leaves(self.tree, "output")
        bad = wrong_dtype_rows(named_outputs) or not_finite_rows(named_outputs)
        self.rows += bad
        if bad:
            return
        outputs = [to_host_array(leaf) for _, leaf in named_outputs]
        self.is_complex = self.is_complex or any(leaf.dtype.kind == "c" for leaf in outputs)
        self.y = tree_vector(self.tree)
        self.draw_cotangent()
        self.gradients, problems = self.run_backward(self.cache)
        for name, problem in problems:
            self.fail(name, problem)
        self.check_purity()
        self.set_precision(precision_of([*(b.value for b in self.point.blocks), *outputs]))
        self.choose_method(method)

    def draw_cotangent(self) -> None:
        """Draw dy: as a tree like y for backward, and as a real vector."""
        outputs = [leaf for _, leaf in leaves(self.tree, "output")]
        cotangents = random_unit([to_host_array(leaf) for leaf in outputs], random_generator(self.seed, 1))
        # Of norm 2, not 1: the only unit cotangent of a scalar loss is ±1, and a backward that forgets it would pass.
        # Its first number is negative: a backward that takes the absolute value would pass with positive ones.
        sign = next((1.0 if part.flat[0].real < 0.0 else -1.0 for part in cotangents if part.size), 1.0)
        typed = [np.asarray(2.0 * sign * part, to_host_array(leaf).dtype) for leaf, part in zip(outputs, cotangents)]
        self.dy = real_vector(typed)
        xp = self.point.module
        self.dy_tree = rebuild(
            self.tree, (d[()] if np.isscalar(leaf) else xp.asarray(d) for leaf, d in zip(outputs, typed))
        )

    def check_purity(self) -> None:
        """Call backward again, forward elsewhere and here, and backward once more.

        This finds randomness, a backward that writes into its arguments, and state kept outside of the cache.
        """
        first = [None if g is None else g.copy() for g in self.gradients]
        dy = real_vector(leaf for _, leaf in leaves(self.dy_tree, "dy"))
        try:
            again = self.run_backward(self.cache)[0]
        except Exception as error:  # whatever it is: the first call raised nothing
            self.fail("backward", f"raises {type(error).__name__} when called again ({error}): it uses up its cache")
            again, self.stateful = first, True
        if not np.array_equal(real_vector(leaf for _, leaf in leaves(self.dy_tree, "dy")), dy):
            self.fail("backward", "writes into its cotangent: work on a copy")
        elif not same_gradients(again, first):
            self.fail("backward", "gives another result when called again: it writes into its cache, or is random")
        (elsewhere,) = self.point.random_directions(self.seed, 0, 1)
        step = DOUBLE.steps["five_point"] if self.point.exact else SINGLE.steps["five_point"]
        self.near = tree_vector(self.point.evaluate_beside(elsewhere, step))
        if not self.stateful and same_gradients(again, first):
            self.point.assign()
            if not same_gradients(self.run_backward(self.cache)[0], first):
                self.fail("backward", STATE)
                self.stateful = True  # for what is left to check
        here, self.cache = self.point.evaluate()
        here = tree_vector(here)
        if here.shape != self.y.shape or not np.array_equal(here, self.y):
            self.fail("forward", "gives different results for the same inputs: fix its random stream, or keep no state")
        self.gradients = first

    def set_precision(self, precision: Precision) -> None:
        """Set the precision by which the function is judged: that of its types, or what its results look like."""
        self.precision = precision
        seen = representable(self.y, self.near) if self.near.shape == self.y.shape else precision
        if seen.epsilon > precision.epsilon:
            self.precision = seen
            self.notes.append(f"the results have no more digits than {seen.name} holds: checked as {seen.name}")

    def choose_method(self, method: str) -> None:
        """Fill the rows by the method asked for; "auto" turns to five-point when complex step cannot be trusted."""
        if method == "complex_step" and self.is_complex:
            raise ValueError(
                "method: complex_step needs real inputs and outputs (a pair of real arrays, say), use five_point"
            )
        if method == "auto" and self.is_complex:
            self.notes.append("five-point: inputs or outputs are complex, and complex step needs real ones")
        self.method = "richardson" if method == "richardson" else "five_point"
        if method not in METHODS[1:] and not self.is_complex:
            self.method = "complex_step"
            try:
                self.rows += self.rows_by(method)
                return
            except NotAnalytic as reason:
                if method == "complex_step":
                    raise ValueError(f"method: complex_step cannot be used, {reason}") from reason
                self.notes.append(f"five-point instead of complex step: {reason}")
            self.method = "five_point"
        if self.precision is DOUBLE:
            self.measure_noise()
        self.rows += self.rows_by(self.method)

    def measure_noise(self) -> None:
        """Lower the precision where results are noisier than their type: computed in a coarser one somewhere inside."""
        (u,) = self.point.random_directions(self.seed, 0, 1)
        noise = noise_of(self.line(u))
        seen = noise_precision(noise)
        if seen.epsilon > self.precision.epsilon:
            self.precision = seen
            self.notes.append(f"the results carry noise of about {noise:.0e} of their size: checked as {seen.name}")

    def rows_by(self, method: str) -> list[Row]:
        """Judge everything together (unless some gradient is unusable), then each block where there are several.

        The first failing row that moves a block names the entry that is furthest off.
        """
        usable = [i for i, gradient in enumerate(self.gradients) if gradient is not None]
        alone = len(self.gradients) == 1
        rows: list[Row] = []
        if len(usable) == len(self.gradients):
            what = self.point.blocks[0].name if alone else "all"
            for k in range(self.directions):
                u = self.direction(2 + k)
                row = self.row(f"{what}, direction {k + 1}", method, u)
                first_failure = row.verdict == "FAIL" and not any(r.verdict == "FAIL" for r in rows)
                rows.append(self.with_entry(row, 0, u) if alone and first_failure else row)
                self.confirmed = alone and any(r.verdict == "FAIL" for r in rows)
        if alone:
            only_kinks = {row.verdict for row in rows} == {"kink"}
            return rows + (self.smooth_rows(0, method, self.direction(2)) if only_kinks else [])
        own: list[Row] = []
        for i in usable:
            u = self.direction(2 + self.directions + i, only=i)
            row = self.with_entry(self.row(self.point.blocks[i].name, method, u), i, u)
            own += [row, *(self.smooth_rows(i, method, u) if row.verdict == "kink" else [])]
        if not any(row.verdict == "FAIL" for row in own):
            rows = [self.excused(row) for row in rows]
        return rows + own

    def with_entry(self, row: Row, position: int, u: Direction) -> Row:
        """Return the row of a block; where it failed, with the entries that are wrong."""
        if row.verdict != "FAIL":
            return row
        entry = wrong_entries(self, position, row.method, u)
        return replace(row, entry=entry) if entry else self.excused(row)

    def smooth_rows(self, position: int, method: str, u: Direction) -> list[Row]:
        """Judge a block in which only kinks were met along the entries of u that lie on none; [] where all do."""
        u = away_from_kinks(self, position, u)
        if not np.any(u[position]):
            return []
        name = f"{self.point.blocks[position].name}, away from kinks"
        return [self.with_entry(self.row(name, method, u), position, u)]

    def fail(self, name: str, message: str) -> None:
        """Add a failing row without numbers."""
        self.rows.append(Row(name, "FAIL", message=message))

    def unchecked(self) -> tuple[str, ...]:
        """Return the names of the blocks of which only kinks and rounding were met."""
        own = {b.name: {row.verdict for row in self.rows_of(b.name)} for b in self.point.blocks}
        return tuple(name for name, verdicts in own.items() if verdicts and verdicts <= {"kink", "noise"})

    def rows_of(self, name: str) -> list[Row]:
        """Return the rows of a block alone."""
        return [row for row in self.rows if row.name == name or row.name.startswith(f"{name}, ")]

    def limits(self) -> tuple[Limit, ...]:
        """Return what could have been seen of each block."""
        names = [block.name for block in self.point.blocks]
        return limits_of(names, getattr(self, "gradients", []), self.rows_of)

    def report(self) -> GradientReport:
        """Return the rows with the circumstances."""
        steps = [row.step for row in self.rows if row.method == self.method and row.step is not None]
        return GradientReport(
            rows=tuple(self.rows),
            seed=self.seed,
            dtype=dtype_name(self.precision, self.is_complex),
            backend=self.point.module.__name__,
            step=steps[0] if steps else self.precision.steps[self.method],
            tolerance=self.tolerance_of(self.method),
            notes=(*self.point.output.notes, *self.notes),
            unchecked=self.unchecked(),
            limits=self.limits(),
        )
