"""Single precision: float32 hidden inside of float64 functions, and float32 inputs."""

import numpy as np

from ..arrays import Array
from .case import Case, Result, family, normal, single
from .cases_elementwise import tanh
from .cases_indices import IDS, embedding, last_of_equal_ids
from .cases_layers import normalize, normalize_backward
from .cases_linear import matmul, matmul_backward
from .cases_losses import softmax


def hidden_tanh(x: Array) -> Result:
    y = np.tanh(x.astype(np.float32)).astype(np.float64)
    return y, y


def hidden_matmul(a: Array, b: Array) -> Result:
    return (a.astype(np.float32) @ b.astype(np.float32)).astype(np.float64), (a, b)


def hidden_loss(x: Array) -> Result:
    return float(np.mean(x.astype(np.float32) ** 2)), x


def hidden_exp(x: Array, w: Array) -> Result:
    return np.exp(x).astype(np.float32).astype(np.float64) * np.sin(w), (x, w)


def hidden_exp_backward(dy: Array, cache: tuple[Array, Array], factor: float = 1.0) -> tuple[Array, Array]:
    x, w = cache
    return factor * dy * np.exp(x) * np.sin(w), dy * np.exp(x) * np.cos(w)


def mean_square(x: Array) -> Result:
    return np.mean(x * x), x


def single_embedding_backward(dy: Array, cache: tuple[Array, tuple[int, ...]]) -> Array:
    dtable = np.zeros(cache[1], np.float32)
    np.add.at(dtable, cache[0], dy)
    return dtable


HIDDEN: list[Case] = [
    *family(
        "float32 inside: tanh",
        hidden_tanh,
        lambda: (normal(150, 4, 3),),
        (lambda dy, y: dy * (1 - y * y), "y moves in steps of 1e-7, or not at all"),
        {
            "zero": (lambda dy, y: 0 * dy, "steps too small for float32 show a constant"),
            "factor 2": (lambda dy, y: 2 * dy * (1 - y * y), "few digits are enough for this"),
            "factor 1.01": (lambda dy, y: 1.01 * dy * (1 - y * y), "float32 has digits for this too"),
        },
    ),
    *family(
        "float32 inside: matrix product",
        hidden_matmul,
        lambda: (normal(151, 3, 3), normal(152, 3, 3)),
        (matmul_backward, "sums in single precision"),
        {
            "zero": (lambda dy, c: (0 * dy, 0 * dy), "steps too small for float32 show a constant"),
            "transposed": (lambda dy, c: ((dy @ c[1].T).T, c[0].T @ dy), "shapes do not show it"),
        },
    ),
    *family(
        "float32 inside: loss, Python float",
        hidden_loss,
        lambda: (normal(153, 4, 2),),
        (lambda dy, x: dy * 2 * x / x.size, "the precision cannot be read from the type of the result"),
        {
            "zero": (lambda dy, x: 0 * x, "steps too small for float32 show a constant"),
            "divided by the rows": (lambda dy, x: dy * 2 * x / len(x), "mean over all entries, not over rows"),
        },
    ),
    *family(
        "float32 inside: one input of two",
        hidden_exp,
        lambda: (normal(154, 5), normal(155, 5)),
        (hidden_exp_backward, "the other one is in double precision"),
        {"zero": (lambda dy, c: hidden_exp_backward(dy, c, 0.0), "the gradient of the input that is rounded")},
    ),
]

SINGLE: list[Case] = [
    *family(
        "float32: tanh",
        tanh,
        lambda: single(normal(156, 4, 3)),
        (lambda dy, y: dy * (1 - y * y), "differences of float32 have few digits"),
        {"factor 2": (lambda dy, y: 2 * dy * (1 - y * y), "must be seen in float32 too")},
    ),
    *family(
        "float32: matrix product",
        matmul,
        lambda: single(normal(157, 3, 3), normal(158, 3, 3)),
        (matmul_backward, "bilinear"),
        {"transposed": (lambda dy, c: ((dy @ c[1].T).T, c[0].T @ dy), "shapes do not show it")},
    ),
    *family(
        "float32: softmax",
        softmax,
        lambda: single(normal(159, 3, 4)),
        (lambda dy, y: y * (dy - (dy * y).sum(-1, keepdims=True)), "blind to a cotangent of ones"),
        {"missing term": (lambda dy, y: y * dy, "the sum over the row is forgotten")},
    ),
    *family(
        "float32: layer norm",
        lambda x, gain, shift: normalize(x, gain, shift, 1),
        lambda: single(normal(160, 4, 5), normal(161, 5), normal(162, 5)),
        (normalize_backward, "means in single precision"),
        {"variance constant": (lambda dy, c: normalize_backward(dy, c, 1), "one of three terms is missing")},
    ),
    *family(
        "float32: mean of squares",
        mean_square,
        lambda: single(normal(163, 4, 2)),
        (lambda dy, x: dy * 2 * x / np.float32(x.size), "a NumPy scalar of float32"),
        {"divided by the rows": (lambda dy, x: dy * 2 * x / np.float32(len(x)), "mean over all entries")},
    ),
    *family(
        "float32: embedding",
        embedding,
        lambda: (*single(normal(164, 6, 3)), IDS),
        (single_embedding_backward, "linear, with integers"),
        {
            "last of equal ids": (
                lambda dy, c: last_of_equal_ids(dy, c).astype(np.float32),
                "assigned in place of added",
            ),
        },
    ),
]

CASES = HIDDEN + SINGLE
