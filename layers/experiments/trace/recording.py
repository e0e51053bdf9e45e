"""Function pairs that record their calls: a network that computes with them shows every value and every gradient."""

from collections.abc import Callable
from typing import Any, NamedTuple

from engine.implementation import Backward, Forward, Functions, Pair
from layers.equations import EQUATIONS
from layers.fast.composed import with_compositions


class Call(NamedTuple):
    """A forward call. pair: name of the function pair; value: its result, whose cache names it."""

    pair: str
    arguments: tuple[Any, ...]
    value: Any
    cache: Any


class Again:
    """A forward pass of which the first calls are known: they return what was recorded.

    number: of the first call that is computed anew. value: what that call returns instead, if it is not None.
    """

    def __init__(self, calls: list[Call], number: int, value: Any = None):
        self.calls, self.number, self.value, self.done = calls, number, value, 0

    def result(self, forward: Forward, arguments: tuple[Any, ...]) -> tuple[Any, Any]:
        """(value, cache) of the next call: recorded, replaced or computed."""
        number, self.done = self.done, self.done + 1
        if number < self.number:
            return self.calls[number].value, self.calls[number].cache
        if number == self.number and self.value is not None:
            return self.value, self.calls[number].cache
        return forward(*arguments)


class Recorder:
    """The equations, recorded. calls: those of the last forward pass, in order.

    gradients: by number of the call, the gradient that its backward received. faults: by number of the call, a function
    that spoils that gradient.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.gradients: dict[int, Any] = {}
        self.again: Again | None = None
        self.faults: dict[int, Callable[[Any], Any]] = {}
        recorded = {name: self.recorded(name, *pair) for name, pair in EQUATIONS.pairs.items()}
        self.functions = with_compositions(Functions(recorded))

    def recorded(self, name: str, forward: Forward, backward: Backward) -> Pair:
        """A function pair that records its calls here."""

        def recorded_forward(*arguments: Any) -> tuple[Any, Any]:
            if self.again is not None:
                return self.again.result(forward, arguments)
            value, cache = forward(*arguments)
            self.calls.append(Call(name, arguments, value, cache))
            return value, cache

        def recorded_backward(dy: Any, cache: Any, *more: Any) -> Any:
            number = next(i for i, call in enumerate(self.calls) if call.cache is cache)
            self.gradients[number] = dy
            return backward(self.faults.get(number, lambda d: d)(dy), cache, *more)

        return recorded_forward, recorded_backward
