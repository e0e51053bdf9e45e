"""Measures of a network in training: histograms of its waves, norms of its gradients, independence of its embeddings.

Gradients are measured at the places where the second paper looks: [CLS], all input tokens, the classifier. Independence
is that of the embeddings' dimensions: their correlations, and the number of dimensions that they effectively use.

    r_kl = Σ_j c_jk·c_jl / (‖c_·k‖·‖c_·l‖)          c: the rows with the mean of each column taken off
    effective rank = exp(−Σ_k p_k·ln p_k)            p_k = σ_k / Σ_l σ_l, σ: the singular values of c

The second is Roy & Vetterli's (2007, "The effective rank: a measure of effective dimensionality"). It counts: r equal
singular values, the rest 0, have effective rank r. Independence is computed in float64, on the device where the rows
are.
"""

import math
from typing import Any

import numpy as np

from engine.arrays.backend import array_module, blas_threads, to_host
from engine.arrays.checks import check_floats
from engine.arrays.ragged import RaggedBatch
from engine.layer import Parameter, RowSparse, squared_norm
from engine.types import Array, Floats2d
from layers.networks import WaveNetwork
from layers.standard.linear import linear_forward
from layers.wave import OPERATIONS, Wave, token2wave_forward

BINS = {
    "phase": np.linspace(-np.pi, np.pi, 65).tolist(),  # radians
    "log10_magnitude": np.linspace(-5, 3, 65).tolist(),
}


def wave_counts(network: Any, batch: RaggedBatch) -> dict[str, list[int]] | None:
    """Count the combined waves of the first block, at all tokens and dimensions: {"phase", "log10_magnitude"} over
    BINS.

    batch: on the host. Magnitudes outside the bins are counted in the outermost; where both parts are 0, the phase
    counts as 0. None for a network without waves, or of several heads. The wave is that of E4, before the
    readout, without dropout.
    """
    if not isinstance(network, WaveNetwork) or not network.blocks or network.config.heads > 1:
        return None
    block = network.blocks[0]
    x = to_host(network.embedding.table.value)[batch.ids]
    layers: list[Any] = [block.first_variant, block.second_variant]
    variants = (linear_forward(x, to_host(layer.weight.value), to_host(layer.bias.value))[0] for layer in layers)
    first, second = (token2wave_forward(a, batch.offsets, network.config.scope)[0] for a in variants)
    forward = OPERATIONS[network.config.operation].forward
    return counts_of(forward(first, second)[0])


def counts_of(z: Wave) -> dict[str, list[int]]:
    """Histograms of a Wave."""
    magnitude = np.hypot(z.re, z.im, dtype=np.float64)
    edges = BINS["log10_magnitude"]
    logarithm = np.log10(np.maximum(magnitude, 10.0 ** edges[0])).clip(edges[0], edges[-1])
    return {
        "phase": np.histogram(np.arctan2(z.im, z.re, dtype=np.float64), BINS["phase"])[0].tolist(),
        "log10_magnitude": np.histogram(logarithm, edges)[0].tolist(),
    }


def gradient_norms(parameters: dict[str, Parameter], first: int) -> dict[str, float]:
    """L2 norms of the gradients that the last backward pass has left in a network's parameters.

    gradient_cls: of row `first` of "embedding.table", the embedding of [CLS], with which every text begins.
    gradient_input: of all rows of that table, the embeddings of all tokens of the batch, each with the sum over where
    it stands. gradient_classifier: of "classifier.weight". float32 is summed in float64. A parameter without a gradient
    has 0.
    """
    table, classifier = parameters["embedding.table"], parameters["classifier.weight"]
    return {
        "gradient_cls": norm(row_of(table.grad, first)),
        "gradient_input": norm(table.grad_array()),
        "gradient_classifier": norm(classifier.grad_array()),
    }


def row_of(grad: Any, row: int) -> Array | None:
    """The gradient of one row of a table, None where it has none."""
    if not isinstance(grad, RowSparse):
        return None if grad is None else grad[row : row + 1]
    found = array_module(grad.rows).flatnonzero(grad.rows == row)
    return grad.values[found] if len(found) else None


def norm(x: Any) -> float:
    return 0.0 if x is None else math.sqrt(float(squared_norm(x)))


def correlation_matrix(rows: Floats2d) -> Floats2d:
    """Pearson's correlation of every two columns, in [−1, 1].

    rows: (N, d) float32 or float64 → (d, d) float64. A constant column has correlation 0 with every other and 1 with
    itself; fewer than two rows give the identity. Raises ValueError for another dtype or shape, for no columns, and for
    rows that hold NaN or infinity.
    """
    check_rows(rows)
    xp = array_module(rows)
    matrix: Floats2d
    if len(rows) < 2:
        matrix = xp.eye(rows.shape[1])
        return matrix
    c = centred(rows, axis=0)
    norms = xp.sqrt((c * c).sum(axis=0))
    c /= xp.where(norms > 0, norms, 1)
    matrix = c.T @ c
    matrix = xp.clip((matrix + matrix.T) / 2, -1, 1)  # a device's product may differ in a bit across the diagonal
    xp.fill_diagonal(matrix, 1)
    return matrix


def mean_absolute_correlation(matrix: Floats2d) -> float:
    """Mean of |r_kl| over k ≠ l in a (d, d) matrix; 0 for d = 1. Raises ValueError if it is not square."""
    check_floats("matrix", matrix, (None, None))
    d = matrix.shape[0]
    if d == 0 or matrix.shape != (d, d):
        raise ValueError(f"matrix: expected a square matrix with at least one row, got shape {matrix.shape}")
    total = abs(matrix).sum(dtype=np.float64) - abs(matrix.diagonal()).sum(dtype=np.float64)
    return float(total) / (d * (d - 1)) if d > 1 else 0.0


def effective_rank(rows: Floats2d) -> float:
    """Number of dimensions that the rows effectively use.

    rows: (N, d) float32 or float64 → from 1 to min(N − 1, d); 0 where all rows are equal, or fewer than two. The σ_k²
    are eigenvalues of the smaller Gram matrix, which is four times as fast as a singular value decomposition of c and
    loses only σ_k below about 1e-7 of the largest. Measured against that decomposition for d = 256: spectra that fall
    to 1e-6, or evenly to 1e-16, are 4e-6 off at most, as much as float32 rows are by themselves; one σ with all others
    at 1e-7 of it, 4e-4. Raises ValueError as correlation_matrix does.
    """
    check_rows(rows)
    xp = array_module(rows)
    if len(rows) < 2:
        return 0.0
    c = centred(rows, axis=None)
    gram = c.T @ c if len(c) >= c.shape[1] else c @ c.T
    with blas_threads(1):  # as fast as two on a free machine, 25 times as fast where another program needs a core
        squares = xp.linalg.eigvalsh(gram)
    noise = squares.max() * len(squares) * np.finfo(np.float64).eps  # rounding turns an eigenvalue 0 into this
    sigma = xp.sqrt(xp.where(squares > noise, squares, 0))
    if not sigma.any():
        return 0.0
    p = sigma / sigma.sum()
    entropy = -float((p * xp.log(xp.where(p > 0, p, 1))).sum())
    return min(max(float(np.exp(entropy)), 1.0), float(min(len(rows) - 1, rows.shape[1])))


def centred(rows: Floats2d, axis: int | None) -> Floats2d:
    """The rows in float64 less the mean of each column, scaled by powers of two.

    axis: 0 for one scale a column, None for one for all. The scale, which changes no digit, keeps squares of huge and
    tiny columns in range. The first row is taken off before the mean, so that constant columns become exact zeros.
    """
    xp = array_module(rows)
    c = rows.astype(np.float64)
    highest, lowest = c.max(axis=axis, keepdims=True), c.min(axis=axis, keepdims=True)
    _, exponents = xp.frexp(xp.maximum(highest, -lowest))
    for part in (exponents // 2, exponents - exponents // 2):  # 2⁻ᵉ itself may be out of range
        c *= xp.ldexp(xp.ones(part.shape), -part)
    c -= c[:1].copy()
    c -= c.mean(axis=0)
    return c


def check_rows(rows: Floats2d) -> None:
    """Raise ValueError unless `rows` are (N, d) finite floats with d > 0."""
    check_floats("rows", rows, (None, None))
    if rows.shape[1] == 0:
        raise ValueError(f"rows: expected at least one column, got shape {rows.shape}")
    if rows.dtype.kind != "f" or not array_module(rows).isfinite(rows).all():
        raise ValueError(
            "rows: expected finite real numbers, got NaN, infinity or complex ones; has training diverged?"
        )
