"""Where a number first stopped being finite."""

from engine.backend import array_module


def first_nonfinite(cache, path=""):
    """The dotted path of the first array with a NaN or an infinity in a cache (a tree of NamedTuples, tuples, arrays).

    Caches list their parts in the order of computation, so the path names the layer in which things went wrong.
    None where everything is finite.
    """
    if isinstance(cache, (tuple, list)):
        names = getattr(cache, "_fields", None) or range(len(cache))
        parts = ((f"{path}.{name}" if path else str(name), part) for name, part in zip(names, cache))
        return next((found for found in (first_nonfinite(part, where) for where, part in parts) if found), None)
    if getattr(cache, "dtype", None) is not None and cache.dtype.kind in "fc":
        return None if bool(array_module(cache).isfinite(cache).all()) else path
    return None
