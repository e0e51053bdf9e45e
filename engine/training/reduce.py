"""Sums over the ranks that train one network: the seam between a training step and MPI or NCCL.

A batch is cut into S shards, a number that belongs to the run. Their gradients are summed in a binary tree that depends
on S alone: [0, S) is [0, m) + [m, S), m the largest power of two below S. Each of N ranks computes S/N neighbouring
shards and sums the nodes of the tree that lie within them; the rest of the tree is summed wherever it is, always in
this order. So the sum has the same bits for every N.

An exchange of gradients takes two messages between each two ranks: every entry has an owner, each rank sends to every
owner what it has of the entries there, the owner sums them by the tree, and sends the sums to all. Entries of an array
are dealt out evenly, and so are the distinct rows of row-sparse gradients: rows that no rank has do not travel.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from engine.arrays.backend import array_module, to_host
from engine.arrays.ragged import put_rows
from engine.layer import Gradient, Parameter, RowSparse
from engine.support.errors import UserError
from engine.types import Array, Ints1d

Node: TypeAlias = tuple[int, int]  # the shards start … stop − 1
Gradients: TypeAlias = dict[str, Gradient]
Layout: TypeAlias = dict[Node, dict[str, Ints1d | None]]  # of each node and name: the rows on the host, None if dense
Part = TypeVar("Part")
Value = TypeVar("Value")


class Alone:
    """The only rank there is. What it is asked costs nothing and sends nothing.

    rank, size: number of this rank, number of all; local_rank: its number among those of its machine. Every rank calls
    the methods in the same order.
    """

    rank, size, local_rank = 0, 1, 0

    @property
    def is_root(self) -> bool:
        """Whether this is the rank that writes and prints."""
        return self.rank == 0

    def gather(self, value: Value) -> list[Value]:
        """The values of all ranks, in their order. Raises RankFailed where one of them has ended."""
        return [value]

    def of_root(self, function: Callable[[], Value]) -> Value:
        """The result of a function that the root alone calls, for all ranks."""
        return function()

    def in_turn(self, function: Callable[[], Value]) -> Value:
        """Call a function that reads or fills a cache: the root first, then one rank of each machine, then the rest."""
        return function()

    def caught(self, signal: int | None) -> int | None:
        """The number of the signal at which all ranks stop here. signal: what this one has caught."""
        return signal

    def choose_device(self, name: str) -> None:
        """Take this rank's GPU where "cuda" or "auto" is asked for, before anything touches one."""

    def use_device(self, device: str) -> None:
        """Exchange arrays of "cpu" or "cuda" from now on."""

    def exchange(self, values: Array, sent: Sequence[int], received: Sequence[int]) -> Array:
        """Send values[…] to each rank, and take from each; one-dimensional, in the order of the ranks.

        sent, received: numbers of entries for and of each rank.
        """
        return values

    def collect(self, values: Array, counts: Sequence[int]) -> Array:
        """The one-dimensional values of all ranks, one after the other. counts: numbers of entries of each."""
        return values


ALONE = Alone()


class RankFailed(Exception):
    """Another rank has ended, and says why. exit_code: its own."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"another rank has ended with exit code {exit_code}")
        self.exit_code = exit_code


def require_equal(ranks: Alone, what: str, value: Any) -> None:
    """Raise UserError on all ranks where a value differs between them. what: names it."""
    values = ranks.gather(value)
    other = next((rank for rank, found in enumerate(values) if found != values[0]), None)
    if other is not None:
        raise UserError(
            f"{what} of ranks 0 and {other} differ; start all ranks on processors of one kind, with the same versions, "
            "files and number of threads"
        )


def require_equal_weights(ranks: Alone, epoch: float, parameters: dict[str, Parameter]) -> None:
    """Raise UserError on all ranks where weights differ after an epoch."""
    if ranks.size > 1:
        weights = [to_host(parameter.value) for parameter in parameters.values()]
        require_equal(ranks, f"epoch {epoch}: the weights", [zlib.crc32(np.ascontiguousarray(w).data) for w in weights])


def halves(node: Node) -> tuple[Node, Node]:
    """Both parts of a node of more than one shard."""
    start, stop = node
    middle = start + (1 << ((stop - start - 1).bit_length() - 1))
    return (start, middle), (middle, stop)


def nodes_within(node: Node, start: int, stop: int) -> list[Node]:
    """The largest nodes below `node` that lie within the shards start … stop − 1, in their order."""
    if start <= node[0] and node[1] <= stop:
        return [node]
    if node[1] <= start or stop <= node[0]:
        return []
    return [found for half in halves(node) for found in nodes_within(half, start, stop)]


def tree_sum(node: Node, part_of: Callable[[Node], Part | None], add: Callable[[Part, Part], Part]) -> Part | None:
    """The sum over a node. part_of: of a node, None where it is not known as a whole, or empty."""
    part = part_of(node)
    if part is not None or node[1] - node[0] == 1:
        return part
    left, right = (tree_sum(half, part_of, add) for half in halves(node))
    return add(left, right) if left is not None and right is not None else right if left is None else left


def add_gradients(left: Gradients, right: Gradients) -> Gradients:
    """The sum of two sets of gradients by name."""
    both = {name: add(grad, right[name]) if name in right else grad for name, grad in left.items()}
    return {**right, **both}


def add(left: Gradient, right: Gradient) -> Gradient:
    """The sum of two gradients of a parameter, row-sparse where they are."""
    if not (isinstance(left, RowSparse) and isinstance(right, RowSparse)):
        if isinstance(left, RowSparse) or isinstance(right, RowSparse):
            raise ValueError("a gradient is row-sparse in one shard and not in another")
        return left + right
    xp = array_module(left.values)
    rows = xp.unique(xp.concatenate([left.rows, right.rows]))
    values = xp.zeros((len(rows), *left.values.shape[1:]), left.values.dtype)
    put_rows(values, xp.searchsorted(rows, left.rows), left.values)
    values[xp.searchsorted(rows, right.rows)] += right.values
    return RowSparse(rows, values)
