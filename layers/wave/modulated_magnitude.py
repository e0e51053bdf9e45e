"""E17  The magnitude of a modulation: one row for a whole text.

    |A·B| = |A|·|B|, and |A| = G_A for every token of a text (E1, E4, E6), so that for all of them

    y_tk  = G_A,tk · G_B,tk                     G_A,tk = sqrt(Σ_u c_tu·a_uk²), G_B likewise
    da_uk = a_uk · Σ_t c_tu·dy_tk·G_B,tk/G_A,tk            db_uk likewise                  (0 where the divisor is 0)

a, b: the rows of the U distinct tokens; c_tu: how often token u stands in text t. dy_t: the sum over the tokens of the text.
The chain E4, E6, E7 gives the same (at G = 0 too) by some forty passes over all T tokens; here the sums over tokens are matrix products
with C = (c_tu), taken in float64. Each partial derivative is at most √c·G_B or √c·G_A. Unit: the product of those of a and b.
In float64 numbers below 1.5e-154 of their column's largest lose digits, and backward is right while dy·G_B and dy·G_A neither
over- nor underflow. A NaN or an infinity in a row spoils its column in every text of the batch.
On a device kernels do it entry by entry (modulated_magnitude.cu): without C, each text with a scale and a NaN of its own.
Source: follows from Zhang & Sheng, arXiv 2411.02674. Derivation: layers/README.md, E17.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.bag import count_matrix
from engine.arrays.checks import check_floats
from engine.cuda.kernels import with_kernels
from layers.costs import Flops
from layers.fast import modulated_magnitude_cuda as modulated_magnitude_fused
from layers.wave.wave import divide_or_zero

BLOCK_ENTRIES = 1 << 19  # in float64 at a time: 4 MiB


class Cache(NamedTuple):
    a: np.ndarray
    b: np.ndarray
    G_a: np.ndarray
    G_b: np.ndarray
    counts: np.ndarray  # C: (B, U)


def modulated_magnitude_forward(a, b, bag, bias_a=None, bias_b=None):
    """a, b: (U, d), bag: of B texts over these rows → y: (B, d), and the cache. Raises ValueError for a wrong dtype or shape.

    bias_a, bias_b: (d,), added to every row of a and of b first; their gradients are the sums of the rows of da and of db.
    """
    check_floats("a", a, ("U", "d"))
    check_floats("b", b, a.shape, like=a)
    a, b = with_bias("bias_a", a, bias_a), with_bias("bias_b", b, bias_b)
    counts = count_matrix(bag, len(a))
    G_a, G_b = magnitudes(a, counts), magnitudes(b, counts)
    return (G_a * G_b).astype(a.dtype, copy=False), Cache(a, b, G_a, G_b, counts)


def with_bias(name, x, bias):
    """x with a bias of that name added to every row, if there is one."""
    if bias is None:
        return x
    check_floats(name, bias, x.shape[1:], like=x)
    return x + bias


def magnitudes(x, counts):
    """G: (B, d) in float64. Squares of float32 fit into it as they are; those of float64 are scaled by their column's largest."""
    xp = array_module(x)
    if x.dtype == np.float32:
        G = xp.empty((len(counts), x.shape[1]))
        size = max(1, BLOCK_ENTRIES // max(1, len(x)))
        for first in range(0, x.shape[1], size):  # columns at a time: their squares take twice the memory of x
            squares = x[:, first : first + size].astype(np.float64)
            squares *= squares
            G[:, first : first + size] = counts @ squares
        return xp.sqrt(G)
    scale = abs(x.real).max(axis=0) if len(x) else xp.ones(x.shape[1])
    scale = scale + (scale == 0)
    return scale * xp.sqrt(counts @ (x / scale) ** 2)


def modulated_magnitude_backward(dy, cache):
    """dy: (B, d) → (da, db), each (U, d)."""
    a, b, G_a, G_b, counts = cache
    check_floats("dy", dy, G_a.shape, like=a)
    return slopes(a, divide_or_zero(dy * G_b, G_a), counts, dy.dtype), slopes(
        b, divide_or_zero(dy * G_a, G_b), counts, dy.dtype
    )


def slopes(x, of_texts, counts, dtype):
    """x·(Cᵀ·of_texts): (U, d) of (B, d), in `dtype`; rows at a time, since the sums are in float64."""
    dx = array_module(x).empty(x.shape, dtype)
    size = max(1, BLOCK_ENTRIES // max(1, x.shape[1]))
    for first in range(0, len(x), size):
        rows = slice(first, first + size)
        dx[rows] = (counts[:, rows].T @ of_texts) * x[rows]
    return dx


modulated_magnitude_forward, modulated_magnitude_backward = with_kernels(
    modulated_magnitude_forward, modulated_magnitude_backward, modulated_magnitude_fused
)


def modulated_magnitude_flops(rows, texts, dimension):
    """Flops of U rows and B texts: each way two products with C (B, U) and two further operations per number of a."""
    products = (4 * texts + 2) * rows * dimension
    return Flops(products + 3 * texts * dimension, products + 10 * texts * dimension)
