"""The feed-forward part: two linear maps around an activation."""

import numpy as np
import pytest
from layers.networks.feed_forward import ACTIVATIONS, FeedForward

from engine.gradcheck import assert_gradients, check_gradients
from layers.standard.gelu import gelu_forward
from layers.standard.relu import relu_forward
from tests.support.layer_laws import assert_equal, random_rows

PLAIN = {"gelu": lambda x: gelu_forward(x)[0], "relu": lambda x: relu_forward(x)[0]}


def feed_forward(activation, dropout=0.0):
    return FeedForward(3, 7, activation, dropout, np.random.default_rng(0), np.float64)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradient(activation, dropout):
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
def test_is_what_its_equation_says(activation):
    layer, x = feed_forward(activation), random_rows(np.random.default_rng(1), 5)
    layer.expand.bias.value += 0.5
    hidden = PLAIN[activation](x @ layer.expand.weight.value + layer.expand.bias.value)
    assert_equal(layer.forward(x)[0], hidden @ layer.contract.weight.value + layer.contract.bias.value, 1e-14)


def test_dropout_acts_on_the_hidden_layer_only_with_a_generator():
    layer, x = feed_forward("gelu", 0.5), random_rows(np.random.default_rng(1), 5)
    assert_equal(layer.forward(x)[0], feed_forward("gelu", 0.0).forward(x)[0])
    assert not np.allclose(layer.forward(x, np.random.default_rng(0))[0], layer.forward(x)[0])
