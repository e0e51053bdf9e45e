"""Layers of networks: normalisation, convolution, pooling, attention, recurrent cells, dropout."""

from typing import Any

import numpy as np

from ..arrays import Array
from .case import Result, family, normal


def normalize(x: Array, gain: Array, shift: Array, axis: int) -> Result:
    centred = x - x.mean(axis=axis, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axis=axis, keepdims=True) + 1e-5)
    return centred / deviation * gain + shift, (centred / deviation, deviation, gain, axis)


def normalize_backward(dy: Array, cache: tuple[Any, ...], terms: int = 2) -> tuple[Array, Array, Array]:
    unit, deviation, gain, axis = cache
    dunit = dy * gain
    dx = dunit - (dunit.mean(axis=axis, keepdims=True) if terms > 0 else 0)
    if terms > 1:
        dx = dx - unit * (dunit * unit).mean(axis=axis, keepdims=True)
    return dx / deviation, (dy * unit).sum(axis=0), dy.sum(axis=0)


def biased(x: Array, bias: Array, axis: int) -> Result:
    """Normalise x + bias, which removes the bias where it is the same along the axis."""
    y, cache = normalize(x + bias, np.ones(x.shape[1]), np.zeros(x.shape[1]), axis)
    return y, cache


def biased_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array]:
    dx = normalize_backward(dy, cache)[0]
    return dx, dx.sum(axis=cache[3], keepdims=True)


def root_mean_square(x: Array) -> Result:
    size = np.sqrt((x * x).mean(axis=1, keepdims=True))
    return x / size, (x / size, size)


def convolution(x: Array, kernel: Array) -> Result:
    """Return y_t = Σ_k x_{t+k}·kernel_k, without padding."""
    n = len(x) - len(kernel) + 1
    return sum(x[k : k + n] * kernel[k] for k in range(len(kernel))), (x, kernel)


def convolution_backward(dy: Array, cache: tuple[Array, Array], flip: int = 1) -> tuple[Array, Array]:
    x, kernel = cache
    dx = np.zeros_like(x)
    for k, weight in enumerate(kernel[::flip]):
        dx[k : k + len(dy)] += dy * weight
    return dx, np.array([x[k : k + len(dy)] @ dy for k in range(len(kernel))])


def convolution2d(x: Array, kernel: Array) -> Result:
    """Convolve (h, w) by an odd kernel, padded with zeros to the same size."""
    pad = len(kernel) // 2
    padded = np.pad(x, pad)
    h, w = x.shape
    y = sum(padded[i : i + h, j : j + w] * kernel[i, j] for i in range(kernel.shape[0]) for j in range(kernel.shape[1]))
    return y, (padded, kernel, pad)


def convolution2d_backward(dy: Array, cache: tuple[Any, ...], shift: int = 0) -> tuple[Array, Array]:
    padded, kernel, pad = cache
    h, w = dy.shape
    dpadded, dkernel = np.zeros_like(padded), np.zeros_like(kernel)
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            dpadded[i : i + h, j : j + w] += dy * kernel[i, j]
            dkernel[i, j] = np.sum(padded[i : i + h, j : j + w] * dy)
    start = pad - shift
    return dpadded[start : start + h, start : start + w], dkernel


def max_pool(x: Array) -> Result:
    blocks = x.reshape(-1, 2)
    at = np.argmax(blocks, axis=1)
    return blocks[np.arange(len(blocks)), at], (blocks, at)


def max_pool_backward(dy: Array, cache: tuple[Array, Array]) -> Array:
    blocks, at = cache
    dx = np.zeros_like(blocks)
    dx[np.arange(len(blocks)), at] = dy
    return dx.ravel()


def attention(q: Array, k: Array, v: Array) -> Result:
    scores = q @ k.T / np.sqrt(q.shape[1])
    e = np.exp(scores - scores.real.max(axis=1, keepdims=True))
    weights = e / e.sum(axis=1, keepdims=True)
    return weights @ v, (q, k, v, weights)


def attention_backward(dy: Array, cache: tuple[Array, ...], scaled: bool = True, row: bool = True) -> tuple[Array, ...]:
    q, k, v, weights = cache
    dweights = dy @ v.T
    ds = weights * (dweights - ((weights * dweights).sum(axis=1, keepdims=True) if row else 0))
    if scaled:
        ds = ds / np.sqrt(q.shape[1])
    return ds @ k, ds.T @ q, weights.T @ dy


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def lstm(x: Array, h: Array, c: Array, w: Array) -> Result:
    """Run one cell with gates i, f, o, g along the columns of w."""
    i, f, o, g = np.split(np.concatenate([x, h], axis=1) @ w, 4, axis=1)
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    new = f * c + i * g
    return (o * np.tanh(new), new), (x, h, c, w, i, f, o, g, new)


def lstm_backward(dy: tuple[Array, Array], cache: tuple[Array, ...], mistake: str = "") -> tuple[Array, ...]:
    x, h, c, w, i, f, o, g, new = cache
    t = np.tanh(new)
    dnew = dy[0] * o * (1 - t * t) + (0 if mistake == "cell" else dy[1])
    df = dnew * (new if mistake == "forget" else c) * f * (1 - f)
    dz = np.concatenate([dnew * g * i * (1 - i), df, dy[0] * t * o * (1 - o), dnew * i * (1 - g * g)], axis=1)
    d = dz @ w.T
    return d[:, : x.shape[1]], d[:, x.shape[1] :], dnew * f, np.concatenate([x, h], axis=1).T @ dz


def recurrent(x: Array, w: Array) -> Result:
    states = [np.zeros_like(x[0])]
    for row in x:
        states.append(np.tanh(row + states[-1] @ w))
    return states[-1], (states, w)


def recurrent_backward(dy: Array, cache: tuple[Any, ...], steps: int = 100) -> tuple[Array, Array]:
    states, w = cache
    dw, rows, dstate = np.zeros_like(w), [], dy
    for t in range(len(states) - 1, 0, -1):
        dz = dstate * (1 - states[t] ** 2) * (len(states) - t <= steps)
        dw += np.outer(states[t - 1], dz)
        rows.append(dz)
        dstate = dz @ w.T
    return np.array(rows[::-1]), dw


def dropout(x: Array, rng: np.random.Generator) -> Result:
    mask = (rng.random(x.shape) < 0.6) / 0.6
    return x * mask, mask


CASES = [
    *family(
        "batch norm",
        lambda x, gain, shift: normalize(x, gain, shift, 0),
        lambda: (normal(80, 6, 3), normal(81, 3), normal(82, 3)),
        (normalize_backward, "mean and variance depend on the input"),
        {
            "statistics constant": (lambda dy, c: normalize_backward(dy, c, 0), "as at test time"),
            "variance constant": (lambda dy, c: normalize_backward(dy, c, 1), "one of three terms is missing"),
        },
    ),
    *family(
        "batch norm after a bias",
        lambda x, bias: biased(x, bias, 0),
        lambda: (normal(83, 6, 3), normal(84, 1, 3)),
        (biased_backward, "the mean takes the bias away: its gradient is rounding"),
        {
            "bias as without a norm": (
                lambda dy, c: (biased_backward(dy, c)[0], dy.sum(axis=0, keepdims=True)),
                "must be 0",
            ),
            "bias 1e-6": (
                lambda dy, c: (biased_backward(dy, c)[0], 1e-6 * dy.sum(axis=0, keepdims=True)),
                "must be 0, and rounding is far smaller",
            ),
        },
    ),
    *family(
        "layer norm",
        lambda x, gain, shift: normalize(x, gain, shift, 1),
        lambda: (normal(85, 4, 5), normal(86, 5), normal(87, 5)),
        (normalize_backward, "each row by itself"),
        {
            "wrong axis": (
                lambda dy, c: (normalize_backward(dy, (*c[:3], 0))[0], *normalize_backward(dy, c)[1:]),
                "the terms of batch norm",
            ),
            "variance constant": (lambda dy, c: normalize_backward(dy, c, 1), "one of three terms is missing"),
        },
    ),
    *family(
        "layer norm after a bias",
        lambda x, bias: biased(x, bias, 1),
        lambda: (normal(88, 4, 5), normal(89, 4, 1)),
        (biased_backward, "one bias a row, which the mean takes away"),
        {
            "bias as without a norm": (
                lambda dy, c: (biased_backward(dy, c)[0], dy.sum(axis=1, keepdims=True)),
                "must be 0",
            ),
        },
    ),
    *family(
        "root mean square norm",
        root_mean_square,
        lambda: (normal(90, 3, 4, scale=1e-3),),
        (lambda dy, c: (dy - c[0] * (dy * c[0]).mean(1, keepdims=True)) / c[1], "gradients of 1e3 for inputs of 1e-3"),
        {"sum in place of mean": (lambda dy, c: (dy - c[0] * (dy * c[0]).sum(1, keepdims=True)) / c[1], "factor n")},
    ),
    *family(
        "convolution",
        convolution,
        lambda: (normal(91, 8), normal(92, 3)),
        (convolution_backward, "each input is used up to three times"),
        {"kernel flipped": (lambda dy, c: convolution_backward(dy, c, -1), "convolution or correlation")},
    ),
    *family(
        "convolution in two dimensions",
        convolution2d,
        lambda: (normal(93, 5, 4), normal(94, 3, 3)),
        (convolution2d_backward, "padded with zeros"),
        {"padding off by one": (lambda dy, c: convolution2d_backward(dy, c, 1), "cut out at the wrong place")},
    ),
    *family(
        "maximum pooling",
        max_pool,
        lambda: (normal(95, 10),),
        (max_pool_backward, "one of two has a gradient"),
        {"as of the mean": (lambda dy, c: np.repeat(dy / 2, 2), "spread over the block")},
    ),
    *family(
        "mean pooling",
        lambda x: (x.reshape(-1, 2).mean(axis=1), None),
        lambda: (normal(96, 10),),
        (lambda dy, _: np.repeat(dy / 2, 2), "no cache"),
        {"as of the sum": (lambda dy, _: np.repeat(dy, 2), "factor 2")},
    ),
    *family(
        "attention",
        attention,
        lambda: (normal(97, 3, 4), normal(98, 5, 4), normal(99, 5, 2)),
        (attention_backward, "three inputs, softmax inside"),
        {
            "scale missing": (lambda dy, c: attention_backward(dy, c, scaled=False), "1/√d in forward only"),
            "row sum missing": (lambda dy, c: attention_backward(dy, c, row=False), "softmax with one term"),
            "values by the scores": (
                lambda dy, c: (*attention_backward(dy, c)[:2], (c[0] @ c[1].T).T @ dy),
                "before softmax in place of after it",
            ),
        },
    ),
    *family(
        "LSTM cell",
        lstm,
        lambda: (normal(100, 2, 3), normal(101, 2, 2), normal(102, 2, 2), normal(103, 5, 8)),
        (lstm_backward, "two outputs, four gates"),
        {
            "new cell for old": (lambda dy, c: lstm_backward(dy, c, "forget"), "c_t in place of c_{t−1}"),
            "gradient of the cell missing": (lambda dy, c: lstm_backward(dy, c, "cell"), "only h has a cotangent"),
        },
    ),
    *family(
        "recurrent network",
        recurrent,
        lambda: (normal(104, 5, 2), 0.5 * normal(105, 2, 2)),
        (recurrent_backward, "five steps back"),
        {"last step only": (lambda dy, c: recurrent_backward(dy, c, 1), "nothing flows back in time")},
    ),
    *family(
        "dropout",
        dropout,
        lambda: (normal(106, 4, 5), np.random.default_rng(5)),
        (lambda dy, mask: dy * mask, "random, from a generator among the inputs"),
        {
            "scale missing": (lambda dy, mask: dy * (mask > 0), "1/(1 − p) in forward only"),
            "mask missing": (lambda dy, mask: dy, "as at test time"),
        },
    ),
]
