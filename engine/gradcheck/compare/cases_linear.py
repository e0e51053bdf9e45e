"""Products, broadcasting, memory layouts, large arrays and linear algebra."""

from typing import Any

import numpy as np

from ..arrays import Array
from .case import Result, family, normal, with_entry


def matmul(a: Array, b: Array) -> Result:
    return a @ b, (a, b)


def matmul_backward(dy: Array, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    a, b = cache
    return dy @ b.T, a.T @ dy


def linear(x: Array, w: Array, b: Array) -> Result:
    return x @ w + b, (x, w)


def linear_backward(dy: Array, cache: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    x, w = cache
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)


def batched(a: Array, b: Array) -> Result:
    return np.einsum("bij,bjk->bik", a, b), (a, b)


def batched_backward(dy: Array, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    a, b = cache
    return np.einsum("bik,bjk->bij", dy, b), np.einsum("bij,bik->bjk", a, dy)


def layouts(x: Array) -> tuple[Array]:
    """Return the array as every second column of a transposed one."""
    wide = np.zeros((2 * x.shape[1], x.shape[0]))
    wide[::2] = x.T
    return (wide.T[:, ::2],)


def large(x: Array) -> Result:
    y = np.tanh(x)
    return y, y


def large_backward(dy: Array, y: Array) -> Array:
    return np.asarray(dy * (1 - y * y))


def large_loss_backward(dy: Any, x: Array) -> Array:
    return np.asarray(dy * x)


def cholesky(a: Array) -> Result:
    factor = np.linalg.cholesky(0.5 * (a + a.T))
    return factor, factor


def cholesky_backward(dy: Array, factor: Array, halved: bool = True) -> Array:
    """Return the gradient: with Φ the lower triangle with half its diagonal, L⁻ᵀ·Φ(Lᵀ·dL)·L⁻¹, made symmetric."""
    phi = np.tril(factor.T @ np.tril(dy))
    if halved:
        phi[np.diag_indices(len(phi))] /= 2
    inverse = np.linalg.inv(factor)
    da = inverse.T @ phi @ inverse
    return np.asarray(0.5 * (da + da.T))


def positive(seed: int) -> Array:
    x = normal(seed, 3, 5)
    return np.asarray(x @ x.T + np.eye(3))


def solve(a: Array, b: Array) -> Result:
    x = np.linalg.solve(a, b)
    return x, (a, x)


def solve_backward(dx: Array, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    a, x = cache
    db = np.linalg.solve(a.T, dx)
    return -db @ x.T, db


def unit_rows(x: Array) -> Result:
    length = np.sqrt(np.sum(x * x, axis=1, keepdims=True))
    return x / length, (x / length, length)


def quadratic(x: Array, a: Array) -> Result:
    return np.einsum("ni,ij,nj->n", x, a, x), (x, a)


CASES = [
    *family(
        "matrix product",
        matmul,
        lambda: (normal(60, 3, 3), normal(61, 3, 3)),
        (matmul_backward, "square, so that shapes do not tell"),
        {
            "transposed": (lambda dy, c: ((dy @ c[1].T).T, c[0].T @ dy), "shapes do not show it"),
            "factor not transposed": (lambda dy, c: (dy @ c[1], c[0].T @ dy), "b in place of its transpose"),
            "swapped": (lambda dy, c: matmul_backward(dy, c)[::-1], "gradients in the wrong order"),
            "one wrong row": (
                lambda dy, c: (with_entry(dy @ c[1].T, 1, lambda row: 1.01 * row), c[0].T @ dy),
                "one percent in one row of three",
            ),
        },
    ),
    *family(
        "linear layer",
        linear,
        lambda: (normal(62, 5, 3), normal(63, 3, 2), normal(64, 2)),
        (linear_backward, "a bias is broadcast over the batch"),
        {
            "bias by the mean": (
                lambda dy, c: (*linear_backward(dy, c)[:2], dy.mean(axis=0)),
                "1/n, not a sum",
            ),
            "bias of the first row": (lambda dy, c: (*linear_backward(dy, c)[:2], dy[0]), "the batch is not summed"),
            "bias zero": (lambda dy, c: (*linear_backward(dy, c)[:2], 0 * dy[0]), "nothing was accumulated"),
            "weights by 1/n": (lambda dy, c: (dy @ c[1].T, c[0].T @ dy / 5, dy.sum(axis=0)), "divided twice"),
        },
    ),
    *family(
        "broadcast scale",
        lambda x, scale: (x * scale, (x, scale)),
        lambda: (normal(65, 4, 3), normal(66, 3)),
        (lambda dy, c: (dy * c[1], (dy * c[0]).sum(axis=0)), "one scale for all rows"),
        {
            "not summed": (lambda dy, c: (dy * c[1], (dy * c[0])[-1]), "the last row only"),
            "factor missing": (lambda dy, c: (dy * c[1], dy.sum(axis=0)), "as of a broadcast sum"),
        },
    ),
    *family(
        "batched product by einsum",
        batched,
        lambda: (normal(67, 2, 3, 3), normal(68, 2, 3, 3)),
        (batched_backward, "three indices"),
        {
            "wrong index": (
                lambda dy, c: (np.einsum("bik,bkj->bij", dy, c[1]), batched_backward(dy, c)[1]),
                "two letters exchanged",
            ),
            "wrong batch": (
                lambda dy, c: (batched_backward(dy, c)[0], batched_backward(dy, c)[1][::-1]),
                "batches in the wrong order",
            ),
        },
    ),
    *family(
        "quadratic form",
        quadratic,
        lambda: (normal(69, 4, 3), normal(70, 3, 3)),
        (
            lambda dy, c: (dy[:, None] * (c[0] @ (c[1] + c[1].T)), np.einsum("n,ni,nj->ij", dy, c[0], c[0])),
            "the input is used twice",
        ),
        {
            "one of two terms": (
                lambda dy, c: (2 * dy[:, None] * (c[0] @ c[1].T), np.einsum("n,ni,nj->ij", dy, c[0], c[0])),
                "right for symmetric matrices",
            ),
        },
    ),
    *family(
        "strided input",
        lambda x: (np.sin(x) @ np.arange(1.0, 4.0), x),
        lambda: layouts(normal(71, 4, 3)),
        (lambda dy, x: np.outer(dy, np.arange(1.0, 4.0)) * np.cos(x), "not contiguous in either order"),
        {
            "read in memory order": (
                lambda dy, x: np.outer(dy, np.arange(1.0, 4.0)) * np.cos(np.ravel(x, "F").reshape(x.shape)),
                "entries in the wrong order",
            ),
        },
    ),
    *family(
        "100,000 entries",
        large,
        lambda: (normal(72, 100_000),),
        (large_backward, "one wrong entry is 3e-3 of the gradient's norm"),
        {
            "one entry doubled": (
                lambda dy, y: with_entry(large_backward(dy, y), 54_321, lambda g: 2 * g),
                "one of 100,000",
            ),
            "one entry zero": (lambda dy, y: with_entry(large_backward(dy, y), -1, lambda g: 0 * g), "the last one"),
            "factor 1 + 1e-3": (lambda dy, y: 1.001 * large_backward(dy, y), "a little in all of them"),
        },
    ),
    *family(
        "sum of 100,000 squares",
        lambda x: (0.5 * np.sum(x * x), x),
        lambda: (normal(73, 100_000),),
        (large_loss_backward, "a loss of 5e4 beside gradients of 1"),
        {
            "one entry doubled": (
                lambda dy, x: with_entry(large_loss_backward(dy, x), 777, lambda g: 2 * g),
                "one of 100,000, summed into a large loss",
            ),
        },
    ),
    *family(
        "solve",
        solve,
        lambda: (normal(74, 3, 3) + 3 * np.eye(3), normal(75, 3, 2)),
        (solve_backward, "linear algebra that takes no objects"),
        {
            "not transposed": (
                lambda dx, c: (-np.linalg.solve(c[0], dx) @ c[1].T, np.linalg.solve(c[0], dx)),
                "right for symmetric matrices",
            ),
        },
    ),
    *family(
        "inverse",
        lambda a: (np.linalg.inv(a), np.linalg.inv(a)),
        lambda: (normal(76, 3, 3) + 3 * np.eye(3),),
        (lambda dy, y: -y.T @ dy @ y.T, "the derivative of an inverse"),
        {
            "sign": (lambda dy, y: y.T @ dy @ y.T, "the minus is forgotten"),
            "not transposed": (lambda dy, y: -y @ dy @ y, "right for symmetric matrices"),
        },
    ),
    *family(
        "determinant",
        lambda a: (np.linalg.det(a), a),
        lambda: (normal(77, 3, 3),),
        (lambda dy, a: dy * np.linalg.det(a) * np.linalg.inv(a).T, "a NumPy scalar"),
        {"not transposed": (lambda dy, a: dy * np.linalg.det(a) * np.linalg.inv(a), "right for symmetric matrices")},
    ),
    *family(
        "Cholesky factor",
        cholesky,
        lambda: (positive(78),),
        (cholesky_backward, "of the symmetric part"),
        {"diagonal not halved": (lambda dy, f: cholesky_backward(dy, f, False), "Φ without its ½")},
    ),
    *family(
        "unit rows",
        unit_rows,
        lambda: (normal(79, 4, 3),),
        (lambda dy, c: (dy - c[0] * (dy * c[0]).sum(1, keepdims=True)) / c[1], "projects onto the sphere"),
        {"projection missing": (lambda dy, c: dy / c[1], "the length is taken for a constant")},
    ),
]
