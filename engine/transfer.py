"""Integer arrays of the host go to a device together: each copy has its price, however small it is."""

import numpy as np

from engine.backend import array_module


def move_together(tree, like):
    """The integer arrays of a tree of tuples where `like` is: those of the host go to a device in a single copy."""
    if tree is None or isinstance(like, np.ndarray):
        return tree
    host = [leaf for leaf in arrays_of(tree) if isinstance(leaf, np.ndarray)]
    if not host:
        return tree
    packed = array_module(like).asarray(np.concatenate([leaf.astype(np.int64, copy=False) for leaf in host]))
    cuts = np.cumsum([0, *map(len, host)]).tolist()
    parts = (packed[start:stop] for start, stop in zip(cuts, cuts[1:]))
    return rebuilt(tree, parts)


def arrays_of(tree):
    """The arrays of a tree of tuples, in order."""
    if isinstance(tree, tuple):
        return [leaf for part in tree for leaf in arrays_of(part)]
    return [] if tree is None else [tree]


def rebuilt(tree, parts):
    """The tree with its host arrays replaced by the next of `parts`."""
    if isinstance(tree, tuple):
        made = [rebuilt(part, parts) for part in tree]
        return type(tree)(*made) if hasattr(tree, "_fields") else tuple(made)
    return next(parts) if isinstance(tree, np.ndarray) else tree
