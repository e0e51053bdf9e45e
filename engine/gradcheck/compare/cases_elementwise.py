"""Smooth functions of single entries: wrong by a factor, tiny, huge and mixed scales, saturation, fast phases."""

import numpy as np

from ..arrays import Array, Tree
from .case import Result, family, normal


def tanh(x: Array) -> Result:
    y = np.tanh(x)
    return y, y


def sigmoid(x: Array) -> Result:
    y = 1 / (1 + np.exp(-x))
    return y, y


def square(x: Array) -> Result:
    return x * x, x


def sine(x: Array) -> Result:
    return np.sin(x), x


def gelu(x: Array) -> Result:
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    t = np.tanh(inner)
    return 0.5 * x * (1 + t), (x, t)


def gelu_backward(dy: Array, cache: tuple[Array, Array], cubic: float = 1.0) -> Tree:
    x, t = cache
    slope = np.sqrt(2 / np.pi) * (1 + cubic * 3 * 0.044715 * x**2)
    return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)


def elu(x: Array) -> Result:
    return np.where(x.real > 0, x, 0.7 * np.expm1(np.where(x.real > 0, 0.0, x))), x


def mixed(a: Array, b: Array) -> Result:
    return (a / 1e-9) * np.tanh(b / 1e6), (a, b)


def mixed_backward(dy: Array, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    a, b = cache
    t = np.tanh(b / 1e6)
    return dy * t / 1e-9, dy * (a / 1e-9) * (1 - t * t) / 1e6


def scaled_columns(x: Array) -> Result:
    return x * np.sin(x / np.array([1e-12, 1.0, 1e9])), x


def scaled_columns_backward(dy: Array, x: Array) -> Tree:
    phase = x / np.array([1e-12, 1.0, 1e9])
    return dy * (np.sin(phase) + phase * np.cos(phase))


SATURATED = np.array([3.0, 5.0, 7.5, 9.0, 4.0])

CASES = [
    *family(
        "tanh",
        tanh,
        lambda: (normal(0, 4, 3),),
        (lambda dy, y: dy * (1 - y * y), "the plainest of all"),
        {
            "sign": (lambda dy, y: -dy * (1 - y * y), "the commonest mistake"),
            "factor 2": (lambda dy, y: 2 * dy * (1 - y * y), "twice too large"),
            "factor 1 + 1e-3": (lambda dy, y: 1.001 * dy * (1 - y * y), "at the usual relative tolerance"),
            "factor 1 + 1e-6": (lambda dy, y: (1 + 1e-6) * dy * (1 - y * y), "below all usual tolerances"),
            "factor 1 + 2e-7": (lambda dy, y: (1 + 2e-7) * dy * (1 - y * y), "a constant with seven digits"),
            "right only at 0": (lambda dy, y: dy, "checked at zeros only, this one passes"),
            "cotangent ignored": (lambda dy, y: np.sign(dy) * (1 - y * y), "uses the signs of dy alone"),
            "right only for ones": (lambda dy, y: dy**2 * (1 - y * y), "right where the cotangent is all ones"),
            "negative inputs only": (
                lambda dy, y: dy * np.where(y < 0, 1 + y, 1 - y * y),
                "a branch that few inputs take",
            ),
        },
    ),
    *family(
        "tanh, saturated",
        tanh,
        lambda: (SATURATED * np.array([1, -1, 1, 1, -1]),),
        (lambda dy, y: dy * (1 - y * y), "1 − y² has few digits left"),
        {"1 - |y|": (lambda dy, y: dy * (1 - np.abs(y)), "half of it, where absolute errors are below 1e-3")},
    ),
    *family(
        "sigmoid, saturated",
        sigmoid,
        lambda: (np.array([-30.0, -12.0, 9.0, 14.0, -18.0]),),
        (lambda dy, y: dy * y * (1 - y), "gradients of 1e-13 beside 1e-4"),
        {
            "zero": (lambda dy, y: 0 * dy, "no larger than absolute tolerances of 1e-3"),
            "small units doubled": (
                lambda dy, y: dy * y * (1 - y) * np.where(y < 1e-6, 2, 1),
                "wrong where the gradient is 1e-6 of the rest and less",
            ),
        },
    ),
    *family(
        "square at 1e-12",
        square,
        lambda: (normal(1, 3, 2, scale=1e-12),),
        (lambda dy, x: 2 * dy * x, "an absolute step is huge here"),
        {"zero": (lambda dy, x: 0 * dy, "an absolute tolerance takes 1e-12 for 0")},
    ),
    *family(
        "square at 1e9",
        square,
        lambda: (normal(2, 3, 2, scale=1e9),),
        (lambda dy, x: 2 * dy * x, "an absolute step is rounding here"),
        {"factor 1 + 1e-3": (lambda dy, x: 2.002 * dy * x, "rounding must not hide it")},
    ),
    *family(
        "inputs of 1e-9 and 1e6",
        mixed,
        lambda: (normal(3, 4, scale=1e-9), normal(4, 4, scale=1e6)),
        (mixed_backward, "gradients of 1e9 and 1e-6 side by side"),
        {
            "small gradient zero": (
                lambda dy, cache: (mixed_backward(dy, cache)[0], 0 * dy),
                "the gradient of the large input is 1e-15 of the other",
            ),
            "small input doubled": (
                lambda dy, cache: (2 * mixed_backward(dy, cache)[0], mixed_backward(dy, cache)[1]),
                "the small input must be moved in its own units",
            ),
        },
    ),
    *family(
        "columns of 1e-12, 1 and 1e9",
        scaled_columns,
        lambda: (normal(5, 3, 3) * np.array([1e-12, 1.0, 1e9]),),
        (scaled_columns_backward, "one array with entries 21 decades apart"),
        {
            "small column zero": (
                lambda dy, x: scaled_columns_backward(dy, x) * np.array([0, 1, 1]),
                "entries of 1e-12 beside 1e9 must be moved too",
            ),
        },
    ),
    *family(
        "sine at 1e6",
        sine,
        lambda: (1e6 + normal(6, 5),),
        (lambda dy, x: dy * np.cos(x), "a relative step turns the phase many times"),
        {"sign": (lambda dy, x: -dy * np.cos(x), "as of cosine")},
    ),
    *family(
        "sine at 1e9",
        sine,
        lambda: (1e9 * (1 + 0.1 * normal(7, 4)),),
        (lambda dy, x: dy * np.cos(x), "only few digits of the phase are left"),
        {"factor 2": (lambda dy, x: 2 * dy * np.cos(x), "few digits are enough for this")},
    ),
    *family(
        "wave of one million radians",
        lambda x: ((np.cos(1e6 * x), np.sin(1e6 * x)), x),
        lambda: (normal(8, 4),),
        (lambda dy, x: 1e6 * (dy[1] * np.cos(1e6 * x) - dy[0] * np.sin(1e6 * x)), "fast phases at inputs near 1"),
        {
            "inner derivative missing": (
                lambda dy, x: dy[1] * np.cos(1e6 * x) - dy[0] * np.sin(1e6 * x),
                "a factor of a million, where differences fail",
            ),
        },
    ),
    *family(
        "0-d input",
        lambda x: (x * np.sin(x), x),
        lambda: (np.array(0.8),),
        (lambda dy, x: dy * (np.sin(x) + x * np.cos(x)), "arithmetic turns 0-d arrays into scalars"),
        {"missing term": (lambda dy, x: dy * np.sin(x), "product rule with one term")},
    ),
    *family(
        "gelu",
        gelu,
        lambda: (normal(9, 4, 3),),
        (gelu_backward, "a long chain rule"),
        {"cubic term missing": (lambda dy, c: gelu_backward(dy, c, 0), "off by a few percent only")},
    ),
    *family(
        "elu",
        elu,
        lambda: (normal(10, 4, 3),),
        (lambda dy, x: dy * np.where(x > 0, 1, 0.7 * np.exp(x)), "two branches"),
        {"negative inputs only": (lambda dy, x: dy * np.where(x > 0, 1, np.exp(x)), "factor of the branch forgotten")},
    ),
    *family(
        "log1p",
        lambda x: (np.log1p(x), x),
        lambda: (np.abs(normal(11, 6)) * 1e-6,),
        (lambda dy, x: dy / (1 + x), "accurate near 0"),
        {"derivative of x": (lambda dy, x: dy * (1 + x), "1 + x in place of 1/(1 + x): 1e-6 off")},
    ),
    *family(
        "cumulative sum",
        lambda x: (np.cumsum(x, axis=0), x.shape),
        lambda: (normal(12, 5, 2),),
        (lambda dy, _: np.cumsum(dy[::-1], axis=0)[::-1], "its transpose runs backwards"),
        {
            "not reversed": (lambda dy, _: np.cumsum(dy, axis=0), "sums from the wrong end"),
            "wrong axis": (lambda dy, _: np.cumsum(dy[:, ::-1], axis=1)[:, ::-1], "sums along the other axis"),
        },
    ),
]
