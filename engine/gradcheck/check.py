"""Check one backward along random directions, over everything together and over each block."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .arrays import (
    FLOATS,
    Backward,
    Cache,
    Direction,
    Forward,
    Layer,
    Network,
    Parameter,
    Tree,
    check_choice,
    count_not_finite,
    leaves,
    random_generator,
    real_vector,
    rebuild,
    to_host_array,
    tree_vector,
)
from .derivatives import METHODS, STEPS, NotAnalytic
from .entries import away_from_kinks, worst_entry
from .point import Point, random_unit
from .properties import check_properties
from .report import GradientReport, Row
from .verdict import Judge


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
    seed: int = 0,
) -> GradientReport:
    """Compare ⟨dy, J·u⟩, from forward alone, with ⟨Jᵀ·dy, u⟩, from backward.

    forward, backward: y, cache = forward(*inputs); backward(dy, cache) returns the gradient, or a tuple of gradients in
    the order of wrt (anything, where no input is differentiated), or one entry for every input, with None for the rest.
    dy has the form of y, with None for what is no float.
    inputs: tuple of arguments; float64 and complex128 arrays, and tuples and dicts of them, are differentiated, the
    rest is passed on (forms.py says more); a random generator starts from the same state at every call.
    wrt: indices of the inputs to differentiate; floats, and tuples and dicts with text in them, only if it names them.
    parameters: compared as well; their values and gradients are as before when the check is over.
    directions: random directions over everything together; each block then has one of its own, so that a small one
    cannot hide behind a large one.
    method: "complex_step"; "five_point"; "richardson" (central differences, extrapolated); "auto": complex step,
    cross-checked against five-point in every row, with five-point as the fallback (a note says why).
    step: of the stencil or of the complex step, relative to the inputs, or the first of richardson; with "auto" that of
    the stencil.
    tolerance: of the relative error; TOLERANCES[method] if None. kink: "report" or "fail"; reported kinks prove
    nothing: an input of which only kinks were met is checked once more along its entries that lie on none, and where
    all do it is named in report.unchecked, and the report is not ok.
    seed: of dy and the directions; the same seed repeats the check exactly.

    Raises ValueError for wrong arguments and for float32 (check in float64, then compare float32 with float64).
    Exceptions of forward and backward on float64 pass through.
    """
    if directions < 1:
        raise ValueError(f"directions: expected at least 1, got {directions}")
    check = Check(Point(forward, inputs, wrt, parameters), backward, step, tolerance, kink, seed)
    check.directions = directions
    return check.run(method)


class Check(Judge):
    """One run of check_gradients: what is known at the point, and the rows found so far."""

    directions = 1

    def __init__(
        self, point: Point, backward: Backward, step: float | None, tolerance: float | None, kink: str, seed: int
    ) -> None:
        super().__init__(point, backward, step, tolerance, kink, seed)
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self.method = "five_point"  # by which the rows are judged in the end
        self.is_complex = any(b.value.dtype.kind == "c" for b in point.blocks)

    def run(self, method: str) -> GradientReport:
        """Return the report by a method, or by "auto"."""
        check_choice("method", method, ("auto", *METHODS))
        with self.point.restored():
            self.fill(method)
        return self.report()

    def fill(self, method: str) -> None:
        """Fill rows and notes."""
        self.rows += not_finite_rows((b.name, b.value) for b in self.point.blocks)
        if self.rows:
            return
        self.tree, self.cache = self.point.evaluate()
        named_outputs = leaves(self.tree, "output")
        self.rows += wrong_dtype_rows(named_outputs) or not_finite_rows(named_outputs)
        if self.rows:
            return
        self.is_complex = self.is_complex or any(to_host_array(leaf).dtype.kind == "c" for _, leaf in named_outputs)
        self.y = tree_vector(self.tree)
        self.check_purity()
        self.draw_cotangent()
        self.point.assign()
        self.gradients, problems = self.run_backward(self.cache)
        for name, problem in problems:
            self.fail(name, problem)
        self.choose_method(method)

    def check_purity(self) -> None:
        """Call forward elsewhere and here again, which finds randomness.

        The last call is elsewhere, so that state kept outside of the cache shows in backward.
        """
        (elsewhere,) = self.point.random_directions(self.seed, 0, 1)
        self.point.evaluate(elsewhere, STEPS["five_point"])
        again = tree_vector(self.point.evaluate()[0])
        self.point.evaluate(elsewhere, STEPS["five_point"])
        if again.shape != self.y.shape or not np.array_equal(again, self.y):
            self.fail("forward", "gives different results for the same inputs: fix its random stream, or keep no state")

    def draw_cotangent(self) -> None:
        """Draw dy: as a tree like y for backward, and as a real vector."""
        outputs = [leaf for _, leaf in leaves(self.tree, "output")]
        cotangents = random_unit([to_host_array(leaf) for leaf in outputs], random_generator(self.seed, 1))
        # Of norm 2, not 1: the only unit cotangent of a scalar loss is ±1, and a backward that forgets it would pass.
        cotangents = [np.asarray(2.0 * part) for part in cotangents]
        self.dy = real_vector(cotangents)
        xp = self.point.module
        typed = (d[()] if np.isscalar(leaf) else xp.asarray(d) for leaf, d in zip(outputs, cotangents))
        self.dy_tree = rebuild(self.tree, typed)

    def choose_method(self, method: str) -> None:
        """Fill the rows by the method asked for; "auto" turns to five-point when complex step cannot be trusted."""
        if method == "complex_step" and self.is_complex:
            raise ValueError(
                "method: complex_step needs real inputs and outputs (a pair of real arrays, say), use five_point"
            )
        if method == "auto" and self.is_complex:
            self.notes.append("five-point: inputs or outputs are complex, and complex step needs real ones")
        if method == "richardson":
            self.method = "richardson"
        elif method != "five_point" and not self.is_complex:
            self.method = "complex_step"
        try:
            self.rows += self.rows_by("auto" if self.method == "complex_step" and method == "auto" else self.method)
        except NotAnalytic as reason:
            if method == "complex_step":
                raise ValueError(f"method: complex_step cannot be used, {reason}") from reason
            self.method = "five_point"
            self.notes.append(f"five-point instead of complex step: {reason}")
            self.rows += self.rows_by("five_point")

    def rows_by(self, method: str) -> list[Row]:
        """Judge everything together (unless some gradient is unusable), then each block where there are several.

        The first failing row that moves a block names the entry that is furthest off.
        """
        usable = [i for i, gradient in enumerate(self.gradients) if gradient is not None]
        rows = []
        if len(usable) == len(self.gradients):
            what = "all" if len(usable) > 1 else self.point.blocks[0].name
            rows += [
                self.row(f"{what}, direction {k + 1}", method, *self.direction(2 + k)) for k in range(self.directions)
            ]
        if len(self.gradients) == 1:
            failed = next((k for k, row in enumerate(rows) if row.verdict == "FAIL"), None)
            if failed is not None:
                rows[failed] = self.with_entry(rows[failed], 0)
            only_kinks = {row.verdict for row in rows} == {"kink"}
            return rows + (self.smooth_rows(0, method, self.direction(2)[0]) if only_kinks else [])
        first = 2 + self.directions
        for i in usable:
            u, analytic = self.direction(first + i, only=i)
            row = self.with_entry(self.row(self.point.blocks[i].name, method, u, analytic), i)
            rows += [row, *(self.smooth_rows(i, method, u) if row.verdict == "kink" else [])]
        return rows

    def with_entry(self, row: Row, position: int) -> Row:
        """Return the row of a block; where it failed, with the entry that is furthest off."""
        return replace(row, entry=worst_entry(self, position, row.method)) if row.verdict == "FAIL" else row

    def smooth_rows(self, position: int, method: str, u: Direction) -> list[Row]:
        """Judge a block in which only kinks were met along the entries of u that lie on none; [] where all do."""
        u = away_from_kinks(self, position, u)
        if not np.any(u[position]):
            return []
        name = f"{self.point.blocks[position].name}, away from kinks"
        return [self.with_entry(self.row(name, method, u, self.inner_product(u)), position)]

    def fail(self, name: str, message: str) -> None:
        """Add a failing row without numbers."""
        self.rows.append(Row(name, "FAIL", message=message))

    def unchecked(self) -> tuple[str, ...]:
        """Return the names of the blocks of which only kinks were met."""
        own = {
            b.name: [row.verdict for row in self.rows if row.name == b.name or row.name.startswith(f"{b.name}, ")]
            for b in self.point.blocks
        }
        return tuple(name for name, verdicts in own.items() if verdicts and set(verdicts) == {"kink"})

    def report(self) -> GradientReport:
        """Return the rows with the circumstances."""
        steps = [row.step for row in self.rows if row.method == self.method and row.step is not None]
        return GradientReport(
            rows=tuple(self.rows),
            seed=self.seed,
            dtype="complex128" if self.is_complex else "float64",
            backend=self.point.module.__name__,
            step=steps[0] if steps else STEPS[self.method],
            tolerance=self.tolerance_of(self.method),
            notes=(*self.point.output.notes, *self.notes),
            unchecked=self.unchecked(),
        )


def wrong_dtype_rows(named_arrays: Iterable[tuple[str, Any]]) -> list[Row]:
    """Return a failing row for every result that is not in double precision."""
    found = [(name, to_host_array(array).dtype) for name, array in named_arrays]
    return [
        Row(name, "FAIL", message=f"dtype {t}, expected float64 or complex128") for name, t in found if t not in FLOATS
    ]


def not_finite_rows(named_arrays: Iterable[tuple[str, Any]]) -> list[Row]:
    """Return a failing row for every array with NaN or infinite entries."""
    rows = []
    for name, array in named_arrays:
        bad = count_not_finite(to_host_array(array))
        if bad:
            rows.append(Row(name, "FAIL", message=f"{bad} of {np.size(array)} entries are NaN or infinite"))
    return rows


NETWORK_TOLERANCE = 1e-6


def check_layer(
    layer: Layer, inputs: Sequence[Any], *, empty_inputs: Sequence[Any] | None = None, seed: int = 0, **options: Any
) -> GradientReport:
    """Run check_gradients and check_properties on a layer in float64: every input and every parameter.

    inputs: arguments of layer.forward; a random generator among them (for dropout) starts anew at every call.
    options: as in check_gradients. Raises ValueError for wrong arguments, float32 parameters among them.
    """
    parameters, wrt = layer.parameters(), options.pop("wrt", None)
    gradients = check_gradients(
        layer.forward, layer.backward, inputs, wrt=wrt, parameters=parameters, seed=seed, **options
    )
    laws = check_properties(
        layer.forward, layer.backward, inputs, wrt=wrt, parameters=parameters, empty_inputs=empty_inputs, seed=seed
    )
    return joined(gradients, laws)


def check_network(
    network: Network,
    batch: Any,
    *,
    train: bool = True,
    seed: int = 0,
    tolerance: float = NETWORK_TOLERANCE,
    **options: Any,
) -> GradientReport:
    """Check the gradient of a network's loss by every parameter, in float64.

    batch: what loss_forward takes, labels among it. train: with dropout, from a generator that starts anew at every
    call. options: as in check_gradients. Raises ValueError for float32 parameters.
    """

    def forward() -> tuple[Tree, Cache]:
        return network.loss_forward(batch, train=train, rng=random_generator(seed))

    def backward(dloss: Tree, cache: Cache) -> None:
        network.loss_backward(cache, dloss)

    parameters = network.parameters()
    gradients = check_gradients(forward, backward, (), parameters=parameters, seed=seed, tolerance=tolerance, **options)
    laws = check_properties(forward, backward, (), parameters=parameters, seed=seed)
    return joined(gradients, replace(laws, notes=()))  # they speak of empty_inputs, which a network's batch is not


def joined(gradients: GradientReport, laws: GradientReport) -> GradientReport:
    """Return one report of the rows of two; ok only if both are."""
    # A report is ok with one ok row; laws must not vouch for gradients of which every row is a kink or noise.
    kept = laws.failures if not gradients.ok and not gradients.failures else laws.rows
    return replace(gradients, rows=gradients.rows + kept, notes=tuple(dict.fromkeys(gradients.notes + laws.notes)))
