"""E9  Embedding lookup.

    y_t = E[id_t]                       dE[i] = Σ_{t: id_t = i} dy_t

The gradient is kept row-sparse: the unique ids of the batch, sorted, and the sum of their rows. Rows are summed in order
of appearance after a stable sort, so the result does not depend on the order of threads. Derivation: layers/README.md, E9.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.checks import check_floats, check_ids
from engine.arrays.ragged import gather_rows
from engine.layer import Layer, Parameter, RowSparse, sum_rows
from layers.costs import Flops


class Cache(NamedTuple):
    ids: np.ndarray
    shape: tuple
    dtype: np.dtype
    distinct: bool


def embedding_forward(ids, table, distinct=False):
    """ids: (T,) integers in [0, V), table: (V, d) → y: (T, d), and the cache.

    distinct: True promises that ids ascend and none occurs twice, so that backward has nothing to add up. Raises
    ValueError for ids that are no integers or (host arrays) outside the table; on a device their rows are NaN.
    """
    check_floats("table", table, ("V", "d"))
    check_ids(ids, len(table))
    return gather_rows(table, ids), Cache(ids, table.shape, table.dtype, distinct)


def embedding_backward(dy, cache):
    """dy: (T, d) → dE: RowSparse over (V, d). Ids have no gradient."""
    check_floats("dy", dy, (len(cache.ids), cache.shape[1]), like=cache)
    return RowSparse(cache.ids, dy) if cache.distinct else sum_rows(cache.ids, dy)


def embedding_flops(tokens, dimension, distinct=False):
    """Flops of T ids: the sums of backward, or none where the ids are promised to be distinct."""
    return Flops(0, 0 if distinct else tokens * dimension)


class Embedding(Layer):
    """A table of V rows of d numbers drawn from N(0, scale²). The row of padding does not exist: nothing is padded."""

    def __init__(self, rows, dimension, rng, dtype=np.float32, scale=1.0):
        self.table = Parameter((rng.standard_normal((rows, dimension)) * scale).astype(dtype))

    def forward(self, ids, distinct=False):
        return embedding_forward(ids, self.table.value, distinct)

    def backward(self, dy, cache):
        self.table.accumulate(embedding_backward(dy, cache))

    def flops(self, tokens, distinct=False):
        """Flops of forward and backward for (tokens,) ids."""
        return embedding_flops(tokens, self.table.value.shape[1], distinct)
