"""One case of the comparison, a function pair whose gradient is known to be right or wrong, and helpers to write it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from ..arrays import Array, Backward, Forward, Tree

Result: TypeAlias = tuple[Tree, Any]  # what forward returns: y and the cache
Inputs: TypeAlias = Callable[[], tuple[Any, ...]]


@dataclass(frozen=True)
class Case:
    """A function pair at one point. right: whether a checker should pass it. reason: why it is here, one line.

    make: makes (forward, backward); anew for every checker, since some keep a state. inputs: makes the arguments.
    options: of check_gradients, where the case needs one. contract: the numbers of a single forward and backward are
    right, and wrong is what else they do: they write into the input or the cache, keep their state elsewhere, or draw
    new random numbers.
    """

    name: str
    right: bool
    reason: str
    make: Callable[[], tuple[Forward, Backward]]
    inputs: Inputs
    options: Mapping[str, Any] = field(default_factory=dict)
    contract: bool = False


def family(
    name: str,
    forward: Forward,
    inputs: Inputs,
    right: tuple[Backward, str] | None,
    wrong: Mapping[str, tuple[Backward, str]],
) -> list[Case]:
    """Return the cases of one function at one point: its right backward and some wrong ones, with their reasons."""

    def pair(backward: Backward) -> Callable[[], tuple[Forward, Backward]]:
        return lambda: (forward, backward)

    cases = [] if right is None else [Case(name, True, right[1], pair(right[0]), inputs)]
    return cases + [
        Case(f"{name}: {what}", False, why, pair(wrong[what][0]), inputs) for what, (_, why) in wrong.items()
    ]


def normal(seed: int, *shape: int, scale: float = 1.0) -> Array:
    """Return normally distributed numbers, the same for the same seed."""
    return np.asarray(np.random.default_rng(seed).normal(size=shape) * scale)


def complex_normal(seed: int, *shape: int) -> Array:
    """Return complex numbers with normally distributed parts."""
    return normal(seed, *shape) + 1j * normal(seed + 1000, *shape)


def single(*arrays: Array) -> tuple[Array, ...]:
    """Return the arrays as float32."""
    return tuple(array.astype(np.float32) for array in arrays)


def with_entry(array: Array, index: Any, change: Callable[[Any], Any]) -> Array:
    """Return a copy in which the entries at an index are changed."""
    copy = np.array(array)
    copy[index] = change(copy[index])
    return copy
