"""E13: dropout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.standard.dropout import dropout_backward, dropout_forward
from tests.support.layer_laws import (
    ROWS,
    SEEDS,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    random_rows,
)

RATES = st.sampled_from([0.0, 0.1, 0.5, 0.9])


def with_seed(rate, seed):
    """dropout_forward with the same mask at every call."""
    return lambda x: dropout_forward(x, rate, np.random.default_rng(seed))


@given(st.integers(1, 5), RATES, SEEDS)
@examples()
def test_gradient(rows, rate, seed):
    x = random_rows(np.random.default_rng(seed), rows + 10)
    assert_exact_gradients(with_seed(rate, seed), dropout_backward, x)
    assert_five_point_gradients(with_seed(rate, seed), dropout_backward, x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(st.integers(0, 5), RATES, SEEDS)
@examples()
def test_an_entry_and_its_gradient_are_dropped_or_scaled_alike(dtype, rows, rate, seed):
    rng = np.random.default_rng(seed)
    x, dy = random_rows(rng, rows).astype(dtype), random_rows(rng, rows).astype(dtype)
    y, cache = with_seed(rate, seed)(x)
    dx = dropout_backward(dy, cache)
    for value, out, dout, slope in zip(x.flat, y.flat, dy.flat, dx.flat):
        kept = out != 0
        scale = dtype(1 / (1 - rate))
        assert (out, slope) == (value * scale * kept, dout * scale * kept)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_the_share_dropped_is_the_rate_and_the_mean_stays(rate):
    y, _ = dropout_forward(np.ones((1000, 200)), rate, np.random.default_rng(0))
    assert np.mean(y == 0) == pytest.approx(rate, abs=0.005)
    assert y.mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("rate, rng", [(0.5, None), (0.0, np.random.default_rng(0))])
def test_to_predict_or_with_rate_zero_it_is_the_identity(rate, rng):
    state = rng and rng.bit_generator.state
    y, cache = dropout_forward(ROWS, rate, rng)
    assert y is ROWS and dropout_backward(ROWS, cache) is ROWS
    assert state == (rng and rng.bit_generator.state), "no random number is drawn"


def test_equal_generators_drop_the_same_entries():
    x = np.ones((20, 20))
    a, b, c = (with_seed(0.5, seed)(x)[0] for seed in (1, 1, 2))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_a_wrong_rate_is_named(rate):
    with pytest.raises(ValueError, match="^rate: "):
        dropout_forward(ROWS, rate, None)


def test_a_backward_without_the_scale_is_caught():
    assert caught(with_seed(0.5, 0), lambda dy, cache: dy * (cache.scaled_mask > 0), ROWS)
