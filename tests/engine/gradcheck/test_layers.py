"""Layers and networks are checked whole, by their contract."""

import numpy as np
import pytest

from engine.gradcheck import assert_gradients, check_layer, check_network
from engine.layer import Layer, Parameter
from layers.networks import WaveNetwork, WaveNetworkConfig
from layers.networks.parts import LayerNorm, Linear
from layers.networks.text_classifier import example_batch

X = np.random.default_rng(0).normal(size=(4, 3))


class Dropout(Layer):
    """Drops half of what a weight scales; the backward may forget the mask."""

    def __init__(self, forgets=False):
        self.weight, self.forgets = Parameter(np.array([1.0, 2.0, 3.0])), forgets

    def forward(self, x, rng):
        keep = rng.random(x.shape) < 0.5
        return x * self.weight.value * keep, (x, keep)

    def backward(self, dy, cache):
        x, keep = cache
        dy = dy if self.forgets else dy * keep
        self.weight.accumulate((x * dy).sum(axis=0))
        return dy * self.weight.value


@pytest.mark.parametrize("layer", [Linear(3, 2, np.random.default_rng(0), np.float64), LayerNorm(3, np.float64)])
def test_a_sound_layer_passes_with_its_parameters_and_laws(layer):
    report = check_layer(layer, (X,), empty_inputs=(X[:0],))
    assert_gradients(report)
    names = [row.name for row in report.rows]
    assert {
        "input 0",
        *(f"parameter {name}" for name in layer.parameters()),
        "linear in the cotangent",
        "an empty batch passes",
    } <= set(names)


def test_random_layers_are_checked_with_one_mask():
    rng = np.random.default_rng(5)
    assert_gradients(check_layer(Dropout(), (X, rng)))
    assert not check_layer(Dropout(forgets=True), (X, rng)).ok


def test_laws_alone_vouch_for_nothing():
    class Absolute(Layer):
        def forward(self, x):
            return np.abs(x), x

        def backward(self, dy, x):
            return dy * np.sign(x)

    report = check_layer(Absolute(), (np.zeros((2, 3)),))
    assert report.kinks and not report.failures and not report.ok


def test_a_broken_law_fails_a_layer_with_right_gradients():
    class Writes(Linear):
        def backward(self, dy, cache):
            dx = super().backward(dy, cache)
            dy *= 1.0 + 1e-15
            return dx

    report = check_layer(Writes(3, 2, np.random.default_rng(0), np.float64), (X,))
    assert "backward leaves the cotangent untouched" in [row.name for row in report.failures]


def network(**fields):
    return WaveNetwork(
        WaveNetworkConfig(dimension=4, hidden=5, token_dropout=0.2, dropout=0.2, **fields), 9, 3, dtype=np.float64
    )


@pytest.mark.parametrize("train", [True, False])
def test_every_parameter_of_a_network_is_checked(train):
    model = network()
    report = check_network(model, example_batch(9, 3, [1, 4, 2]), train=train)
    assert_gradients(report)
    assert {f"parameter {name}" for name in model.parameters()} <= {row.name for row in report.rows}
    assert report.tolerance == 1e-12


def test_one_wrong_parameter_of_a_network_is_named(monkeypatch):
    model = network()
    layer = model.blocks[0].wave_norm
    backward = layer.backward

    def wrong(dy, cache):
        dx = backward(dy, cache)
        layer.bias.grad = 0.999 * layer.bias.grad
        return dx

    monkeypatch.setattr(layer, "backward", wrong)
    report = check_network(model, example_batch(9, 3, [1, 4, 2]))
    assert [row.name for row in report.failures if row.name.startswith("parameter")] == [
        "parameter blocks.0.wave_norm.bias"
    ]
    assert "is nearly right" in pytest.raises(AssertionError, assert_gradients, report).value.args[0]


def test_float32_networks_are_checked_as_float32():
    model = WaveNetwork(WaveNetworkConfig(dimension=4, hidden=5, embedding_scale=0.5), 9, 3)
    report = check_network(model, example_batch(9, 3, [1, 4, 2]))
    assert report.ok and report.dtype == "float32", str(report)
