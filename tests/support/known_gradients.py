"""Function pairs whose gradients are known, as the tests of the gradient checker use them."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from engine.arrays.ragged import segment_sum, spread
from engine.layer import Parameter, sum_rows

SEEDS = st.integers(0, 2**32 - 1)


class Pair(NamedTuple):
    re: np.ndarray
    im: np.ndarray


def normal(seed, *shape, scale=1.0):
    return np.random.default_rng(seed).normal(size=shape) * scale


def complex_normal(seed, *shape):
    return normal(seed, *shape) + 1j * normal(seed + 1, *shape)


def matmul(a, b):
    return a @ b, (a, b)


def matmul_backward(dy, cache):
    a, b = cache
    return dy @ b.T, a.T @ dy


def tanh(x):
    y = np.tanh(x)
    return y, y


def tanh_backward(dy, y):
    return dy * (1.0 - y**2)


def softmax(x):
    e = np.exp(x - x.real.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    return y, y


def softmax_backward(dy, y):
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def times_conjugate(a, b):
    return a * np.conj(b), (a, b)


def times_conjugate_backward(dz, cache):
    a, b = cache
    return dz * b, np.conj(dz) * a


def modulate(a, b):
    return Pair(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re), (a, b)


def modulate_backward(dz, cache):
    a, b = cache
    da = Pair(dz.re * b.re + dz.im * b.im, dz.im * b.re - dz.re * b.im)
    db = Pair(dz.re * a.re + dz.im * a.im, dz.im * a.re - dz.re * a.im)
    return da, db


def half_square_loss(x):
    return 0.5 * np.sum(x * x), x


def half_square_loss_backward(dy, x):
    return dy * x


def ragged_norm(w, offsets):
    """Norm of each text and column, differentiable where no column is zero."""
    norms = np.sqrt(segment_sum(w * w, offsets))
    return norms, (w, norms, offsets)


def ragged_norm_backward(dy, cache):
    w, norms, offsets = cache
    return w * spread(dy / norms, offsets)


def absolute(x):
    return np.abs(x), x


def absolute_backward(dy, x):
    return dy * np.sign(x)


def relu(x):
    return np.where(x.real > 0.0, x, 0.0 * x), x.real > 0.0


def relu_backward(dy, positive):
    return dy * positive


class TableAndBias:
    """Rows of a table plus a bias; the table's gradient is row-sparse. No input is differentiated."""

    def __init__(self, seed=0):
        self.table, self.bias = Parameter(normal(seed, 5, 3)), Parameter(normal(seed + 1, 3))

    def parameters(self):
        return {"table": self.table, "bias": self.bias}

    def forward(self, ids):
        return np.tanh(self.table.value[ids] + self.bias.value), (ids, np.tanh(self.table.value[ids] + self.bias.value))

    def backward(self, dy, cache):
        ids, y = cache
        inner = dy * (1.0 - y**2)
        self.table.accumulate(sum_rows(ids, inner))
        self.bias.accumulate(inner.sum(axis=0))


class Linear:
    """x·W, with W a parameter and x an input."""

    def __init__(self, weight):
        self.weight = Parameter(weight)

    def forward(self, x):
        return x @ self.weight.value, x

    def backward(self, dy, x):
        self.weight.accumulate(x.T @ dy)
        return dy @ self.weight.value.T


OFFSETS = np.array([0, 2, 2, 5], np.int64)
RIGHT = {
    "matmul": (matmul, matmul_backward, lambda s: (normal(s, 4, 3), normal(s + 1, 3, 2)), "complex_step"),
    "tanh": (tanh, tanh_backward, lambda s: (normal(s, 3, 4),), "complex_step"),
    "softmax": (softmax, softmax_backward, lambda s: (normal(s, 3, 4),), "complex_step"),
    "conjugate": (
        times_conjugate,
        times_conjugate_backward,
        lambda s: (complex_normal(s, 3), complex_normal(s + 2, 3)),
        "five_point",
    ),
    "pair": (
        modulate,
        modulate_backward,
        lambda s: (Pair(normal(s, 3, 2), normal(s + 1, 3, 2)), Pair(normal(s + 2, 3, 2), normal(s + 3, 3, 2))),
        "complex_step",
    ),
    "loss": (half_square_loss, half_square_loss_backward, lambda s: (normal(s, 4),), "complex_step"),
    "ragged": (ragged_norm, ragged_norm_backward, lambda s: (normal(s, 5, 2), OFFSETS), "complex_step"),
    "absolute": (absolute, absolute_backward, lambda s: (normal(s, 6),), "five_point"),
}
SCALES = st.integers(-15, 15).map(lambda e: 10.0**e)
