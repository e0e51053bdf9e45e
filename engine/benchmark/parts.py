"""Where the seconds of a step go: functions are replaced by timed ones for as long as a measurement lasts.

Bytes of memory that a cache keeps for backward: every array in it, each memory once.
"""

import contextlib
import time

from engine.arrays.backend import array_module
from engine.layer import Layer


@contextlib.contextmanager
def replaced(places):
    """Put other functions in place while the context lasts. places: (owner, attribute, function → function in its place).

    owner: a module, or an object whose class has the method.
    """
    before = []
    try:
        for owner, attribute, wrap in places:
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
    """seconds: dict by the name of a part, without the seconds of other parts that were called within it."""

    def __init__(self):
        self.seconds = {}
        self.inner = [0.0]  # seconds of the timed calls within each call that is under way

    def timing(self, places):
        """Time the calls of what the places name while the context lasts. places: (owner, attribute, part)."""
        self.seconds.update({part: 0.0 for _, _, part in places if part not in self.seconds})
        return replaced(
            [
                (owner, attribute, lambda function, part=part: self.timed(function, part))
                for owner, attribute, part in places
            ]
        )

    def timed(self, function, part):
        def call(*args, **kwargs):
            self.inner.append(0.0)
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - started
                self.seconds[part] += took - self.inner.pop()
                self.inner[-1] += took

        return call


def layer_places(layer, path=""):
    """Places of the forward and backward of every layer within `layer` that has parameters of its own."""
    parts = []
    for name, value in vars(layer).items():
        parts += (
            [(f"{path}{name}.{i}", item) for i, item in enumerate(value)]
            if isinstance(value, (list, tuple))
            else [(path + name, value)]
        )
    inner = [(name, part) for name, part in parts if isinstance(part, Layer)]
    if path and not inner:
        return [(layer, way, f"{path[:-1]} {way}") for way in ("forward", "backward")]
    return [place for name, part in inner for place in layer_places(part, name + ".")]


def kept_bytes(cache, left_out=()):
    """Bytes of the arrays in a cache: NamedTuples, tuples, lists and dicts within one another; whatever else is there counts nothing.

    A view keeps all of the array it looks at, so that counts, and once however many views there are. left_out: arrays that do not
    count, nor views of them, such as the values of parameters, which are there anyway.
    """
    known = {id(owner_of(array)) for array in left_out}
    owners = {id(owner): owner for owner in map(owner_of, arrays_in(cache))}
    return sum(owner.nbytes for key, owner in owners.items() if key not in known)


def arrays_in(cache):
    """The arrays of a cache in order, those that stand in it twice twice."""
    if isinstance(cache, dict):
        cache = cache.values()
    elif not isinstance(cache, (tuple, list)):
        return [cache] if isinstance(cache, array_module(cache).ndarray) else []
    return [array for part in cache for array in arrays_in(part)]


def owner_of(array):
    """The array whose memory it is: itself, or the one that it is a view of, directly or through others."""
    while isinstance(array.base, array_module(array).ndarray):
        array = array.base
    return array
