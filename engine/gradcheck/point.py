"""The point where a function is differentiated: inputs and parameters as named blocks, and evaluation along a line."""

import contextlib
import copy
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .arrays import (
    FLOATS,
    Array,
    Backward,
    Cache,
    Direction,
    Forward,
    Parameter,
    Problems,
    Tree,
    array_module,
    count_not_finite,
    is_float_array,
    leaves,
    random_generator,
    real_vector,
    rebuild,
    to_host_array,
)
from .directions import entry_scales, random_unit
from .forms import (
    OutputForm,
    check_arguments,
    check_callable,
    copied_dicts,
    float_leaves,
    is_foreign,
    is_number,
    pair,
    rebuild_floats,
    which_inputs,
)
from .gradients import as_gradient, input_gradients
from .precision import DOUBLE, precision_of


class Block(NamedTuple):
    """One array that is moved: an input (or a part of one), or the value of a parameter. `value` is a private copy."""

    name: str
    value: Array


class ShapeChanged(Exception):
    """forward returned another shape beside the point; no ValueError, which functions raise outside of their domain."""


class Point:
    """forward, and the blocks it depends on.

    inputs: the arguments of forward. wrt: which of them are differentiated (None: see is_differentiated).
    parameters: their values are replaced during evaluation (see restored()).
    """

    shape: tuple[int, ...] | None = None  # of y, where that is one array

    def __init__(
        self,
        forward: Forward,
        inputs: Sequence[Any],
        wrt: Sequence[int] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        check_arguments(forward, inputs, parameters)
        self.forward, self.output = forward, OutputForm()
        self.inputs = list(inputs)
        self.written: list[str] = []  # blocks that forward has changed when it was last run at the point
        self.wrt, self.explicit = which_inputs(inputs, wrt), wrt is not None
        self.plain = {
            i for i in self.wrt if all(is_float_array(x) and not is_foreign(x) for _, x in leaves(inputs[i], ""))
        }
        self.parameters = distinct(parameters or {})
        named = [leaf for i in self.wrt for leaf in float_leaves(inputs[i], f"input {i}")]
        self.module = array_module(*(leaf for _, leaf in named), *(p.value for p in self.parameters.values()))
        self.blocks = [block(name, self.as_array(leaf)) for name, leaf in named]
        self.blocks += [block(f"parameter {name}", p.value) for name, p in self.parameters.items()]
        if not self.blocks:
            raise ValueError(
                "inputs: nothing to differentiate: no float array among the inputs, and no parameters; arrays of "
                "integers are passed on, and so are floats and tuples or dicts with text unless wrt= names them"
            )

    def as_array(self, leaf: Any) -> Array:
        """Return a float array or a number that is to be moved as an array of this point's module."""
        array: Array = self.module.asarray(to_host_array(leaf)) if is_number(leaf) or is_foreign(leaf) else leaf
        return array

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Put back value and grad of every parameter when the work inside is over, also after an exception."""
        saved = [(p, p.value, p.grad) for p in self.parameters.values()]
        try:
            yield
        finally:
            for parameter, value, grad in saved:
                parameter.value, parameter.grad = value, grad

    def evaluate(self, direction: Direction | None = None, step: complex = 0.0) -> tuple[Tree, Cache]:
        """Run forward at value + step·direction; an imaginary step makes every block complex128. Returns (y, cache)."""
        moved = self.moved_values(direction, step)
        with np.errstate(all="ignore"):  # what matters is seen in the numbers
            y, cache = self.call(self.place(moved))
        if direction is None:
            self.written = [b.name for b, x in zip(self.blocks, moved) if not bool((x == b.value).all())]
            self.shape = y.shape if isinstance(y, np.ndarray) else None
        elif isinstance(y, np.ndarray) and self.shape not in (None, y.shape) and not isinstance(step, complex):
            raise ShapeChanged(f"forward: y has the shape {y.shape} near the inputs, and {self.shape} at them")
        return y, cache

    def evaluate_beside(self, u: Direction, step: float) -> Tree:
        """Return y beside the point, as near as the function's domain asks."""
        for factor in (1.0, 1e-2):
            with contextlib.suppress(ValueError, ArithmeticError):
                return self.evaluate(u, step * factor)[0]
        return self.evaluate(u, step * 1e-4)[0]

    def call(self, arguments: Sequence[Any]) -> tuple[Tree, Cache]:
        """Run forward; return (y, cache) with y as OutputForm reads it."""
        y, cache = pair(self.forward(*arguments))
        return (y if self.output.plain else self.output.read(y)), cache

    def assign(self, direction: Direction | None = None, step: complex = 0.0) -> list[Any]:
        """Set the parameters to value + step·direction; return the arguments of forward there."""
        return self.place(self.moved_values(direction, step))

    def moved_values(self, direction: Direction | None, step: complex) -> list[Array]:
        """Return value + step·direction of every block, or a copy of value."""
        if direction is None:
            return [b.value.copy() for b in self.blocks]
        return [self.moved(b.value, u, step) for b, u in zip(self.blocks, direction)]

    def place(self, arrays: Iterable[Array]) -> list[Any]:
        """Set the parameters to what `arrays` has for their blocks; return the arguments of forward likewise."""
        values = iter(arrays)
        # A generator is passed on as a copy: dropout then drops the same entries at every call.
        arguments = [copy.deepcopy(x) if isinstance(x, np.random.Generator) else copied_dicts(x) for x in self.inputs]
        for i in self.wrt:
            arguments[i] = (rebuild if i in self.plain else rebuild_floats)(self.inputs[i], values)
        for parameter, value in zip(self.parameters.values(), values):
            parameter.value = value
        return arguments

    def moved(self, value: Array, u: Array, step: complex) -> Array:
        """Return value + step·u in the type of value; of a complex step, in the complex type that holds it."""
        xp = self.module
        # asarray because arithmetic turns 0-d arrays into scalars
        moved: Array = xp.asarray(value + step * xp.asarray(u))
        wanted = np.result_type(value.dtype, np.complex64) if isinstance(step, complex) else value.dtype
        return moved if moved.dtype == wanted else moved.astype(wanted)

    @functools.cached_property
    def exact(self) -> bool:
        """Whether every block is in double precision: the steps then are exact enough."""
        return precision_of(b.value for b in self.blocks) is DOUBLE

    @functools.cached_property
    def size(self) -> int:
        """Number of real numbers that can be moved."""
        return sum(b.value.size * (1 + (b.value.dtype.kind == "c")) for b in self.blocks)

    def displacement(self, direction: Direction, step: float) -> Array:
        """Return by how much value + step·direction truly differs from value, as one real vector."""
        parts = []
        for b, u in zip(self.blocks, direction):
            wide = np.complex128 if b.value.dtype.kind == "c" else np.float64
            moved = to_host_array(self.moved(b.value, u, step))
            parts.append(np.asarray(moved.astype(wide) - to_host_array(b.value).astype(wide)))
        return real_vector(parts)

    def split(self, vector: Array) -> Direction:
        """Return a real vector, such as displacement() gives, as a direction."""
        parts, start = [], 0
        for b in self.blocks:
            is_complex = b.value.dtype.kind == "c"
            numbers = vector[start : start + b.value.size * (1 + is_complex)]
            start += numbers.size
            parts.append(
                (np.ascontiguousarray(numbers).view(np.complex128) if is_complex else numbers).reshape(b.value.shape)
            )
        return parts

    def gradients(self, backward: Backward, dy: Tree, cache: Cache) -> tuple[list[Any], Problems]:
        """Run backward; return (the gradient of each block, None where its form is wrong; what is wrong)."""
        check_callable("backward", backward)
        returned = backward(self.output.cotangent(dy), cache)
        found, problems = input_gradients(returned, self.inputs, self.wrt, self.explicit)
        for name, parameter in self.parameters.items():
            found.append(parameter.dense_grad())
            problems += [(f"parameter {name}", "its gradient is None")] if found[-1] is None else []
        return found, problems

    def displaced(self, by: Sequence[Array]) -> "Point":
        """Return this point with its blocks moved, each by an array."""
        other = copy.copy(self)
        other.blocks = [Block(b.name, self.moved(b.value, u, 1.0)) for b, u in zip(self.blocks, by)]
        return other

    def random_directions(self, seed: int, stream: int, count: int, only: int | None = None) -> list[Direction]:
        """Draw `count` random unit directions in units of each entry's scale; `only`: of this block, 0 for the others.

        Scaling the direction, not the gradient, keeps ⟨dy, J·u⟩ = ⟨Jᵀ·dy, u⟩ exact and lets one step suit all blocks.
        """
        rng = random_generator(seed, stream)
        if only is None:
            values = [b.value for b in self.blocks]
            return [[unit * scale for unit, scale in zip(random_unit(values, rng), self.scales)] for _ in range(count)]
        rest = [np.zeros(scale.shape, b.value.dtype) for b, scale in zip(self.blocks, self.scales)]
        units = [random_unit([self.blocks[only].value], rng)[0] * self.scales[only] for _ in range(count)]
        return [[*rest[:only], unit, *rest[only + 1 :]] for unit in units]

    @functools.cached_property
    def scales(self) -> list[Array]:
        """entry_scales of every block: the point stays where it is, however many directions are drawn."""
        return [entry_scales(to_host_array(b.value)) for b in self.blocks]


def distinct(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Return the parameters without repeats: one that is shared under two names is moved once."""
    found: dict[str, Parameter] = {}
    for name, parameter in parameters.items():
        if not any(parameter is other for other in found.values()):
            found[name] = parameter
    return found


def block(name: str, value: Any) -> Block:
    """Return a Block with a copy of `value`. Raises ValueError for a type that no check knows."""
    if value.dtype not in FLOATS:
        names = ", ".join(dtype.name for dtype in FLOATS)
        raise ValueError(f"{name}: expected one of the dtypes {names}, got {value.dtype}: convert it to float64")
    return Block(name, value.copy())


def run_backward(point: Point, backward: Backward, dy: Tree, cache: Cache) -> tuple[list[Array | None], Problems]:
    """Run one backward; return a host array for each block (None where it cannot be used), and what is wrong.

    Gradients of parameters are cleared before.
    """
    for parameter in point.parameters.values():
        parameter.grad = None
    found, problems = point.gradients(backward, dy, cache)
    gradients: list[Array | None] = []
    for block, gradient in zip(point.blocks, found):
        problem = None
        try:
            gradient = as_gradient(gradient, block.value)
            problem = None if gradient is None else what_is_wrong(gradient, block.value)
        except ValueError as error:
            problem = str(error)
        if problem:
            problems.append((block.name, problem))
        gradients.append(None if gradient is None or problem else to_host_array(gradient))
    return gradients, problems


def what_is_wrong(gradient: Any, value: Array) -> str | None:
    """Return why an array cannot be the gradient of `value`, in words, or None."""
    if not hasattr(gradient, "dtype") or not hasattr(gradient, "shape"):
        return f"its gradient is a {type(gradient).__name__}, expected an array of shape {value.shape}"
    if gradient.shape != value.shape:
        return f"its gradient has shape {gradient.shape}, expected {value.shape}"
    if gradient.dtype != value.dtype:
        return f"its gradient has dtype {gradient.dtype}, expected {value.dtype}"
    bad = count_not_finite(to_host_array(gradient))
    return f"{bad} of {gradient.size} entries of its gradient are NaN or infinite" if bad else None
