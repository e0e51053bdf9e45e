"""E9  Embedding lookup.

    y_j = E[id_j]                       dE[i] = Σ_{j: id_j = i} dy_j

The gradient is kept row-sparse: the unique ids of the batch, sorted, and the sum of their rows. Rows are summed in
order of appearance after a stable sort, so the result does not depend on the order of threads.
Derivation: embedding.md.
"""

from typing import NamedTuple

from engine.arrays.checks import check_floats, check_ids
from engine.arrays.ragged import gather_rows
from engine.layer import RowSparse, sum_rows
from engine.types import Floats2d, Ints1d


class Cache(NamedTuple):
    ids: Ints1d
    table: Floats2d


def embedding_forward(ids: Ints1d, table: Floats2d) -> tuple[Floats2d, Cache]:
    """ids: (T,) integers in [0, V), table: (V, d) → y: (T, d), and the cache.

    Raises ValueError for ids that are no integers or (host arrays) outside the table; on a device their rows are NaN.
    """
    check_floats("table", table, ("V", "d"))
    check_ids(ids, len(table))
    return gather_rows(table, ids), Cache(ids, table)


def embedding_backward(dy: Floats2d, cache: Cache) -> RowSparse:
    """dy: (T, d) → dE: RowSparse over (V, d). Ids have no gradient."""
    check_floats("dy", dy, (len(cache.ids), cache.table.shape[1]), like=cache.table)
    return sum_rows(cache.ids, dy)
