"""The exchange of gradients between ranks: who owns which entry, and what travels. The idea stands in reduce.py."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.arrays.backend import array_module, to_host
from engine.layer import Gradient, RowSparse
from engine.training.reduce import Alone, Gradients, Layout, Node, add, tree_sum
from engine.types import Array, Ints1d


def layout_of(parts: dict[Node, Gradients]) -> Layout:
    """What a rank tells the others of its gradients before they are exchanged."""
    return {
        node: {name: to_host(grad.rows) if isinstance(grad, RowSparse) else None for name, grad in gradients.items()}
        for node, gradients in parts.items()
    }


def exchanged(
    ranks: Alone, parts: dict[Node, Gradients], layouts: list[Layout], shards: int, like: dict[str, Array]
) -> Gradients:
    """The sum over all shards of the gradients of all ranks; the same on every rank.

    parts: what this rank has, by node of the tree; layouts: layout_of() of each rank; like: by name, an array of the
    shape, dtype and device of the dense gradient. Raises ValueError for gradients of several dtypes.
    """
    if ranks.size == 1:
        return parts[0, shards]
    deal = Deal(ranks.size, layouts, like)
    xp, dtype = array_module(*like.values()), next(iter(like.values())).dtype
    if any(array.dtype != dtype for array in like.values()):
        raise ValueError("gradients: must have one dtype to be exchanged between ranks")
    outgoing = [
        deal.piece(parts[node][name], name, layout, owner)
        for owner in range(ranks.size)
        for node, name, layout in deal.held_by(ranks.rank)
    ]
    sent = [deal.count(ranks.rank, owner) for owner in range(ranks.size)]
    received = [deal.count(rank, ranks.rank) for rank in range(ranks.size)]
    incoming = ranks.exchange(joined(xp, outgoing, dtype), sent, received)
    own = deal.summed(incoming, ranks.rank, shards)
    counts = [sum(deal.own_size(name, owner) for name in deal.names) for owner in range(ranks.size)]
    return deal.assembled(ranks.collect(joined(xp, own, dtype), counts))


def joined(xp: Any, pieces: list[Array], dtype: Any) -> Array:
    """One-dimensional arrays one after the other."""
    return xp.concatenate([xp.empty(0, dtype), *pieces])


class Deal:
    """Which entries of the gradients each rank owns.

    rows: the distinct rows of each row-sparse gradient, of all ranks together, on the host.
    """

    def __init__(self, size: int, layouts: list[Layout], like: dict[str, Array]) -> None:
        self.size, self.layouts, self.like = size, layouts, like
        found: dict[str, list[Ints1d]] = {}
        for layout in layouts:
            for names in layout.values():
                for name, rows in names.items():
                    found.setdefault(name, []).extend([] if rows is None else [rows])
        self.names = [name for name in like if name in found]
        self.rows = {name: np.unique(np.concatenate(rows)) for name, rows in found.items() if rows}
        self.first_rows = {  # that each rank owns, and behind the last one the number of rows of the table
            name: np.append(rows, len(like[name]))[[len(rows) * owner // size for owner in range(size + 1)]]
            for name, rows in self.rows.items()
        }

    def held_by(self, rank: int) -> Iterator[tuple[Node, str, Ints1d | None]]:
        """(node, name, rows or None) of everything that a rank has, in the order in which it travels."""
        for node, names in self.layouts[rank].items():
            yield from ((node, name, names[name]) for name in self.names if name in names)

    def own(self, name: str, owner: int) -> slice:
        """The entries of an array, or of the distinct rows of a row-sparse gradient, that a rank owns."""
        total = len(self.rows[name]) if name in self.rows else self.like[name].size
        return slice(total * owner // self.size, total * (owner + 1) // self.size)

    def width(self, name: str) -> int:
        """The numbers of one entry: of a row, or 1."""
        return math.prod(self.like[name].shape[1:]) if name in self.rows else 1

    def own_size(self, name: str, owner: int) -> int:
        own = self.own(name, owner)
        return (own.stop - own.start) * self.width(name)

    def within(self, name: str, rows: Ints1d | None, owner: int) -> slice:
        """Those of the rows of a gradient, or of the entries of an array, that a rank owns."""
        if rows is None:
            return self.own(name, owner)
        start, stop = np.searchsorted(rows, self.first_rows[name][owner : owner + 2])
        return slice(int(start), int(stop))

    def piece(self, grad: Gradient, name: str, rows: Ints1d | None, owner: int) -> Array:
        """The numbers of a gradient that travel to a rank, (n,)."""
        values = grad.values if isinstance(grad, RowSparse) else grad.reshape(-1)
        return values[self.within(name, rows, owner)].reshape(-1)

    def piece_size(self, name: str, rows: Ints1d | None, owner: int) -> int:
        found = self.within(name, rows, owner)
        return (found.stop - found.start) * self.width(name)

    def count(self, rank: int, owner: int) -> int:
        """How many numbers a rank sends to an owner."""
        return sum(self.piece_size(name, rows, owner) for _, name, rows in self.held_by(rank))

    def summed(self, incoming: Array, owner: int, shards: int) -> list[Array]:
        """The sums of the owner's entries, (n,) each, by name."""
        xp = array_module(incoming)
        parts: dict[str, dict[Node, Gradient]] = {name: {} for name in self.names}
        start = 0
        for rank in range(self.size):
            for node, name, rows in self.held_by(rank):
                stop = start + self.piece_size(name, rows, owner)
                piece, start = incoming[start:stop], stop
                if rows is None:
                    parts[name][node] = piece
                else:
                    own_rows = xp.asarray(rows[self.within(name, rows, owner)])
                    parts[name][node] = RowSparse(own_rows, piece.reshape(len(own_rows), self.width(name)))
        sums = [tree_sum((0, shards), known.get, add) for known in parts.values()]
        return [(s.values if isinstance(s, RowSparse) else s).reshape(-1) for s in sums if s is not None]

    def assembled(self, collected: Array) -> Gradients:
        """The whole gradients of the sums of all owners, one after the other."""
        xp = array_module(collected)
        pieces: dict[str, list[Array]] = {name: [] for name in self.names}
        sizes = [(name, self.own_size(name, owner)) for owner in range(self.size) for name in self.names]
        for (name, size), stop in zip(sizes, itertools.accumulate(size for _, size in sizes)):
            pieces[name].append(collected[stop - size : stop])
        gradients: Gradients = {}
        for name, found in pieces.items():
            values, shape = xp.concatenate(found), self.like[name].shape
            if name in self.rows:
                rows = xp.asarray(self.rows[name])
                gradients[name] = RowSparse(rows, values.reshape(len(rows), *shape[1:]))
            else:
                gradients[name] = values.reshape(shape)
        return gradients
