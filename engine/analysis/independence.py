"""How independent the dimensions of embeddings are: their correlations, and how many dimensions they effectively use.

    r_kl = Σ_j c_jk·c_jl / (‖c_·k‖·‖c_·l‖)          c: the rows with the mean of each column taken off
    effective rank = exp(−Σ_k p_k·ln p_k)            p_k = σ_k / Σ_l σ_l, σ: the singular values of c

The second is Roy & Vetterli's (2007, "The effective rank: a measure of effective dimensionality"). It counts: r equal singular
values, the rest 0, have effective rank r. All is computed in float64, on the device where the rows are.
"""

import numpy as np

from engine.arguments import check_floats
from engine.backend import array_module, blas_threads


def correlation_matrix(rows):
    """rows: (N, d) float32 or float64 → (d, d) float64, Pearson's correlation of every two columns, in [−1, 1].

    A constant column has correlation 0 with every other and 1 with itself; fewer than two rows give the identity.
    Raises ValueError for another dtype or shape, for no columns, and for rows that hold NaN or infinity.
    """
    check_rows(rows)
    xp = array_module(rows)
    if len(rows) < 2:
        return xp.eye(rows.shape[1])
    c = centred(rows, axis=0)
    norms = xp.sqrt((c * c).sum(axis=0))
    c /= xp.where(norms > 0, norms, 1)
    matrix = c.T @ c
    matrix = xp.clip((matrix + matrix.T) / 2, -1, 1)  # a device's product may differ in a bit across the diagonal
    xp.fill_diagonal(matrix, 1)
    return matrix


def mean_absolute_correlation(matrix):
    """matrix: (d, d) of correlations → the mean of |r_kl| over k ≠ l as a float; 0 for d = 1. Raises ValueError if it is not square."""
    check_floats("matrix", matrix, (None, None))
    d = matrix.shape[0]
    if d == 0 or matrix.shape != (d, d):
        raise ValueError(f"matrix: expected a square matrix with at least one row, got shape {matrix.shape}")
    total = abs(matrix).sum(dtype=np.float64) - abs(matrix.diagonal()).sum(dtype=np.float64)
    return float(total) / (d * (d - 1)) if d > 1 else 0.0


def effective_rank(rows):
    """rows: (N, d) float32 or float64 → float from 1 to min(N − 1, d); 0 where all rows are equal, or fewer than two.

    The σ_k² are eigenvalues of the smaller Gram matrix, which is four times as fast as a singular value decomposition of c and
    loses only σ_k below about 1e-7 of the largest. Measured against that decomposition for d = 256: spectra that fall to 1e-6,
    or evenly to 1e-16, are 4e-6 off at most, as much as float32 rows are by themselves; one σ with all others at 1e-7 of it, 4e-4.
    Raises ValueError as correlation_matrix does.
    """
    check_rows(rows)
    xp = array_module(rows)
    if len(rows) < 2:
        return 0.0
    c = centred(rows, axis=None)
    gram = c.T @ c if len(c) >= c.shape[1] else c @ c.T
    with blas_threads(1):  # as fast as two on a free machine, 25 times as fast where another program needs a core
        squares = xp.linalg.eigvalsh(gram)
    noise = squares.max() * len(squares) * np.finfo(np.float64).eps  # what rounding makes of an eigenvalue 0
    sigma = xp.sqrt(xp.where(squares > noise, squares, 0))
    if not sigma.any():
        return 0.0
    p = sigma / sigma.sum()
    entropy = -float((p * xp.log(xp.where(p > 0, p, 1))).sum())
    return min(max(float(np.exp(entropy)), 1.0), float(min(len(rows) - 1, rows.shape[1])))


def centred(rows, axis):
    """The rows in float64 less the mean of each column, scaled by powers of two, one a column (axis 0) or one for all (None).

    The scale, which changes no digit, keeps squares of huge and tiny columns in range. The first row is taken off before the mean,
    so that constant columns become exact zeros.
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


def check_rows(rows):
    """Raise ValueError unless `rows` are (N, d) finite floats with d > 0."""
    check_floats("rows", rows, (None, None))
    if rows.shape[1] == 0:
        raise ValueError(f"rows: expected at least one column, got shape {rows.shape}")
    if rows.dtype.kind != "f" or not array_module(rows).isfinite(rows).all():
        raise ValueError("rows: expected finite real numbers, got NaN, infinity or complex ones; has training diverged?")
