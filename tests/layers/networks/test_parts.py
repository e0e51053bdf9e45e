"""Parts of networks: parameters, initial values, accumulated gradients, and the feed-forward part as a whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gradcheck import assert_gradients, check_gradients
from engine.layer import RowSparse
from layers.equations import EQUATIONS
from layers.fast import FUNCTIONS
from layers.networks.configs import ACTIVATIONS
from layers.networks.parts import Embedding, FeedForward, LayerNorm, Linear, normal, twin
from layers.standard.gelu import gelu_forward
from layers.standard.layer_norm import layer_norm_backward, layer_norm_forward
from layers.standard.linear import linear_backward
from layers.standard.relu import relu_forward
from tests.support.layer_laws import ROWS, SEEDS, assert_equal, examples, random_rows

IDS = st.lists(st.integers(0, 6), max_size=20).map(lambda ids: np.array(ids, np.int64))
PLAIN = {"gelu": lambda x: gelu_forward(x)[0], "relu": lambda x: relu_forward(x)[0]}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (70_000, 3), (3, 70_000)])
def test_initial_values_are_one_stream(shape, dtype):
    """Drawn in blocks they are the numbers that one draw gives, bit for bit."""
    expected = (np.random.default_rng(3).standard_normal(shape) * 0.3 / np.sqrt(shape[1])).astype(dtype)
    found = normal(np.random.default_rng(3), shape, dtype, 0.3, np.sqrt(shape[1]))
    assert found.dtype == dtype and np.array_equal(found, expected)


def test_parameters_without_values_take_no_memory():
    table = Embedding(10**7, 10**4, None).table.value
    assert table.shape == (10**7, 10**4) and table.dtype == np.float32 and not table.flags.writeable


def test_rows_that_do_not_occur_have_no_gradient():
    layer = Embedding(1000, 2, np.random.default_rng(0), np.float64)
    y, cache = layer.forward(np.array([5, 900, 5]))
    layer.backward(np.ones_like(y), cache)
    assert isinstance(layer.table.grad, RowSparse)
    assert layer.table.grad.rows.tolist() == [5, 900] and layer.table.grad.values.tolist() == [[2, 2], [1, 1]]


@given(IDS, IDS, SEEDS)
@examples()
def test_an_embedding_accumulates_over_batches(first, second, seed):
    layer, rng = Embedding(7, 3, np.random.default_rng(0), np.float64), np.random.default_rng(seed)
    dense = np.zeros((7, 3))
    for ids in (first, second):
        y, cache = layer.forward(ids)
        dy = rng.standard_normal(y.shape)
        layer.backward(dy, cache)
        np.add.at(dense, ids, dy)
    assert_equal(layer.table.dense_grad(), dense, 1e-15)
    assert layer.table.grad.rows.tolist() == sorted({*first.tolist(), *second.tolist()})


def test_initial_embeddings_have_the_scale_asked_for():
    table = Embedding(1000, 50, np.random.default_rng(0), scale=0.02).table.value
    assert table.std() == pytest.approx(0.02, rel=0.02) and table.dtype == np.float32


def test_a_layer_norm_starts_with_gain_1_and_bias_0():
    layer = LayerNorm(2, np.float64)
    y, cache = layer.forward(ROWS)
    for _ in range(2):
        dx = layer.backward(ROWS, cache)
    normed, norm_cache = layer_norm_forward(ROWS, np.ones(2), np.zeros(2))
    expected = layer_norm_backward(ROWS, norm_cache)
    assert_equal(y, normed)
    assert_equal((dx, layer.gain.grad, layer.bias.grad), (expected[0], 2 * expected[1], 2 * expected[2]))
    assert not layer.gain.decay and not layer.bias.decay


def test_a_linear_map_accumulates_into_its_parameters():
    layer = Linear(2, 3, np.random.default_rng(0), np.float64)
    y, cache = layer.forward(ROWS)
    for _ in range(2):
        dx = layer.backward(y, cache)
    expected = linear_backward(y, cache)
    assert_equal((dx, layer.weight.grad, layer.bias.grad), (expected[0], 2 * expected[1], 2 * expected[2]))
    assert layer.weight.decay and not layer.bias.decay


def test_a_linear_map_without_bias_has_one_parameter():
    layer = Linear(2, 3, np.random.default_rng(0), np.float64, bias=False)
    y, cache = layer.forward(ROWS)
    layer.backward(y, cache)
    assert list(layer.parameters()) == ["weight"]
    assert_equal(y, ROWS @ layer.weight.value)


def test_initial_weights_keep_the_scale():
    layer = Linear(400, 300, np.random.default_rng(0))
    y, _ = layer.forward(np.random.default_rng(1).standard_normal((200, 400)).astype(np.float32))
    assert y.std() == pytest.approx(1.0, rel=0.05) and not layer.bias.value.any()


# --- feed-forward ------------------------------------------------------------------------------------------------


def feed_forward(activation, dropout=0.0):
    return FeedForward(3, 7, activation, dropout, np.random.default_rng(0), np.float64)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradient_of_a_feed_forward_part(activation, dropout):
    layer, x = feed_forward(activation, dropout), random_rows(np.random.default_rng(1), 5)
    report = check_gradients(
        lambda x: layer.forward(x, np.random.default_rng(2)),
        layer.backward,
        (x,),
        parameters=layer.parameters(),
        tolerance=1e-12,
    )
    assert_gradients(report)
    assert report.worst.method == "complex_step"


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_feed_forward_part_is_what_its_equation_says(activation):
    layer, x = feed_forward(activation), random_rows(np.random.default_rng(1), 5)
    layer.expand.bias.value += 0.5
    hidden = PLAIN[activation](x @ layer.expand.weight.value + layer.expand.bias.value)
    assert_equal(layer.forward(x)[0], hidden @ layer.contract.weight.value + layer.contract.bias.value, 1e-14)


def test_dropout_acts_on_the_hidden_layer_only_with_a_generator():
    layer, x = feed_forward("gelu", 0.5), random_rows(np.random.default_rng(1), 5)
    assert_equal(layer.forward(x)[0], feed_forward("gelu", 0.0).forward(x)[0])
    assert not np.allclose(layer.forward(x, np.random.default_rng(0))[0], layer.forward(x)[0])


# --- functions ---------------------------------------------------------------------------------------------------


def test_use_reaches_all_inner_parts():
    layer = feed_forward("gelu")
    layer.use(FUNCTIONS["fast"])
    assert {part.functions for part in (layer, layer.expand, layer.contract)} == {FUNCTIONS["fast"]}
    assert Linear(2, 3, np.random.default_rng(0)).functions.pairs.items() >= EQUATIONS.pairs.items()


def test_a_twin_shares_values_and_has_gradients_of_its_own():
    layer = feed_forward("gelu")
    other = twin(layer, FUNCTIONS["fast"], FeedForward)
    y, cache = other.forward(random_rows(np.random.default_rng(1), 5))
    other.backward(y, cache)
    for name, parameter in layer.parameters().items():
        same = other.parameters()[name]
        assert same.value is parameter.value and same.decay == parameter.decay
        assert parameter.grad is None and same.grad is not None
    assert other.expand.functions is FUNCTIONS["fast"] and layer.expand.functions is not FUNCTIONS["fast"]
