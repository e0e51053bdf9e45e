"""A case as most checkers want it: a function from a list of arrays to a list of arrays, with its transpose."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, is_float_array, leaves, rebuild, to_host_array
from .case import Case


class Flat:
    """The function pair of a case over its float arrays alone. arrays: private copies of them."""

    def __init__(self, case: Case) -> None:
        self.call, self.transpose = case.make()
        self.inputs = case.inputs()
        self.which = [i for i, x in enumerate(self.inputs) if all(is_float_array(leaf) for _, leaf in leaves(x, ""))]
        self.arrays = [np.array(leaf) for i in self.which for _, leaf in leaves(self.inputs[i], "")]
        self.tree: Any = None

    def forward(self, arrays: Sequence[Array]) -> tuple[list[Array], Any]:
        """Return (outputs, cache) at these arrays. Random generators start from the same state at every call."""
        arguments = [copy.deepcopy(x) if isinstance(x, np.random.Generator) else x for x in self.inputs]
        values = iter(arrays)
        for i in self.which:
            arguments[i] = rebuild(self.inputs[i], values)
        self.tree, cache = self.call(*arguments)
        return [to_host_array(leaf) for _, leaf in leaves(self.tree, "")], cache

    def backward(self, cotangents: Sequence[Array], cache: Any) -> list[Array]:
        """Return the gradients of the arrays."""
        dy = rebuild(self.tree, iter([d[()] if d.ndim == 0 else d for d in cotangents]))
        found = self.transpose(dy, cache)
        return [to_host_array(leaf) for _, leaf in leaves(found, "")]

    def outputs(self) -> list[Array]:
        """Return what forward returns at the point."""
        return self.forward(self.arrays)[0]

    def product(self, cotangents: Sequence[Array], arrays: Sequence[Array]) -> float:
        """Return Σ dy·f at these arrays."""
        return inner(cotangents, self.forward(arrays)[0])

    def difference(self, cotangents: Sequence[Array], right: Sequence[Array], left: Sequence[Array]) -> float:
        """Return Σ dy·(f(right) − f(left)), in which outputs that do not move add no rounding."""
        moved = [y.copy() for y in self.forward(right)[0]]
        return inner(cotangents, [y - z for y, z in zip(moved, self.forward(left)[0])])

    def join(self, arrays: Sequence[Array]) -> Array:
        """Return arrays as one vector."""
        return np.concatenate([x.ravel() for x in arrays])

    def split(self, vector: Array) -> list[Array]:
        """Return a vector as arrays of the shapes of self.arrays."""
        ends = np.cumsum([x.size for x in self.arrays])[:-1]
        return [part.reshape(x.shape) for part, x in zip(np.split(vector, ends), self.arrays)]


def inner(a: Sequence[Array], b: Sequence[Array]) -> float:
    """Return Σ a·b, of complex numbers that of their parts."""
    return float(sum(np.sum(x.real * y.real) + np.sum(x.imag * y.imag) for x, y in zip(a, b)))
