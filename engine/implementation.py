"""Function pairs by name, and which implementation computes them: the equation, a faster one, or both for comparison.

The setting `implementation` is one of

    fast        each call goes to the first implementation that supports its arguments, else to the equation (default)
    equations   the equations alone, on either device
    check       as fast, and every call is computed by its equation too; a difference raises ImplementationError

It is a field of the training; WAVE_IMPLEMENTATION in the environment takes precedence over it.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.checks import REAL
from engine.support.errors import UserError
from engine.support.implementation import VARIABLE

# check: the largest ‖difference‖/‖result of the equation‖ that passes.
TOLERANCES = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}

worst_differences: dict[tuple[str, str], float] = {}  # check: (function, dtype) → largest difference / tolerance


class ImplementationError(UserError):
    """An implementation and its equation gave different results, under implementation=check."""

    def __init__(self, what: str):
        super().__init__(f"{what}; please report this line; {VARIABLE}=equations computes by the equations alone")


Forward = Callable[..., tuple[Any, Any]]
Backward = Callable[..., Any]
Pair = tuple[Forward, Backward]


class Implementation(NamedTuple):
    """A fast implementation of a function pair.

    supports: (arguments of forward) → whether it computes them. Cache: the type of its cache, by which backward finds
    the implementation that ran forward.
    """

    supports: Callable[..., bool]
    forward: Forward
    backward: Backward
    Cache: type


class Functions:
    """Function pairs as attributes: `y, cache = functions.x_forward(…)`, `dx = functions.x_backward(dy, cache)`."""

    def __init__(self, pairs: dict[str, Pair]):
        self.pairs = pairs
        for name, (forward, backward) in pairs.items():
            setattr(self, f"{name}_forward", forward)
            setattr(self, f"{name}_backward", backward)

    def __getattr__(self, name: str) -> Callable[..., Any]:  # for names that no pair has
        raise AttributeError(f"there is no function {name} among {', '.join(self.pairs)}")


class Checked(NamedTuple):
    """The caches of an implementation and of its equation."""

    fast: Any
    equation: Any


def dispatched(equations: Functions, table: dict[str, list[Implementation]], check: bool) -> Functions:
    """The pairs of `equations`, each computed by the first implementation of `table` that supports the arguments.

    check: compute by the equation as well, and compare.
    """
    pairs = {
        name: dispatch_pair(name, *pair, table[name], check) if name in table else pair
        for name, pair in equations.pairs.items()
    }
    return Functions(pairs)


def dispatch_pair(
    name: str,
    equation_forward: Forward,
    equation_backward: Backward,
    implementations: list[Implementation],
    check: bool = False,
) -> Pair:
    """(forward, backward) of a function pair with implementations; backward uses the one that made the cache."""
    backwards = {implementation.Cache: implementation.backward for implementation in implementations}

    @functools.wraps(equation_forward)
    def forward(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        for implementation in implementations:
            if implementation.supports(*args, **kwargs):
                break
        else:
            return equation_forward(*args, **kwargs)
        y, cache = implementation.forward(*args, **kwargs)
        if check:
            expected, equation_cache = equation_forward(*args, **kwargs)
            compare(f"{name} forward", y, expected)
            cache = Checked(cache, equation_cache)
        return y, cache

    @functools.wraps(equation_backward)
    def backward(dy: Any, cache: Any) -> Any:
        if isinstance(cache, Checked):
            found = backwards[type(cache.fast)](dy, cache.fast)
            compare(f"{name} backward", found, equation_backward(dy, cache.equation))
            return found
        return backwards.get(type(cache), equation_backward)(dy, cache)

    return forward, backward


def compare(name: str, found: Any, expected: Any, tolerance: float | None = None) -> None:
    """Raise ImplementationError unless every array agrees with the equation's to TOLERANCES.

    The largest difference of each function is kept in worst_differences. tolerance: in place of that of the dtype.
    """
    for one, other in zip(float_arrays(found), float_arrays(expected), strict=True):
        xp = array_module(one, other)
        finite, about = xp.isfinite(other), f"({other.dtype}, shape {other.shape})"
        if not bool((xp.isfinite(one) == finite).all()):
            raise ImplementationError(
                f"{name}: the implementation and the equation are not finite in different places {about}"
            )
        one, other = xp.where(finite, one, 0), xp.where(finite, other, 0)  # neither is to blame for diverging numbers
        difference, size = norm(one - other), norm(other)
        share = difference / (size or 1.0) / (tolerance or TOLERANCES[other.dtype])
        key = (name, other.dtype.name)
        worst_differences[key] = max(share, worst_differences.get(key, 0.0))
        if not share <= 1 and difference != 0:
            raise ImplementationError(
                f"{name}: the implementation differs from the equation by {share:.3g} times the tolerance {about}"
            )


def float_arrays(tree: Any) -> list:
    """The float arrays of a tree of tuples."""
    if isinstance(tree, tuple):
        return [leaf for part in tree for leaf in float_arrays(part)]
    return [tree] if getattr(tree, "dtype", None) in REAL else []


def norm(x: Any) -> float:
    """‖x‖ as a float, in float64."""
    return float((x.astype(np.float64) ** 2).sum()) ** 0.5
