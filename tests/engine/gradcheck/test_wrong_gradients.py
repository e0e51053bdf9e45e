"""Negative controls: what is wrong is caught."""

import numpy as np
import pytest
from hypothesis import given

from engine.gradcheck import assert_gradients, check_gradients
from tests.support.examples import examples
from tests.support.known_gradients import (
    RIGHT,
    SCALES,
    SEEDS,
    Linear,
    Pair,
    TableAndBias,
    half_square_loss,
    matmul,
    matmul_backward,
    modulate,
    modulate_backward,
    normal,
    ragged_norm,
    ragged_norm_backward,
    softmax,
    softmax_backward,
    tanh,
    tanh_backward,
    times_conjugate,
)

# The empty text of OFFSETS has norm 0: spread() never reads the 0/0 that its dy / norms would be.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:divide by zero:RuntimeWarning")


def off_in_small_block(relative):
    """x·W + b with b 1e-6 of the rest, and the gradient of b off by a relative amount."""

    def forward(x, w, b):
        return x @ w + b, (x, w)

    def backward(dy, cache):
        x, w = cache
        return dy @ w.T, x.T @ dy, dy.sum(axis=0) * (1.0 + relative)

    return forward, backward, lambda s: (normal(s, 40, 6), normal(s + 1, 6, 2), normal(s + 2, 2, scale=1e-6))


def row_mean(x):
    return x - x.mean(axis=0, keepdims=True), x.shape


def stale(forward, backward):
    """forward that hands out the cache of its first call ever: of another point."""
    kept = []

    def stale_forward(*inputs):
        y, cache = forward(*inputs)
        if not kept:
            kept.append(forward(*(x + 0.1 for x in inputs))[1])
        return y, kept[0]

    return stale_forward, backward


def cache_on_the_side():
    """A function that keeps its cache to itself, so that the latest call wins."""
    state = {}

    def forward(x):
        state["y"] = np.tanh(x)
        return state["y"], None

    return forward, lambda dy, _: tanh_backward(dy, state["y"])


def conjugate_missing(dz, cache):
    a, b = cache
    return dz * np.conj(b), np.conj(dz) * a


def pair_conjugate_missing(dz, cache):
    a, b = cache
    return Pair(dz.re * b.re - dz.im * b.im, dz.im * b.re + dz.re * b.im), modulate_backward(dz, cache)[1]


def wrong_segment(dy, cache):
    w, norms, offsets = cache
    return ragged_norm_backward(dy, (w, norms, np.array([0, 3, 3, 5], np.int64)))


def one_entry_off(dy, y):
    dx = tanh_backward(dy, y)
    dx[1, 2] *= 1.0 + 1e-9
    return dx


def square_inputs(s):
    return normal(s, 3, 3), normal(s + 1, 3, 3)


WRONG = {
    "wrong sign": (tanh, lambda dy, y: -tanh_backward(dy, y), RIGHT["tanh"][2]),
    "missing term": (softmax, lambda dy, y: y * dy, RIGHT["softmax"][2]),
    "missing factor": (half_square_loss, lambda dy, x: 0.5 * dy * x, RIGHT["loss"][2]),
    "cotangent forgotten": (half_square_loss, lambda dy, x: x, RIGHT["loss"][2]),
    "missing conjugate": (times_conjugate, conjugate_missing, RIGHT["conjugate"][2]),
    "missing conjugate of a pair": (modulate, pair_conjugate_missing, RIGHT["pair"][2]),
    "wrong axis": (row_mean, lambda dy, _: dy - dy.mean(axis=1, keepdims=True), lambda s: (normal(s, 4, 4),)),
    "wrong segment": (ragged_norm, wrong_segment, RIGHT["ragged"][2]),
    "stale cache": (*stale(tanh, tanh_backward), RIGHT["tanh"][2]),
    "cache on the side": (*cache_on_the_side(), RIGHT["tanh"][2]),
    "1e-6 off in one small block": off_in_small_block(1e-6),
    "1e-9 off": (tanh, lambda dy, y: tanh_backward(dy, y) * (1.0 + 1e-9), RIGHT["tanh"][2]),
    "1e-9 off in one entry": (tanh, one_entry_off, RIGHT["tanh"][2]),
    "transposed": (matmul, lambda dy, c: (matmul_backward(dy, c)[0].T, matmul_backward(dy, c)[1]), square_inputs),
    "swapped": (matmul, lambda dy, c: matmul_backward(dy, c)[::-1], square_inputs),
    "zero": (tanh, lambda dy, y: 0.0 * y, RIGHT["tanh"][2]),
    "same blindness as complex step": (
        lambda x: (x * np.abs(x), x),
        lambda dy, x: dy * np.abs(x),
        RIGHT["absolute"][2],
    ),
}


@pytest.mark.parametrize("name", WRONG)
@examples(25)
@given(seed=SEEDS)
def test_wrong_gradients_are_caught(name, seed):
    forward, backward, inputs = WRONG[name]
    report = check_gradients(forward, backward, inputs(seed % 1000), seed=seed)
    assert report.failures and not report.ok, str(report)
    with pytest.raises(AssertionError, match="FAIL"):
        assert_gradients(report)


GROSS = sorted(set(WRONG) - {"1e-9 off", "1e-9 off in one entry", "1e-6 off in one small block"})


@pytest.mark.parametrize("name", GROSS)
@examples(20)
@given(seed=SEEDS)
def test_wrong_gradients_are_caught_by_five_point_alone(name, seed):
    forward, backward, inputs = WRONG[name]
    report = check_gradients(forward, backward, inputs(seed % 1000), seed=seed, method="five_point")
    assert report.failures, str(report)


@examples(40)
@given(SEEDS, SCALES, SCALES)
def test_wrong_sign_is_caught_at_every_scale_of_the_blocks(seed, left, right):
    inputs = (normal(seed, 4, 3, scale=left), normal(seed + 1, 3, 2, scale=right))
    report = check_gradients(matmul, lambda dy, c: (dy @ c[1].T, -c[0].T @ dy), inputs, seed=seed)
    assert {row.name for row in report.failures} >= {"input 1"}, str(report)
    assert "input 0" not in {row.name for row in report.failures}


def test_gradient_of_an_entry_far_smaller_than_its_block_is_seen():
    def slightly_wrong(dy, y):
        return tanh_backward(dy, y) * (1.0 + 1e-8 * np.array([0.0, 1.0, 0.0, 0.0]))

    assert check_gradients(tanh, slightly_wrong, (np.array([1.0, 1e-4, -1.0, 0.5]),)).failures


def test_small_block_is_found_by_its_own_direction_only():
    forward, backward, inputs = off_in_small_block(1e-3)
    report = check_gradients(forward, backward, inputs(0), method="five_point", tolerance=1e-6)
    assert [row.name for row in report.failures] == ["input 2"], str(report)


def test_parameter_whose_gradient_is_never_accumulated():
    layer = TableAndBias()
    layer.bias.accumulate = lambda grad: None
    report = check_gradients(layer.forward, layer.backward, (np.array([0, 2]),), parameters=layer.parameters())
    assert "parameter bias" in {row.name for row in report.failures}
    assert "parameter table" not in {row.name for row in report.failures}


def test_gradient_left_from_before_is_not_counted():
    layer = Linear(normal(1, 3, 2))
    layer.weight.grad = np.full((3, 2), 100.0)
    assert check_gradients(layer.forward, layer.backward, (normal(0, 4, 3),), parameters={"weight": layer.weight}).ok


def test_the_gradient_by_an_input_without_influence_is_zero():
    def forward(x, unused):
        return 2.0 * x, None

    inputs = (normal(0, 3), normal(1, 3))
    assert check_gradients(forward, lambda dy, _: (2.0 * dy, 0.0 * dy), inputs).ok
    report = check_gradients(forward, lambda dy, _: (2.0 * dy, dy), inputs)
    row = next(row for row in report.rows if row.name == "input 1")
    assert row.verdict == "FAIL" and row.numeric == 0.0 and row.relative_error == np.inf


def test_softmax_is_not_blind():
    """An all-ones cotangent would make every softmax gradient vanish."""
    seen = []

    def backward(dy, y):
        seen.append(dy)
        return softmax_backward(dy, y)

    report = check_gradients(softmax, backward, (normal(0, 3, 4),))
    assert report.ok and all(abs(row.numeric) > 1e-4 for row in report.rows)
    dy = seen[0]
    assert np.std(dy) > 0.1 * np.abs(dy).max() and np.abs(dy).min() >= 0.1 / np.sqrt(dy.size)
