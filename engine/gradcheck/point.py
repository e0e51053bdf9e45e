"""The point where a function is differentiated: inputs and parameters as named blocks, and evaluation along a line."""

import contextlib
import copy
import functools
import math
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
    Tree,
    array_module,
    count_not_finite,
    is_differentiable,
    leaves,
    random_generator,
    real_parts,
    real_vector,
    rebuild,
    to_host_array,
)
from .precision import DOUBLE, precision_of

RAISE_TOWARDS = 0.1  # small entries are moved as if they were this fraction of the largest of their block …
RAISE_AT_MOST = 1e3  # … but by no more than this factor, or a step would leave the neighbourhood of the entry


class Block(NamedTuple):
    """One array that is moved: an input (or a part of one), or the value of a parameter. `value` is a private copy."""

    name: str
    value: Array


class Point:
    """forward, and the blocks it depends on.

    inputs: the arguments of forward. wrt: which of them are differentiated (None: all float arrays and tuples of them).
    parameters: their values are replaced during evaluation (see restored()).
    """

    def __init__(
        self,
        forward: Forward,
        inputs: Sequence[Any],
        wrt: Sequence[int] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        if not isinstance(inputs, (tuple, list)) or hasattr(inputs, "_fields"):
            raise ValueError(f"inputs: expected a tuple of the arguments of forward, got {type(inputs).__name__}")
        self.forward = forward
        self.inputs = list(inputs)
        self.wrt = which_inputs(inputs, wrt)
        self.parameters = distinct(parameters or {})
        self.blocks = [block(name, leaf) for i in self.wrt for name, leaf in leaves(inputs[i], f"input {i}")]
        self.input_block_count = len(self.blocks)
        self.blocks += [block(f"parameter {name}", p.value) for name, p in self.parameters.items()]
        if not self.blocks:
            raise ValueError("inputs: nothing to differentiate: no float array among the inputs, and no parameters")
        self.module = array_module(*(b.value for b in self.blocks))

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
        arguments = self.assign(direction, step)
        with np.errstate(all="ignore"):  # what matters is seen in the numbers
            return self.forward(*arguments)

    def assign(self, direction: Direction | None = None, step: complex = 0.0) -> list[Any]:
        """Set the parameters to value + step·direction; return the arguments of forward there."""
        if direction is None:
            moved = [b.value.copy() for b in self.blocks]
        else:
            moved = [self.moved(b.value, u, step) for b, u in zip(self.blocks, direction)]
        values = iter(moved)
        # A generator is passed on as a copy: dropout then drops the same entries at every call.
        arguments = [copy.deepcopy(x) if isinstance(x, np.random.Generator) else x for x in self.inputs]
        for i in self.wrt:
            arguments[i] = rebuild(self.inputs[i], values)
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


def which_inputs(inputs: Sequence[Any], wrt: Sequence[int] | None) -> list[int]:
    """Return the indices of the differentiated inputs, in the order in which backward returns their gradients."""
    if wrt is None:
        return [i for i, x in enumerate(inputs) if is_differentiable(x, f"input {i}")]
    for i in wrt:
        if not 0 <= i < len(inputs):
            raise ValueError(f"wrt: there is no input {i}, forward has {len(inputs)}")
        if not is_differentiable(inputs[i], f"input {i}"):
            raise ValueError(f"wrt: input {i} is no float array, it is a {type(inputs[i]).__name__}")
    return list(wrt)


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


def random_unit(shaped_like: Iterable[Any], rng: np.random.Generator) -> Direction:
    """Draw host arrays like the given ones that form one vector of norm 1, every part at least 0.1/√N away from 0."""
    shaped_like, parts = list(shaped_like), []
    for like in shaped_like:
        shape = (*like.shape, 2) if like.dtype.kind == "c" else like.shape
        part = rng.uniform(0.1, 1.0, shape) * (2.0 * rng.integers(0, 2, shape) - 1.0)
        parts.append(np.asarray(part))
    length = math.sqrt(sum(float(np.vdot(part, part)) for part in parts)) or 1.0
    parts = [part / length for part in parts]
    return [
        np.asarray(p[..., 0] + 1j * p[..., 1] if like.dtype.kind == "c" else p) for p, like in zip(parts, shaped_like)
    ]


def entry_scales(x: Array) -> Array:
    """Return by how much each entry may move: its magnitude, small ones raised, zeros as the smallest other entry.

    A block of zeros gets 1. Purely relative scales would leave the gradient of tiny entries unseen; one scale a block
    would throw tiny entries far away from where the gradient is taken.
    """
    size = np.max(np.abs(real_parts(x)), axis=-1) if x.dtype.kind == "c" else np.abs(x)
    size = size.astype(np.float64, copy=False)
    nonzero = size[size > 0]
    if not nonzero.size:
        return np.ones(x.shape)
    size = np.where(size > 0, size, nonzero.min())
    scales: Array = np.maximum(size, np.minimum(RAISE_TOWARDS * nonzero.max(), RAISE_AT_MOST * size))
    return scales


Problems = list[tuple[str, str]]  # (name of a block, what is wrong with its gradient)


def run_backward(point: Point, backward: Backward, dy: Tree, cache: Cache) -> tuple[list[Array | None], Problems]:
    """Run one backward; return a host array for each block (None where it cannot be used), and what is wrong.

    Gradients of parameters are cleared before.
    """
    for parameter in point.parameters.values():
        parameter.grad = None
    found, problems = input_gradients(backward(dy, cache), point)
    found += [p.dense_grad() for p in point.parameters.values()]
    gradients: list[Array | None] = []
    for block, gradient in zip(point.blocks, found):
        problem = None if gradient is None else what_is_wrong(gradient, block.value)
        if problem:
            problems.append((block.name, problem))
        gradients.append(None if gradient is None or problem else to_host_array(gradient))
    return gradients, problems


def input_gradients(returned: Tree, point: Point) -> tuple[list[Any], Problems]:
    """Return the leaves of what backward returned, one for each input block (None where the form is wrong)."""
    expected = len(point.wrt)
    if expected == 0:
        return [], []
    if expected == 1 and not is_wrapped(returned, point.inputs[point.wrt[0]]):
        returned = (returned,)
    if not isinstance(returned, (tuple, list)) or len(returned) != expected:
        is_sequence = isinstance(returned, (tuple, list))
        count = f"{len(returned)} gradients" if is_sequence else f"one {type(returned).__name__}"
        names = ", ".join(f"input {i}" for i in point.wrt)
        problem = f"returned {count}, expected {expected}, for {names} (wrt= names the differentiated inputs)"
        return [None] * point.input_block_count, [("backward", problem)]
    found: list[Any] = []
    problems: Problems = []
    for i, gradient in zip(point.wrt, returned):
        wanted, got = leaves(point.inputs[i], f"input {i}"), leaves(gradient, f"input {i}")
        names = ", ".join(name for name, _ in got)
        if [name for name, _ in wanted] != [name for name, _ in got]:
            form = names if isinstance(gradient, (tuple, list)) else f"one {type(gradient).__name__}"
            parts = ", ".join(name for name, _ in wanted)
            problems.append((f"input {i}", f"its gradient must have the parts {parts}, got {form}"))
            found += [None] * len(wanted)
        else:
            found += [leaf for _, leaf in got]
    for block, gradient in zip(point.blocks, found):
        if gradient is None and not problems:
            problems.append((block.name, "its gradient is None"))
    return found, problems


def is_wrapped(returned: Tree, value: Tree) -> bool:
    """Tell whether backward wrapped the only gradient in a tuple: (dx,) for x, (dz,) for a pair z."""
    if not isinstance(returned, (tuple, list)) or len(returned) != 1:
        return False
    return len(leaves(value, "")) != 1 or not isinstance(value, (tuple, list)) or isinstance(returned[0], (tuple, list))


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
