"""Bytes of memory that a cache keeps for backward: every array in it, each memory once."""

from engine.backend import array_module


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
