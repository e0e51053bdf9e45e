"""E26: a linear classifier over log-count ratios, and its gradients."""

import math

import numpy as np
import pytest
from hypothesis import given

from layers.standard.naive_bayes import GAIN, naive_bayes_forward
from layers.standard.naive_bayes import SCALE as OF_GAINS
from layers.standard.weighted_ratios import SCALE, START, weighted_ratios_backward, weighted_ratios_forward
from tests.support.device_stand_in import assert_computes_on_the_device
from tests.support.layer_laws import (
    LENGTHS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    caught,
    examples,
    offsets_of,
    random_rows,
)


def case(lengths, seed):
    """(bias, weights, ratios, offsets), of sizes that make z of order 1."""
    rng, offsets = np.random.default_rng(seed), offsets_of(lengths)
    bias, weights = random_rows(rng, 1)[0] / SCALE, random_rows(rng, offsets[-1]) / SCALE
    return bias, weights, random_rows(rng, offsets[-1]), offsets


@given(LENGTHS, SEEDS)
@examples()
def test_gradient(lengths, seed):
    bias, weights, ratios, offsets = case(lengths, seed)
    forward = lambda b, v: weighted_ratios_forward(b, v, ratios, offsets)  # noqa: E731
    assert_exact_gradients(forward, weighted_ratios_backward, bias, weights)


@pytest.mark.parametrize("wrong", ["no root", "dz of another text", "no scale", "no bias"])
def test_the_gradient_check_refuses_a_wrong_backward(wrong):
    bias, weights, ratios, offsets = case([2, 3], 0)

    def backward(dz, cache):
        cache = cache._replace(ratios=ratios) if wrong == "no root" else cache
        dbias, dweights = weighted_ratios_backward(dz[::-1] if wrong == "dz of another text" else dz, cache)
        return dbias * (wrong != "no bias"), dweights / SCALE if wrong == "no scale" else dweights

    assert caught(lambda b, v: weighted_ratios_forward(b, v, ratios, offsets), backward, bias, weights)


@given(LENGTHS, SEEDS)
@examples()
def test_forward_against_loops(lengths, seed):
    bias, weights, ratios, offsets = case(lengths, seed)
    expected = np.zeros((len(lengths), 3)) + SCALE * bias
    for t, n in enumerate(lengths):
        for p in range(offsets[t], offsets[t + 1]):
            expected[t] += ratios[p] * (START + SCALE * weights[p]) / math.sqrt(n)
    assert_equal(weighted_ratios_forward(bias, weights, ratios, offsets)[0], expected, 1e-13)


def test_at_the_start_it_is_the_shortcut_at_its_start():
    _, weights, ratios, offsets = case([2, 0, 3], 0)
    z, _ = weighted_ratios_forward(np.zeros(3), weights * 0, ratios, offsets)
    assert_equal(z, naive_bayes_forward(np.full(3, GAIN), ratios, offsets)[0], 1e-14)
    assert START == GAIN * OF_GAINS


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_no_tokens_leave_the_bias(lengths):
    bias, weights, ratios, offsets = case(lengths, 0)
    z, cache = weighted_ratios_forward(bias, weights, ratios, offsets)
    assert np.array_equal(z, np.tile(SCALE * bias, (len(lengths), 1)))
    dbias, dweights = weighted_ratios_backward(np.ones_like(z), cache)
    assert dweights.shape == (0, 3) and (dbias == SCALE * len(lengths)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_directions_stay_on_the_device(device, dtype):
    bias, weights, ratios, offsets = case([3, 0, 2], 0)
    arrays = [x.astype(dtype) for x in (bias, weights, ratios)]
    z, cache = weighted_ratios_forward(*arrays, offsets)
    assert z.dtype == dtype
    assert_computes_on_the_device(device, weighted_ratios_backward, z, cache)
    on_device, _ = weighted_ratios_forward(*device((*arrays, offsets)))
    assert np.allclose(on_device.get(), z, rtol=1e-6 if dtype == np.float32 else 1e-14)


def test_the_numbers_of_the_chapter():
    ratios, offsets = np.array([[-0.205], [0.981]]), np.array([0, 2])
    z, cache = weighted_ratios_forward(np.array([0.001]), np.array([[0.0], [0.005]]), ratios, offsets)
    np.testing.assert_allclose(z, [[0.08 + (-0.205 * 0.7 + 0.981 * 1.1) / math.sqrt(2)]], rtol=1e-14)
    dbias, dweights = weighted_ratios_backward(np.array([[-1.0]]), cache)
    np.testing.assert_allclose(dweights[:, 0], -80 * ratios[:, 0] / math.sqrt(2), rtol=1e-14)
    assert dbias.tolist() == [-80]
