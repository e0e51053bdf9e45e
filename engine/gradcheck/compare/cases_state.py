"""State: layers that keep their input, backwards that write, forwards that write into their input or draw numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, Backward, Forward, Tree
from .case import Case, Result, family, normal


class Tanh:
    """A layer that keeps what backward needs in itself: the last call of forward wins."""

    def __init__(self) -> None:
        self.y: Any = None

    def forward(self, x: Array) -> Result:
        self.y = np.tanh(x)
        return self.y, None

    def backward(self, dy: Array, _: None) -> Array:
        return np.asarray(dy * (1 - self.y**2))


def layer() -> tuple[Forward, Backward]:
    """Make a layer that keeps its state."""
    tanh = Tanh()
    return tanh.forward, tanh.backward


def shared_layer() -> tuple[Forward, Backward]:
    """Make a network that uses one layer twice: the state of the first call is lost."""
    tanh = Tanh()
    return lambda x: tanh.forward(2 * tanh.forward(x)[0]), lambda dy, _: tanh.backward(2 * tanh.backward(dy, _), _)


def first_point() -> tuple[Forward, Backward]:
    """Make a pair whose cache is that of the first call ever."""
    kept: list[Array] = []

    def forward(x: Array) -> Result:
        if not kept:
            kept.append(np.cos(x + 0.1))
        return np.sin(x), kept[0]

    return forward, lambda dy, cache: dy * cache


def noisy() -> tuple[Forward, Backward]:
    """Make a function that adds new random numbers at every call."""
    rng = np.random.default_rng(0)
    return lambda x: (np.sin(x) + 1e-3 * rng.normal(size=x.shape), x), lambda dy, x: dy * np.cos(x)


def accumulating() -> tuple[Forward, Backward]:
    """Make a pair whose backward adds to what it returned before."""
    total: list[Any] = [0.0]

    def backward(dy: Array, x: Array) -> Tree:
        total[0] = total[0] + dy * np.cos(x)
        return total[0]

    return lambda x: (np.sin(x), x), backward


def writes_cache() -> tuple[Forward, Backward]:
    """Make a pair whose backward multiplies in place: its second call differs."""

    def backward(dy: Array, cache: Array) -> Tree:
        cache *= dy
        return cache

    return lambda x: (np.sin(x), np.cos(x)), backward


def shifts_input() -> tuple[Forward, Backward]:
    """Make a pair whose forward subtracts the maximum in the caller's array."""

    def forward(x: Array) -> Result:
        top = x.max()
        x -= top
        e = np.exp(x)
        return np.log(e.sum()) + top, e / e.sum()

    return forward, lambda dy, p: dy * p


def on_a_copy(x: Array) -> Result:
    y = x.copy()
    y *= y
    y += 1
    return np.sqrt(y), (x, np.sqrt(y))


def overwrites_input(x: Array) -> Result:
    x *= x
    return x, x


def returns_buffer() -> tuple[Forward, Backward]:
    """Make a pair whose forward returns the same array at every call, with other numbers in it."""
    buffer = np.empty(4)

    def forward(x: Array) -> Result:
        buffer[:] = np.exp(x)
        return buffer, buffer

    return forward, lambda dy, y: dy * y


def stateful(name: str, right: bool, why: str, make: Callable[[], tuple[Forward, Backward]], **settings: Any) -> Case:
    """Return a case of a function with a state, which is made anew for every checker."""
    return Case(name, right, why, make, lambda: (normal(140, 4),), **settings)


CASES = [
    stateful("layer with a state", True, "forward and backward are called in turn", layer, options={"stateful": True}),
    stateful(
        "layer with a state: taken for a pure pair",
        False,
        "the cache is not what backward needs: another call of forward in between spoils it",
        layer,
        contract=True,
    ),
    stateful("layer with a state: used twice", False, "the second call overwrites what the first kept", shared_layer),
    stateful("sine: cache of the first call", False, "made at another point and kept", first_point),
    stateful("sine: random numbers", False, "new noise of 1e-3 at every call", noisy, contract=True),
    stateful("sine: gradients add up", False, "the second call returns both", accumulating, contract=True),
    stateful("exponential: shared buffer", False, "the result changes at the next call", returns_buffer, contract=True),
    stateful("sine: cache overwritten by backward", False, "the second call differs", writes_cache, contract=True),
    stateful("log-sum-exp: shift in place", False, "the caller's array is changed", shifts_input, contract=True),
    *family(
        "in place on a copy",
        on_a_copy,
        lambda: (normal(141, 5),),
        (lambda dy, c: dy * c[0] / c[1], "writes, but into its own array"),
        {"inner derivative missing": (lambda dy, c: dy / (2 * c[1]), "half a chain rule")},
    ),
    *family(
        "square in place",
        overwrites_input,
        lambda: (normal(142, 5),),
        None,
        {"cache overwritten": (lambda dy, x: 2 * dy * x, "the cache holds the result, not the input")},
    ),
]
