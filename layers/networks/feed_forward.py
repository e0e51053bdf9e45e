"""A feed-forward part: linear map, activation, dropout, linear map. A composition: no mathematics of its own."""

from typing import NamedTuple

import numpy as np

from engine.layer import Layer
from layers.standard.dropout import dropout_backward, dropout_flops, dropout_forward
from layers.standard.gelu import computes_again, gelu_backward, gelu_flops, gelu_forward
from layers.standard.linear import Linear
from layers.standard.relu import relu_backward, relu_flops, relu_forward

ACTIVATIONS = {"gelu": (gelu_forward, gelu_backward, gelu_flops), "relu": (relu_forward, relu_backward, relu_flops)}


class Cache(NamedTuple):
    expand: tuple
    activation: tuple
    dropout: tuple
    contract: tuple


class FeedForward(Layer):
    """z = dropout(act(x·U₁ + c₁))·U₂ + c₂. x, z: (T, d); U₁: (d, hidden), U₂: (hidden, d)."""

    def __init__(self, dimension, hidden, activation, dropout, rng, dtype=np.float32):
        self.expand = Linear(dimension, hidden, rng, dtype)
        self.contract = Linear(hidden, dimension, rng, dtype)
        self.act_forward, self.act_backward, self.act_flops = ACTIVATIONS[activation]
        self.dropout = dropout

    def forward(self, x, rng=None, add_bias=True):
        """x: (T, d); rng: dropout's generator, None to predict → z: (T, d), and the cache.

        add_bias: False where whoever takes z adds c₂; its gradient is the same.
        """
        y, expand = self.expand.forward(x, add_bias=False)
        y, activation = self.act_forward(y, self.expand.bias.value)
        y, dropout = dropout_forward(y, self.dropout, rng)
        z, contract = self.contract.forward(y, add_bias)
        if computes_again(activation) and dropout.scaled_mask is None:
            contract = contract._replace(x=None)  # of a device's memory
        return z, Cache(expand, activation, dropout, contract)

    def backward(self, dz, cache, onto=None):
        """dz: (T, d) → dx: (T, d). onto: as in linear_backward; it may be dz."""
        contract = cache.contract
        if contract.x is None:
            contract = contract._replace(x=self.act_forward(*cache.activation)[0])
        dy = self.contract.backward(dz, contract)
        dy = dropout_backward(dy, cache.dropout)
        dy = self.act_backward(dy, cache.activation)
        return self.expand.backward(dy, cache.expand, onto)

    def flops(self, rows, drops=False):
        """Flops of forward and backward for (rows, d). drops: whether forward is given a generator."""
        hidden = len(self.expand.bias.value)
        activation = self.act_flops(rows, hidden, bias=True)  # which the first map leaves to it
        dropout = dropout_flops(rows, hidden, self.dropout if drops else 0)
        return self.expand.flops(rows, add_bias=False) + activation + dropout + self.contract.flops(rows)
