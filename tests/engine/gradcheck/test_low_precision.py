"""Functions of float32 and float16, checked as they are."""

import numpy as np
import pytest

from engine.gradcheck import check_gradients
from tests.support.known_gradients import (
    absolute,
    absolute_backward,
    matmul,
    matmul_backward,
    relu,
    relu_backward,
    softmax,
    softmax_backward,
    tanh,
    tanh_backward,
    times_conjugate,
    times_conjugate_backward,
)


def layer_norm(x):
    centred = x - x.mean(-1, keepdims=True)
    r = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + x.dtype.type(1e-3))
    return centred * r, (centred * r, r)


def layer_norm_backward(dy, cache):
    normed, r = cache
    return r * (dy - dy.mean(-1, keepdims=True) - normed * (dy * normed).mean(-1, keepdims=True))


def norms(x):
    return np.sqrt((x * x).sum(-1)), x


def sigmoid(x):
    y = 1 / (1 + np.exp(-x))
    return y, y


def cross_entropy(x):
    p = softmax(x)[0]
    return -np.log(p[:, 0]).mean(), p


def cross_entropy_backward(dy, p):
    return dy * (p - np.eye(p.shape[1], dtype=p.dtype)[0]) / p.dtype.type(len(p))


def two_maps(x, w, v):
    y = np.tanh(x @ w)
    return y @ v, (x, w, v, y)


def two_maps_backward(dy, cache):
    x, w, v, y = cache
    dz = dy @ v.T * (1 - y * y)
    return dz @ w.T, x.T @ dz, y.T @ dy


def complex_pair(rng):
    return tuple(rng.normal(size=4) + 1j * rng.normal(size=4) for _ in range(2))


KINDS = {
    "tanh": (tanh, tanh_backward, lambda rng: (rng.normal(size=(4, 5)),)),
    "matrix product": (matmul, matmul_backward, lambda rng: (rng.normal(size=(4, 5)), rng.normal(size=(5, 3)))),
    "softmax": (softmax, softmax_backward, lambda rng: (2 * rng.normal(size=(3, 6)),)),
    "layer norm": (layer_norm, layer_norm_backward, lambda rng: (rng.normal(size=(3, 8)),)),
    "ReLU": (relu, relu_backward, lambda rng: (rng.normal(size=(6, 6)),)),
    "sum of squares": (lambda x: ((x * x).sum(), x), lambda dy, x: 2 * dy * x, lambda rng: (rng.normal(size=12),)),
    "exp": (lambda x: (np.exp(x), np.exp(x)), lambda dy, y: dy * y, lambda rng: (2 * rng.normal(size=9),)),
    "norms": (
        norms,
        lambda dy, x: dy[..., None] * x / np.sqrt((x * x).sum(-1, keepdims=True)),
        lambda rng: (rng.normal(size=(4, 5)),),
    ),
    "absolute value": (absolute, absolute_backward, lambda rng: (rng.normal(size=(4, 5)),)),
    "log": (lambda x: (np.log(x), x), lambda dy, x: dy / x, lambda rng: (rng.uniform(0.1, 3.0, size=7),)),
    "sigmoid": (sigmoid, lambda dy, y: dy * y * (1 - y), lambda rng: (2 * rng.normal(size=(5, 5)),)),
    "cross-entropy": (cross_entropy, cross_entropy_backward, lambda rng: (rng.normal(size=(4, 5)),)),
    "complex product": (times_conjugate, times_conjugate_backward, complex_pair),
    "two maps": (
        two_maps,
        two_maps_backward,
        lambda rng: (rng.normal(size=(3, 4)), rng.normal(size=(4, 5)), rng.normal(size=(5, 2))),
    ),
}


def inputs_of(name, dtype, seed):
    """Random inputs in a type; None where there is no complex type that goes with it."""
    inputs = KINDS[name][2](np.random.default_rng([seed, 7]))
    if inputs[0].dtype.kind == "c":
        return tuple(x.astype(np.complex64) for x in inputs) if dtype is np.float32 else None
    return tuple(x.astype(dtype) for x in inputs)


@pytest.mark.parametrize("method", ["auto", "five_point"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("name", KINDS)
def test_right_gradients_pass(name, dtype, method, seeds=3):
    forward, backward, _ = KINDS[name]
    for seed in range(seeds):
        inputs = inputs_of(name, dtype, seed)
        if inputs is not None:
            report = check_gradients(forward, backward, inputs, method=method, seed=seed)
            assert report.ok, f"seed {seed}: {report}"
            assert report.dtype in (np.dtype(dtype).name, "complex64")


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["auto", "five_point"])
@pytest.mark.parametrize("dtype, seeds", [(np.float32, 380), (np.float16, 400)])
@pytest.mark.parametrize("name", KINDS)
def test_of_many_right_gradients_none_fails(name, dtype, seeds, method):
    test_right_gradients_pass(name, dtype, method, seeds)


@pytest.mark.parametrize("dtype, factor", [(np.float32, 1.1), (np.float16, 2.0)])
@pytest.mark.parametrize("name", KINDS)
def test_wrong_gradients_fail(name, dtype, factor, seeds=1):
    forward, backward, _ = KINDS[name]

    def wrong(dy, cache):
        found = backward(dy, cache)
        parts = found if isinstance(found, tuple) else (found,)
        return tuple((factor * part).astype(part.dtype) for part in parts)

    for seed in range(seeds):
        inputs = inputs_of(name, dtype, seed)
        if inputs is not None:
            assert check_gradients(forward, wrong, inputs, seed=seed).failures


@pytest.mark.thorough
@pytest.mark.parametrize("dtype, factor", [(np.float32, 1.1), (np.float16, 2.0)])
@pytest.mark.parametrize("name", KINDS)
def test_of_many_wrong_gradients_none_passes(name, dtype, factor):
    test_wrong_gradients_fail(name, dtype, factor, seeds=3)
