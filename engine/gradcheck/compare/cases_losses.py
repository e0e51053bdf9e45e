"""Losses and normalised scores, several outputs, tuples and empty batches."""

from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from .case import Result, family, normal


class Pair(NamedTuple):
    """The parts of a complex number as real arrays."""

    re: Any
    im: Any


def softmax_of(x: Array) -> Array:
    e = np.exp(x - x.real.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def softmax(x: Array) -> Result:
    y = softmax_of(x)
    return y, y


def log_sum_exp(x: Array) -> Result:
    top = x.real.max(axis=1, keepdims=True)
    return np.log(np.exp(x - top).sum(axis=1)) + top[:, 0], x


def cross_entropy(z: Array, labels: Array) -> Result:
    p = softmax_of(z)
    return float(-np.mean(np.log(p[np.arange(len(z)), labels]))), (p, labels)


def cross_entropy_backward(dy: Any, cache: tuple[Array, Array], n: int | None = None) -> Array:
    p, labels = cache
    dz = p.copy()
    dz[np.arange(len(p)), labels] -= 1
    return np.asarray(dy * dz / (len(p) if n is None else n))


def ridge(w: Array, x: Array, target: Array) -> Result:
    residual = x @ w - target
    return 0.5 * np.mean(residual**2) + 0.3 * np.sum(w**2), (w, x, residual)


def ridge_backward(dy: Any, cache: tuple[Array, ...], penalty: float = 0.6) -> tuple[Array, Array, Array]:
    w, x, residual = cache
    dr = dy * residual / len(residual)
    return x.T @ dr + penalty * dy * w, np.outer(dr, w), -dr


def squares(x: Array) -> Result:
    return float(np.mean(x * x)), x


def cosine(a: Array, b: Array) -> Result:
    na, nb = np.sqrt(np.sum(a * a, axis=1)), np.sqrt(np.sum(b * b, axis=1))
    y = np.sum(a * b, axis=1) / (na * nb)
    return y, (a, b, na, nb, y)


def cosine_backward(dy: Array, cache: tuple[Array, ...], projected: bool = True) -> tuple[Array, Array]:
    a, b, na, nb, y = cache
    y = y if projected else 0 * y
    da = b / (na * nb)[:, None] - (y / na**2)[:, None] * a
    db = a / (na * nb)[:, None] - (y / nb**2)[:, None] * b
    return dy[:, None] * da, dy[:, None] * db


def logistic(z: Array, target: Array) -> Result:
    return np.asarray(np.mean(np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - target * z)), (z, target)


def logistic_backward(dy: Any, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    z, target = cache
    return dy * (1 / (1 + np.exp(-z)) - target) / z.size, -dy * z / z.size


def modulate(a: Pair, b: Pair) -> Result:
    return Pair(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re), (a, b)


def modulate_backward(dz: Pair, cache: tuple[Pair, Pair], sign: int = 1) -> tuple[Pair, Pair]:
    a, b = cache
    da = Pair(dz.re * b.re + sign * dz.im * b.im, dz.im * b.re - sign * dz.re * b.im)
    return da, Pair(dz.re * a.re + dz.im * a.im, dz.im * a.re - dz.re * a.im)


def pairs() -> tuple[Pair, Pair]:
    return Pair(normal(40, 3), normal(41, 3)), Pair(normal(42, 3), normal(43, 3))


def linear(x: Array, w: Array) -> Result:
    return x @ w, (x, w)


CASES = [
    *family(
        "softmax",
        softmax,
        lambda: (normal(30, 3, 4),),
        (lambda dy, y: y * (dy - (dy * y).sum(-1, keepdims=True)), "a cotangent of ones makes every gradient 0"),
        {
            "missing term": (lambda dy, y: y * dy, "the sum over the row is forgotten"),
            "right only for ones": (lambda dy, y: 0 * dy, "zero, as for a cotangent of ones"),
            "diagonal only": (lambda dy, y: dy * y * (1 - y), "as of a sigmoid"),
        },
    ),
    *family(
        "log-sum-exp",
        log_sum_exp,
        lambda: (300 * normal(31, 3, 4),),
        (lambda dy, x: dy[:, None] * softmax_of(x), "overflows without a shift; one entry has it all"),
        {"not normalised": (lambda dy, x: dy[:, None] * np.exp(x - x.max(1, keepdims=True)), "the sum is forgotten")},
    ),
    *family(
        "log-sum-exp, small",
        log_sum_exp,
        lambda: (normal(32, 3, 4),),
        (lambda dy, x: dy[:, None] * softmax_of(x), "all entries matter"),
        {"not normalised": (lambda dy, x: dy[:, None] * np.exp(x - x.max(1, keepdims=True)), "the sum is forgotten")},
    ),
    *family(
        "cross-entropy, Python float",
        cross_entropy,
        lambda: (normal(33, 5, 3), np.array([0, 2, 1, 1, 0])),
        (cross_entropy_backward, "integer labels, and a loss that is a float"),
        {
            "mean missing": (lambda dy, c: cross_entropy_backward(dy, c, 1), "factor n"),
            "1/n twice": (lambda dy, c: cross_entropy_backward(dy, c, 25), "divided in the loss and in its caller"),
            "cotangent ignored": (lambda dy, c: cross_entropy_backward(1.0, c), "right while the loss is the end"),
            "absolute value of dy": (lambda dy, c: cross_entropy_backward(abs(dy), c), "right for positive dy"),
        },
    ),
    *family(
        "loss with L2 penalty",
        ridge,
        lambda: (normal(34, 3), normal(35, 6, 3), normal(36, 6)),
        (ridge_backward, "a NumPy scalar; two terms"),
        {
            "penalty halved": (lambda dy, c: ridge_backward(dy, c, 0.3), "λw in place of 2λw"),
            "penalty missing": (lambda dy, c: ridge_backward(dy, c, 0.0), "only the data term"),
            "penalty without dy": (
                lambda dy, c: (ridge_backward(dy, c, 0.0)[0] + 0.6 * c[0], *ridge_backward(dy, c)[1:]),
                "added as weight decay, whatever the cotangent",
            ),
        },
    ),
    *family(
        "mean of squares, Python float",
        squares,
        lambda: (normal(37, 4, 2),),
        (lambda dy, x: dy * 2 * x / x.size, "a plain loss"),
        {
            "divided by the rows": (lambda dy, x: dy * 2 * x / len(x), "mean over all entries, not over rows"),
            "shape of a row": (lambda dy, x: dy * 2 * x.mean(axis=0) / len(x) + 0 * x, "one gradient for all rows"),
        },
    ),
    *family(
        "logistic loss, 0-d array",
        logistic,
        lambda: (normal(38, 6, scale=3.0), np.array([0.0, 1.0, 1.0, 0.0, 0.3, 1.0])),
        (logistic_backward, "a 0-d array as loss, |z| inside"),
        {
            "target's gradient zero": (lambda dy, c: (logistic_backward(dy, c)[0], 0 * c[1]), "taken for a constant"),
            "sign of the target": (
                lambda dy, c: (dy * (1 / (1 + np.exp(-c[0])) + c[1]) / 6, logistic_backward(dy, c)[1]),
                "p + t in place of p − t",
            ),
        },
    ),
    *family(
        "cosine similarity",
        cosine,
        lambda: (normal(39, 4, 3), 1e3 * normal(44, 4, 3)),
        (cosine_backward, "does not change with the length"),
        {"projection missing": (lambda dy, c: cosine_backward(dy, c, False), "the norms are taken for constants")},
    ),
    *family(
        "two outputs",
        lambda x: ((np.sin(x), np.exp(x)), x),
        lambda: (normal(45, 5),),
        (lambda dy, x: dy[0] * np.cos(x) + dy[1] * np.exp(x), "both have a cotangent"),
        {
            "second ignored": (lambda dy, x: dy[0] * np.cos(x), "a branch is forgotten"),
            "swapped": (lambda dy, x: dy[1] * np.cos(x) + dy[0] * np.exp(x), "cotangents in the wrong order"),
        },
    ),
    *family(
        "pairs of arrays",
        modulate,
        pairs,
        (modulate_backward, "NamedTuples go in and come out"),
        {"conjugate missing": (lambda dz, c: modulate_backward(dz, c, -1), "dz·b in place of dz·conj(b)")},
    ),
    *family(
        "tuple of arrays",
        lambda z: (z[0] * np.sin(z[1]), z),
        lambda: ((normal(46, 4), normal(47, 4)),),
        (lambda dy, z: (dy * np.sin(z[1]), dy * z[0] * np.cos(z[1])), "one input that is a tuple"),
        {"parts swapped": (lambda dy, z: (dy * z[0] * np.cos(z[1]), dy * np.sin(z[1])), "in the wrong order")},
    ),
    *family(
        "empty batch",
        linear,
        lambda: (np.zeros((0, 3)), normal(48, 3, 2)),
        (lambda dy, c: (dy @ c[1].T, c[0].T @ dy), "no rows: the gradient of the weights is 0"),
        {"weight decay inside": (lambda dy, c: (dy @ c[1].T, c[0].T @ dy + 0.1 * c[1]), "not 0 without any rows")},
    ),
    *family(
        "input without influence",
        lambda x, unused: (2 * x, unused),
        lambda: (normal(49, 3), normal(50, 4)),
        (lambda dy, unused: (2 * dy, 0 * unused), "its gradient is exactly 0"),
        {
            "gradient of a constant": (lambda dy, unused: (2 * dy, 1e-3 * unused), "must be 0"),
            "tiny gradient of a constant": (lambda dy, unused: (2 * dy, 1e-9 * unused), "must be 0, not nearly"),
        },
    ),
]
