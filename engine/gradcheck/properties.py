"""Laws that every backward keeps, whatever its equation: what finite differences do not see."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .arrays import (
    Array,
    Backward,
    Cache,
    Forward,
    Parameter,
    Tree,
    Vector,
    array_module,
    is_container,
    is_float_array,
    leaves,
    norm,
    random_generator,
    real_vector,
    rebuild,
    rebuild_arrays,
    to_host_array,
    tree_vector,
)
from .directions import random_unit
from .gradients import as_gradient
from .point import Point, run_backward
from .report import GradientReport, Row

ROUNDING = 1e-12  # of results whose sums may be taken in another order
SINGLE = {"f": np.dtype(np.float32), "c": np.dtype(np.complex64)}


def check_properties(
    forward: Forward,
    backward: Backward,
    inputs: Sequence[Any],
    *,
    wrt: Sequence[int] | None = None,
    parameters: Mapping[str, Parameter] | None = None,
    empty_inputs: Sequence[Any] | None = None,
    seed: int = 0,
) -> GradientReport:
    """Check laws that hold for every hand-written backward, a row for each:

    gradients have shape and dtype of what they belong to; forward and backward are repeatable, bit for bit; a cotangent
    of zero gives exactly zero; the gradient is linear in the cotangent; inputs, cotangent and cache stay untouched;
    non-contiguous and Fortran-ordered inputs give the same; float32 stays float32; an empty batch passes.

    empty_inputs: the arguments of forward for an empty batch: only the caller knows what empty means. Without them a
    note says that none was tried. Other arguments as in check_gradients, with the same ValueErrors. Exceptions of
    forward and backward on float64 pass through.
    """
    return PropertyCheck(Point(forward, inputs, wrt, parameters), backward, seed).run(empty_inputs)


class PropertyCheck:
    """One run of check_properties: the point, and the rows found so far."""

    def __init__(self, point: Point, backward: Backward, seed: int) -> None:
        self.point, self.backward, self.seed = point, backward, seed
        self.rows: list[Row] = []
        self.notes: list[str] = []

    def run(self, empty_inputs: Sequence[Any] | None) -> GradientReport:
        """Check all laws, one after another; those about numbers only if the gradients have the right form."""
        with self.point.restored():
            y, cache = self.point.evaluate()
            dy = cotangent(y, self.seed, 1)
            gradient, problems = self.gradient(copied(dy), cache)
            self.law("shapes and dtypes", *problems)
            if not problems:
                self.check_repeatable(y, cache, dy, gradient)
                self.check_cotangent(y, cache, dy, gradient)
                self.check_untouched(dy)
                self.check_layout("non-contiguous inputs", strided, dy, gradient)
                self.check_layout("Fortran-ordered inputs", lambda x: x.copy(order="F"), dy, gradient)
                self.check_float32(dy)
            if empty_inputs is None:
                self.notes.append("no empty batch was tried: give one as empty_inputs=")
            else:
                self.check_empty(empty_inputs)
        backend = self.point.module.__name__
        return GradientReport(
            tuple(self.rows),
            self.seed,
            "float64",
            backend,
            step=0.0,
            tolerance=ROUNDING,
            notes=(*self.point.output.notes, *self.notes),
        )

    def gradient(self, dy: Tree, cache: Cache, point: Point | None = None) -> tuple[Vector, list[str]]:
        """Return (the gradients of everything as one real vector, what is wrong with their form)."""
        found, problems = run_backward(point or self.point, self.backward, dy, cache)
        return real_vector(g for g in found if g is not None), [f"{name}: {problem}" for name, problem in problems]

    def law(self, name: str, *problems: str) -> None:
        """Add a row: "ok", or what is wrong."""
        self.rows.append(Row(name, "FAIL" if problems else "ok", "exact", message="; ".join(problems)))

    def same(self, name: str, found: Vector, expected: Vector, tolerance: float = 0.0) -> None:
        """Add a row: whether two vectors agree to tolerance·‖expected‖; with tolerance 0, whether they are equal."""
        fits = found.shape == expected.shape
        error = float(norm(found - expected) / (norm(expected) or 1.0)) if fits else np.inf
        ok = error <= tolerance if tolerance else fits and np.array_equal(found, expected)
        self.rows.append(Row(name, "ok" if ok else "FAIL", "exact", relative_error=error, tolerance=tolerance))

    def check_repeatable(self, y: Tree, cache: Cache, dy: Tree, gradient: Vector) -> None:
        """The same call gives the same bits."""
        self.same("forward is repeatable", tree_vector(self.point.evaluate()[0]), tree_vector(y))
        self.point.assign()
        self.same("backward is repeatable", self.gradient(copied(dy), cache)[0], gradient)

    def check_cotangent(self, y: Tree, cache: Cache, dy: Tree, gradient: Vector) -> None:
        """Backward is linear in dy, and so zero for zero."""
        other = cotangent(y, self.seed, 2)
        pairs = [(a, b) for (_, a), (_, b) in zip(leaves(dy, ""), leaves(other, ""))]
        zero = rebuild(dy, (like_cotangent(0.0 * a, a) for a, _ in pairs))
        total = rebuild(dy, (like_cotangent(a + 3.0 * b, a) for a, b in pairs))
        self.same("a cotangent of zero gives zero", self.gradient(zero, cache)[0], np.zeros_like(gradient))
        of_other = self.gradient(copied(other), cache)[0]
        self.same("linear in the cotangent", self.gradient(total, cache)[0], gradient + 3.0 * of_other, ROUNDING)

    def check_untouched(self, dy: Tree) -> None:
        """Neither pass writes into what it was given. Of a setting its arrays count: a dict may get new ones."""
        arguments, wrt = self.point.assign(), self.point.wrt
        settings = [leaf for i, x in enumerate(arguments) if i not in wrt for _, leaf in leaves(x, "")]

        def given() -> Any:
            values = [p.value for p in self.point.parameters.values()]
            return snapshot(([arguments[i] for i in wrt], settings, values))

        before = given()
        _, cache = self.point.call(arguments)
        problems = [] if given() == before else ["forward writes into an input or a parameter"]
        self.law("forward leaves its inputs untouched", *problems)
        before, cached, cotangent_before = given(), snapshot(cache), snapshot(dy)
        own = copied(dy)
        self.gradient(own, cache)
        for what, same in (
            ("inputs", given() == before),
            ("cotangent", snapshot(own) == cotangent_before),
            ("cache", snapshot(cache) == cached),
        ):
            self.law(f"backward leaves the {what} untouched", *([] if same else [f"backward writes into the {what}"]))

    def check_layout(self, name: str, lay: Callable[[Array], Array], dy: Tree, gradient: Vector) -> None:
        """How arrays lie in memory does not matter."""
        arguments = self.changed_arguments(lay)
        _, cache = self.point.call(arguments)
        self.same(name, self.gradient(rebuild_arrays(dy, lay), cache)[0], gradient, ROUNDING)

    def check_float32(self, dy: Tree) -> None:
        """float32 in, float32 out: of the results, and of the gradients."""
        arguments = self.changed_arguments(single)
        for i in set(range(len(arguments))) - set(self.point.wrt):
            arguments[i] = rebuild(arguments[i], (setting_in_single(leaf) for _, leaf in leaves(arguments[i], "")))
        try:
            y, cache = self.point.call(arguments)
        except (TypeError, ValueError) as error:
            self.notes.append(f"forward refuses float32: {error}")
            return
        small = [in_precision_of(leaf, part) for (_, leaf), (_, part) in zip(leaves(y, ""), leaves(dy, ""))]
        for parameter in self.point.parameters.values():
            parameter.grad = None
        found, _ = self.point.gradients(self.backward, rebuild(dy, iter(small)), cache)
        named = leaves(y, "output")
        for block, gradient in zip(self.point.blocks, found):
            is_number = type(gradient) in (float, complex, int)  # of Python, which has one precision
            named.append(
                (f"the gradient of {block.name}", gradient if is_number else as_gradient(gradient, block.value))
            )
        wide = [
            f"{name} is {leaf.dtype}"
            for name, leaf in named
            if hasattr(leaf, "dtype") and leaf.dtype not in SINGLE.values()
        ]
        self.law("float32 stays float32", *wide)

    def changed_arguments(self, change: Callable[[Array], Array]) -> list[Any]:
        """Return the arguments of forward, all that is differentiated changed; parameters are changed in place."""
        return self.point.place([change(block.value) for block in self.point.blocks])

    def check_empty(self, empty_inputs: Sequence[Any]) -> None:
        """An empty batch passes; its gradients have their shapes and are finite."""
        self.point.assign()
        point = Point(self.point.forward, empty_inputs, self.point.wrt or None, self.point.parameters)
        y, cache = point.evaluate()
        self.law("an empty batch passes", *self.gradient(cotangent(y, self.seed, 1), cache, point)[1])


def cotangent(y: Tree, seed: int, stream: int) -> Tree:
    """Draw a random cotangent of norm 1 in the form, dtype and place of y."""
    outputs = [leaf for _, leaf in leaves(y, "output")]
    drawn = random_unit([to_host_array(leaf) for leaf in outputs], random_generator(seed, stream))
    typed = (np.asarray(part, to_host_array(leaf).dtype) for leaf, part in zip(outputs, drawn))
    return rebuild(y, (like_cotangent(part, leaf) for leaf, part in zip(outputs, typed)))


def like_cotangent(part: Any, leaf: Any) -> Any:
    """Return numbers as a cotangent of `leaf`: as a scalar, or as an array also where it has no axes."""
    return part[()] if np.isscalar(leaf) else array_module(leaf).asarray(part)


def copied(dy: Tree) -> Tree:
    """Return a cotangent that a backward may write into without harm to the checks that come after."""
    return rebuild_arrays(dy, lambda x: x.copy())


def strided(x: Array) -> Array:
    """Return the same numbers as every other one of a larger array along each axis; NaN between them."""
    larger: Array = array_module(x).full([2 * n for n in x.shape], np.nan, x.dtype)
    every_second: tuple[Any, ...] = (..., *(slice(None, None, 2) for _ in x.shape))  # a view, of no axes as well
    view: Array = larger[every_second]
    view[...] = x
    return view


def single(x: Array) -> Array:
    """Return the array in single precision."""
    converted: Array = x.astype(SINGLE[x.dtype.kind])
    return converted


def setting_in_single(x: Any) -> Any:
    """Return an array that is only passed on, dense or sparse, in single precision; anything else as it is."""
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    return x.astype(SINGLE[kind]) if kind in SINGLE and hasattr(x, "astype") else x


def in_precision_of(leaf: Any, part: Any) -> Any:
    """Return a double-precision cotangent in the precision of a result of forward on float32.

    The result is an array, a scalar of NumPy, or Python's float, which has none.
    """
    if is_float_array(part):
        return single(part)
    return leaf.dtype.type(part) if hasattr(leaf, "dtype") else float(part)


def snapshot(tree: Any) -> Any:
    """Return the contents of all arrays in nested tuples, lists, dicts and dataclasses, to be compared later."""
    if isinstance(tree, (tuple, list)):
        return [snapshot(part) for part in tree]
    if is_container(tree):
        return {key: snapshot(part) for key, part in tree.items()}
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return snapshot(vars(tree))
    if not hasattr(tree, "dtype") or not hasattr(tree, "shape"):
        return None
    try:
        array = to_host_array(tree)
    except Exception:  # every library has its own
        return None
    return array.dtype.str, array.shape, array.tobytes()
