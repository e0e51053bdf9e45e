"""Check forward mode: is the tangent that a JVP rule returns J·u?"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from .arrays import (
    Array,
    Cache,
    Direction,
    Forward,
    Problems,
    Tree,
    Vector,
    is_float_array,
    leaves,
    norm,
    real_vector,
    rebuild,
    to_host_array,
    tree_vector,
)
from .check import Check
from .derivatives import Slope
from .point import Point
from .report import GradientReport, Limit

Jvp: TypeAlias = Callable[[Any, Any], Tree]


def check_jvp(
    forward: Forward,
    jvp: Jvp,
    inputs: Sequence[Any],
    *,
    wrt: Sequence[int] | None = None,
    directions: int = 3,
    method: str = "auto",
    step: float | None = None,
    tolerance: float | None = None,
    kink: str = "report",
    seed: int = 0,
) -> GradientReport:
    """Compare ⟨dy, J·u⟩, from forward alone, with ⟨dy, tangent⟩, from a hand-written forward mode.

    forward: y, _ = forward(*inputs), as everywhere in this package.
    jvp: jvp(inputs, tangents), both tuples of one length, as jax.jvp and torch.func.jvp take them after the function,
    and as a rule of jax.custom_jvp takes them. The tangent of an input is like the input; zeros where it is not
    differentiated, None where it is no float array. Returns the tangent of y in the form of y, or (y, tangent); such a
    y must be that of forward.

    Other arguments, report and ValueErrors as in check_gradients; dy weights the results, and is another for another
    seed. The worst entry of a failing row is one of an input: the one whose unit tangent is furthest off.
    """
    if directions < 1:
        raise ValueError(f"directions: expected at least 1, got {directions}")
    check = JvpCheck(Point(with_inputs_kept(forward), inputs, wrt), jvp, step, tolerance, kink, seed)
    check.directions = directions
    return check.run(method)


def with_inputs_kept(forward: Forward) -> Forward:
    """Return a forward whose cache is its arguments, which are what jvp starts from."""

    def run(*inputs: Any) -> Any:
        kept = with_own_generators(inputs)
        returned = forward(*inputs)
        # A result of another form goes on as it is: the check says what is wrong with it.
        return (returned[0], kept) if isinstance(returned, tuple) and len(returned) == 2 else returned

    return run


def with_own_generators(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Return the inputs with copies of the random generators, which whoever draws from them changes."""
    return tuple(copy.deepcopy(x) if isinstance(x, np.random.Generator) else x for x in inputs)


class JvpCheck(Check):
    """A Check that asks jvp for each direction; `backward` is the jvp, the cache the inputs.

    No gradient exists as an array: gradients are placeholders, and inner_product asks jvp for the tangent. Those of
    run_backward know its cache and dy; others stand for those of the check.
    """

    def run_backward(self, cache: Cache, dy: Tree = None) -> tuple[list[Array | None], Problems]:
        """Try jvp along one direction; return (Placeholders, problems)."""
        (u,) = self.point.random_directions(self.seed, 0, 1)
        try:
            if not np.array_equal(self.tangent(cache, u), self.tangent(cache, u), equal_nan=True):
                raise WrongTangent(
                    "gives different results for the same arguments: fix its random stream, keep no state"
                )
        except WrongTangent as wrong:
            return [None] * len(self.point.blocks), [("jvp", str(wrong))]
        found = Placeholders(np.zeros(block.value.shape) for block in self.point.blocks)
        found.inputs, found.dy = cache, tree_vector(self.dy_tree if dy is None else dy)
        return found, []

    def is_wrong_at_kink(self, u: Direction, analytic: float, error: float, slope: Slope) -> bool:
        """Tell that it is: no gradients are at hand beside the point."""
        return True

    def limits(self) -> tuple[Limit, ...]:
        """Return nothing: a tangent has no entries of a gradient that could be off."""
        return ()

    def inner_product(self, u: Direction, gradients: list[Array | None] | None = None) -> float:
        """Return ⟨dy, tangent along u⟩."""
        if isinstance(gradients, Placeholders):
            return float(gradients.dy @ self.tangent(gradients.inputs, u))
        return float(self.dy @ self.tangent(self.cache, u))

    def tangent(self, inputs: Sequence[Any], u: Direction) -> Vector:
        """Return what jvp says J·u is, as a real vector. Raises WrongTangent where it says nothing usable."""
        returned = self.backward(with_own_generators(inputs), self.tangents(u))
        y, tangent = self.tree, returned
        if form(returned) != form(self.tree) and isinstance(returned, (tuple, list)) and len(returned) == 2:
            y, tangent = returned
        if form(tangent) != form(self.tree):
            names, got = (", ".join(form(tree)) or "nothing" for tree in (self.tree, tangent))
            raise WrongTangent(f"returned {got}; expected {names}, alone or after y: (y, tangent)")
        for (name, found), (_, wanted) in zip(leaves(tangent, "tangent"), leaves(self.tree, "tangent")):
            if not hasattr(found, "dtype") and not isinstance(found, (int, float, complex)):
                raise WrongTangent(f"{name} is a {type(found).__name__}, expected an array")
            found, wanted = to_host_array(found), to_host_array(wanted)
            if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
                got = f"{found.dtype} of shape {found.shape}"
                raise WrongTangent(f"{name} is {got}, expected {wanted.dtype} of shape {wanted.shape}")
        found_y = dict(leaves(y, "tangent"))
        known_y = real_vector(found_y[name] for name in form(self.tree) if name in found_y)
        # Both may take other ways to y: half of its digits are to be the same.
        half = max(float(np.finfo(block.value.dtype).eps) for block in self.point.blocks) ** 0.5
        if known_y.shape != self.y.shape or not norm(known_y - self.y) <= half * norm(self.y):
            raise WrongTangent("its y is not that of forward")
        return tree_vector(tangent)

    def tangents(self, u: Direction) -> tuple[Any, ...]:
        """Return the direction as the tangents of the inputs."""
        xp = self.point.module
        parts = iter([xp.asarray(part, dtype=block.value.dtype) for part, block in zip(u, self.point.blocks)])
        zeros = [
            [(xp.zeros_like(x) if is_float_array(x) else None) for _, x in leaves(tree, "")]
            for tree in self.point.inputs
        ]
        for i in self.point.wrt:
            zeros[i] = [None if zero is None else next(parts) for zero in zeros[i]]
        return tuple(rebuild(tree, iter(own)) for tree, own in zip(self.point.inputs, zeros))


class Placeholders(list[Array | None]):
    """Arrays of zeros in the place of gradients, with the inputs of jvp and the dy from which those would come."""

    inputs: Sequence[Any]
    dy: Vector


class WrongTangent(ValueError):
    """The result of jvp cannot be a tangent; the text says why."""


def form(tree: Tree) -> list[str]:
    """Return the places of the leaves."""
    return [name for name, _ in leaves(tree, "tangent")]
