"""One update: forward, backward, clipping, optimizer; and nothing at all where a number is not finite."""

import math

import numpy as np
import pytest

from engine.layer import Layer, Parameter
from engine.training.adamw import AdamW
from engine.training.step import NotFinite, global_norm, update
from layers.networks import WaveNetwork, WaveNetworkConfig
from layers.networks.text_classifier import example_batch


class Dot(Layer):
    """The loss ⟨weight, batch⟩, whose gradient is the batch; it remembers how it was called."""

    def __init__(self, weight):
        self.weight = Parameter(np.array(weight))
        self.calls = []

    def loss_forward(self, batch, train=False, rng=None):
        self.calls.append((train, rng))
        return np.sum(self.weight.value * batch), batch

    def loss_backward(self, cache, dloss=1.0):
        self.weight.accumulate(dloss * cache)


class Descent:
    """An optimizer that takes scaled gradients away as they are."""

    def __init__(self, parameters):
        self.parameters, self.calls = parameters, []

    def step(self, learning_rate, scale):
        self.calls.append((learning_rate, scale))
        for parameter in self.parameters.values():
            parameter.value = parameter.value - learning_rate * scale * parameter.grad


def dot_and_descent(weight=(1.0, 2.0)):
    network = Dot(weight)
    return network, Descent(network.parameters())


@pytest.mark.parametrize("clip_norm, scale", [(0.0, 1.0), (10.0, 1.0), (5.0, 1.0), (1.0, 0.2)])
def test_the_gradient_is_clipped_by_its_norm_and_taken_once(clip_norm, scale):
    network, optimizer = dot_and_descent()
    batch = np.array([3.0, 4.0])
    done = update(network, optimizer, batch, None, 0.1, clip_norm)
    assert done.loss == 11 and done.norm == 5 and done.cache is batch, "the norm is that before clipping"
    assert optimizer.calls == [(0.1, scale)]
    np.testing.assert_allclose(network.weight.value, np.array([1.0, 2.0]) - 0.1 * scale * batch, rtol=1e-15)


def test_it_trains_with_the_generator_that_it_is_given():
    network, optimizer = dot_and_descent()
    rng = np.random.default_rng(0)
    update(network, optimizer, np.ones(2), rng, 0.1, 0.0)
    assert network.calls == [(True, rng)]


def test_the_gradients_of_an_earlier_batch_are_forgotten():
    network, optimizer = dot_and_descent()
    network.weight.grad = np.array([1e6, np.nan])
    assert update(network, optimizer, np.array([0.0, 2.0]), None, 0.1, 0.0).norm == 2


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_before_backward(loss):
    network, optimizer = dot_and_descent()
    network.weight.grad = kept = np.array([7.0, 8.0])
    batch = np.array([loss, 1.0])
    with pytest.raises(NotFinite, match=f"^the loss is {loss}$") as raised:
        update(network, optimizer, batch, None, 0.1, 1.0)
    assert raised.value.what == f"the loss is {loss}" and raised.value.cache is batch
    assert network.weight.grad is kept and optimizer.calls == [] and network.weight.value.tolist() == [1, 2]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_stops_before_the_update(bad):
    network, optimizer = dot_and_descent()
    network.loss_backward = lambda cache: network.weight.accumulate(np.array([1.0, bad]))
    with pytest.raises(NotFinite, match=f"^the norm of the gradient is {bad}$") as raised:
        update(network, optimizer, np.ones(2), None, 0.1, 1.0)
    assert raised.value.what == f"the norm of the gradient is {bad}" and raised.value.cache is None
    assert optimizer.calls == [] and network.weight.value.tolist() == [1, 2]


def test_not_finite_is_an_arithmetic_error():
    with pytest.raises(ArithmeticError):
        raise NotFinite("the loss is nan", None)


@pytest.mark.parametrize("clip_norm", [0.0, 1e-3])
def test_updates_of_a_wave_network_are_those_written_out(clip_norm):
    def network():
        return WaveNetwork(WaveNetworkConfig(dimension=6, hidden=6, dropout=0.2, label_smoothing=0.1), 9, 3)

    short, long = network(), network()
    optimizers = [AdamW(n.parameters(), weight_decay=0.01) for n in (short, long)]
    for step in range(3):
        batch = example_batch(9, 3, [1, 4, 0, 7], step)
        done = update(short, optimizers[0], batch, np.random.default_rng(step), 0.01, clip_norm)
        loss, cache = long.loss_forward(batch, train=True, rng=np.random.default_rng(step))
        long.zero_grad()
        long.loss_backward(cache)
        norm = global_norm(long.parameters())
        optimizers[1].step(0.01, min(1.0, clip_norm / norm) if clip_norm else 1.0)
        assert done.loss == loss and done.norm == norm and np.array_equal(done.cache.logits, cache.logits)
    for name, parameter in short.parameters().items():
        assert np.array_equal(parameter.value, long.parameters()[name].value), name
