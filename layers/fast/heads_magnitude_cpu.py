"""Linear maps of both branches (E8) and the magnitude of their modulation (E17), of several heads, on the host.

    (a_k, b_k) = x_k·(U_k, V_k) + (p_k, q_k)        y_k = G(a_k)·G(b_k)         head k of K

The composition of linear and bag_magnitude, head by head, since the rows of one head stay in a core's cache: those of
both branches lie side by side, (U, 2d), so that a product and a sum does for both. The sums are those of
bag_magnitude_cpu.py, or of bag_magnitude_c.py where that computes them.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.bag import Bag
from engine.arrays.ragged import column_sums
from engine.types import Floats2d, Floats3d
from layers.fast import bag_magnitude_c
from layers.fast.bag_magnitude_cpu import Sums, magnitudes, slopes, sums_of
from layers.wave.wave import divide_or_zero


class Cache(NamedTuple):
    """x: (U, K·d). pairs: of each head (a, b) side by side, (U, 2d). G: of each head that of both, (B, 2d) float64.

    sums: of NumPy, or the bag for functions in C.
    """

    x: Floats2d
    weight: Floats3d
    pairs: list[Floats2d]
    G: list[Floats2d]
    sums: Sums | Bag


Each = Callable[[Callable[[int], Any], Iterable[int]], Iterable[Any]]  # as map()


def columns_of(head: int, d: int) -> slice:
    return slice(head * d, (head + 1) * d)


def forward(x: Floats2d, weight: Floats3d, bias: Floats2d, bag: Bag, each: Each = map) -> tuple[Floats2d, Cache]:
    """x: (U, K·d), weight: (K, d, 2d), bias: (K, 2d), bag: of B texts over these rows → y: (B, K·d), and the cache.

    each: computes the heads, as map() does.
    """
    (heads, d, _), B = weight.shape, len(bag.offsets) - 1
    y, sums = np.empty((B, heads * d), x.dtype), bag if bag_magnitude_c.is_usable(x) else sums_of(bag, x)

    def computed(head: int) -> tuple[Floats2d, Floats2d]:
        own = columns_of(head, d)
        pair = x[:, own] @ weight[head]
        pair += bias[head]
        G = bag_magnitude_c.magnitudes(pair, sums) if isinstance(sums, Bag) else magnitudes(sums, pair)
        y[:, own] = G[:, :d] * G[:, d:]
        return pair, G

    pairs, G = zip(*each(computed, range(heads)))
    return y, Cache(x, weight, list(pairs), list(G), sums)


def backward(dy: Floats2d, cache: Cache, each: Each = map) -> tuple[Floats2d, Floats3d, Floats2d]:
    """dy: (B, K·d) → (dx (U, K·d), dweight (K, d, 2d), dbias (K, 2d))."""
    x, weight, pairs, magnitudes_of, sums = cache
    d = weight.shape[1]
    dx, dweight, dbias = np.empty_like(x), np.empty_like(weight), np.empty_like(weight[:, 0])

    def computed(head: int) -> None:
        own, G = columns_of(head, d), magnitudes_of[head]
        dG = np.concatenate([dy[:, own] * G[:, d:], dy[:, own] * G[:, :d]], axis=1)
        pair, h = pairs[head], divide_or_zero(dG, G)
        dpair = bag_magnitude_c.slopes(pair, h, sums) if isinstance(sums, Bag) else slopes(pair, h, sums, dy.dtype)
        np.matmul(x[:, own].T, dpair, out=dweight[head])
        dbias[head] = column_sums(dpair)
        np.matmul(dpair, weight[head].T, out=dx[:, own])

    for _ in each(computed, range(len(weight))):
        pass
    return dx, dweight, dbias
