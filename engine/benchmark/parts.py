"""Parts of a step: where its seconds go, and how many bytes it keeps for backward.

Seconds are taken by timed functions in place of the original ones for as long as a measurement lasts. Bytes are those
of the arrays in a cache, each piece of memory once.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from engine.arrays.backend import array_module
from engine.benchmark.timing import Clock
from engine.layer import Layer
from engine.types import Array

Function: TypeAlias = Callable[..., Any]
Target: TypeAlias = tuple[Any, str, str]  # owner, attribute, part: a function to be timed, and as part of what


@contextlib.contextmanager
def patched(patches: Iterable[tuple[Any, str, Callable[[Function], Function]]]) -> Iterator[None]:
    """Replace functions while the context lasts. patches: (owner, attribute, function → function in its place).

    owner: a module, or an object whose class has the method.
    """
    before = []
    try:
        for owner, attribute, wrap in patches:
            before.append((owner, attribute, vars(owner).get(attribute)))
            setattr(owner, attribute, wrap(getattr(owner, attribute)))
        yield
    finally:
        for owner, attribute, original in reversed(before):
            if original is None:
                delattr(owner, attribute)  # the method of the class shows again
            else:
                setattr(owner, attribute, original)


class PartTimer:
    """Seconds by part: `seconds` holds those of each part without those of other parts called within it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.inner = [0.0]  # seconds of the timed calls within each call that is under way

    def timing(self, targets: Iterable[Target]) -> contextlib.AbstractContextManager[None]:
        """Time the calls of the targets while the context lasts."""
        targets = list(targets)
        self.seconds.update({part: 0.0 for _, _, part in targets if part not in self.seconds})
        return patched(
            [(owner, attribute, functools.partial(self.timed, part=part)) for owner, attribute, part in targets]
        )

    def timed(self, function: Function, part: str) -> Function:
        """The function with its calls timed as `part`."""

        def call(*args: Any, **kwargs: Any) -> Any:
            self.inner.append(0.0)
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - started
                self.seconds[part] += took - self.inner.pop()
                self.inner[-1] += took

        return call


class SynchronizedPartTimer(PartTimer):
    """A PartTimer that lets the device finish before a part begins and before it ends.

    Host and device then no longer work at the same time: the parts add up to more than an undisturbed step takes.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def timed(self, function: Function, part: str) -> Function:
        """The function with its calls and the work that they queue timed as `part`."""

        def finished(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            finally:
                self.clock.synchronize()

        timed = super().timed(finished, part)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.clock.synchronize()
            return timed(*args, **kwargs)

        return call


def layer_targets(layer: Layer, path: str = "") -> list[Target]:
    """The forward and backward of every layer within `layer` that has parameters of its own."""
    parts: list[tuple[str, Any]] = []
    for name, value in vars(layer).items():
        if isinstance(value, (list, tuple)):
            parts += [(f"{path}{name}.{i}", item) for i, item in enumerate(value)]
        else:
            parts.append((path + name, value))
    inner = [(name, part) for name, part in parts if isinstance(part, Layer)]
    if path and not inner:
        return [(layer, way, f"{path[:-1]} {way}") for way in ("forward", "backward")]
    return [target for name, part in inner for target in layer_targets(part, name + ".")]


def kept_bytes(cache: Any, left_out: Iterable[Array] = ()) -> int:
    """Bytes of the arrays in a cache of nested NamedTuples, tuples, lists and dicts; anything else counts nothing.

    A view keeps all of the array it looks at, so that counts, and once however many views there are. left_out: arrays
    that do not count, nor views of them, such as the values of parameters, which are there anyway.
    """
    known = {id(owner_of(array)) for array in left_out}
    owners = {id(owner): owner for owner in map(owner_of, arrays_in(cache))}
    return sum(owner.nbytes for key, owner in owners.items() if key not in known)


def arrays_in(cache: Any) -> list[Array]:
    """The arrays of a cache in order; one that occurs twice is listed twice."""
    if isinstance(cache, dict):
        cache = cache.values()
    elif not isinstance(cache, (tuple, list)):
        return [cache] if isinstance(cache, array_module(cache).ndarray) else []
    return [array for part in cache for array in arrays_in(part)]


def owner_of(array: Array) -> Array:
    """The array that owns the memory: this one, or the one of which it is a view, directly or through others."""
    while isinstance(array.base, array_module(array).ndarray):
        array = array.base
    return array
