"""Rows of tokens at their places (E22), with linear maps over distinct tokens and distinct positions (E8).

    (w + p)·W + b = (w·W + b) + p·W

Entry e of a batch is w[lookup of e] + p[places of e]. A map takes U + M rows, not one for each entry, and so does its
backward: the gradients of the entries are summed by token and by position first.
"""

from typing import Any, NamedTuple

from engine.arrays.bag import Bag, sum_entries
from engine.types import Floats2d
from layers.networks.parts import Linear


class PlacedRows(NamedTuple):
    """w: (U, d), p: (M, d), lookup and places: the Bags of the P entries over them."""

    w: Floats2d
    p: Floats2d
    lookup: Bag
    places: Bag

    def entries(self) -> Floats2d:
        """(P, d): the row of each entry."""
        return sum_of_rows(self, self.w, self.p)


def sum_of_rows(x: PlacedRows, w: Floats2d, p: Floats2d) -> Floats2d:
    """w: (U, q), p: (M, q) → (P, q)."""
    y: Floats2d = x.lookup.entries(w)
    y += x.places.entries(p)
    return y


def sum_of_rows_backward(dy: Floats2d, x: PlacedRows) -> tuple[Floats2d, Floats2d]:
    """dy: (P, q) → (dw (U, q), dp (M, q))."""
    return sum_entries(dy, x.lookup, len(x.w)), sum_entries(dy, x.places, len(x.p))


class MapCache(NamedTuple):
    x: PlacedRows
    of_w: Any
    of_p: Any


def map_forward(linear: Linear, x: PlacedRows, fuse_bias: bool = False) -> tuple[Floats2d, MapCache]:
    """x·W + b of each entry: (P, q), and the cache. fuse_bias: leave b to the function that takes it."""
    w, of_w = linear.forward(x.w, fuse_bias)
    p, of_p = linear.forward(x.p, fuse_bias=True)
    return sum_of_rows(x, w, p), MapCache(x, of_w, of_p)


def map_backward(
    linear: Linear, dy: Floats2d, cache: MapCache, accumulate: tuple[Floats2d, Floats2d] | None = None
) -> tuple[Floats2d, Floats2d]:
    """dy: (P, q) → (dw, dp). accumulate: another share of both, added to them."""
    dw, dp = sum_of_rows_backward(dy, cache.x)
    more_w, more_p = (None, None) if accumulate is None else accumulate
    dw = linear.backward(dw, cache.of_w, more_w)
    rest = () if more_p is None else (more_p,)
    dp, dweight, _ = linear.functions.linear_backward(dp, cache.of_p, *rest)  # the bias is that of w
    linear.weight.accumulate(dweight)
    return dw, dp
