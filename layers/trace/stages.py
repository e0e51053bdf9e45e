"""A Wave Network as a list of named stages, and one text's walk through them and back.

A stage makes one value from earlier ones. Its forward and backward are those of the network's own parts, but every token is
computed by itself, where the network computes equal tokens of a text once: logits, loss and parameter gradients are the
network's to rounding. What the network nests, the list lays flat: every intermediate value has a name, a gradient, and a rest
of the forward pass that starts from it. No mathematics of its own.

Dropout does not appear: it acts in training only.
"""

from functools import reduce
from operator import add
from typing import Callable, NamedTuple

import numpy as np

from layers.networks.wave_network import WaveNetwork
from layers.standard.pooling import pooling_backward, pooling_forward
from layers.standard.softmax_cross_entropy import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from layers.wave import OPERATIONS, readout_backward, readout_forward, token2wave_backward, token2wave_forward

STEP = 1e-30  # of the complex step


class Stage(NamedTuple):
    """name: of the value it makes, dotted as parameters are. title: the same for people. equation: a key of EQUATIONS.

    inputs: names of the values it takes. forward(*inputs) → (value, cache). backward(dvalue, cache) → a tuple with a gradient
    for each input; it adds to the gradients of `parameters`, a dict[str, Parameter] with names as in the network.
    """

    name: str
    title: str
    equation: str
    inputs: tuple
    forward: Callable
    backward: Callable
    parameters: dict = {}


def stages_of(network: WaveNetwork, batch):
    """The stages of a WaveNetwork for a RaggedBatch with labels, from "ids" to "loss", in the order of computation."""
    table = network.embedding
    # Token ids have no gradient.
    stages = [
        Stage(
            "embedding", "embedding rows", "embedding", ("ids",),
            table.forward, lambda d, c: (table.backward(d, c),), parameters_of(table, "embedding"),
        )
    ]  # fmt: skip
    for i, block in enumerate(network.blocks):
        title = f"{i + 1}: " if len(network.blocks) > 1 else ""
        stages += block_stages(block, f"blocks.{i}.", title, stages[-1].name, batch.offsets)
    kind = network.config.pooling
    stages.append(
        Stage(
            "pooling", "pooled vector", f"{kind} pooling", (stages[-1].name,),
            lambda x: pooling_forward(x, batch.offsets, kind), lambda d, c: (pooling_backward(d, c),),
        )
    )  # fmt: skip
    stages.append(layer_stage("classifier", "logits", "linear", "pooling", network.classifier))
    stages.append(
        Stage(
            "loss", "loss", "cross-entropy", ("classifier",),
            lambda z: softmax_cross_entropy_forward(z, batch.labels), lambda d, c: (softmax_cross_entropy_backward(d, c),),
        )
    )  # fmt: skip
    return stages


def block_stages(block, prefix, title, x, offsets):
    """The stages of a WaveBlock. x: name of its input; prefix and title: put before names and titles."""
    config = block.config

    def wave(w):
        return token2wave_forward(w, offsets, config.scope)

    def layer(name, text, equation, source, part):
        return layer_stage(prefix + name, title + text, equation, source, part)

    def function(name, text, equation, sources, forward, backward):
        return Stage(prefix + name, title + text, equation, tuple(prefix + s for s in sources), forward, backward)

    stages = [
        layer("first_variant", "first variant", "linear", x, block.first_variant),
        layer("second_variant", "second variant", "linear", x, block.second_variant),
        function("first_wave", "first wave", "token2wave", ["first_variant"], wave, lambda d, c: (token2wave_backward(d, c),)),
        function("second_wave", "second wave", "token2wave", ["second_variant"], wave, lambda d, c: (token2wave_backward(d, c),)),
        function("combined", "combined wave", config.operation, ["first_wave", "second_wave"], *OPERATIONS[config.operation]),
        function(
            "readout", "readout", f"{config.readout} readout", ["combined"],
            lambda z: readout_forward(z, config.readout), lambda d, c: (readout_backward(d, c),),
        ),
    ]  # fmt: skip
    if block.projection:
        stages.append(layer("projection", "projection", "linear", stages[-1].name, block.projection))
    if config.wave_residual:
        stages.append(sum_stage(prefix + "wave_sum", title + "readout + input", stages[-1].name, x))
    stages.append(layer("wave_norm", "normed rows", "layer norm", stages[-1].name, block.wave_norm))
    if block.feed_forward:
        stages += feed_forward_stages(block, prefix, title, config.activation)
    return stages


def feed_forward_stages(block, prefix, title, activation):
    """Linear map, activation, linear map, the residual sum and the second layer norm of a WaveBlock."""
    part, inside = block.feed_forward, prefix + "feed_forward."
    return [
        layer_stage(inside + "expand", title + "hidden rows", "linear", prefix + "wave_norm", part.expand),
        Stage(
            inside + "activation", title + "activated rows", activation, (inside + "expand",),
            part.act_forward, lambda d, c: (part.act_backward(d, c),),
        ),
        layer_stage(inside + "contract", title + "feed-forward", "linear", inside + "activation", part.contract),
        sum_stage(prefix + "feed_forward_sum", title + "feed-forward + input", prefix + "wave_norm", inside + "contract"),
        layer_stage(prefix + "feed_forward_norm", title + "normed again", "layer norm", prefix + "feed_forward_sum", block.feed_forward_norm),
    ]  # fmt: skip


def layer_stage(name, title, equation, source, layer):
    """A stage of a Layer with one input."""
    return Stage(name, title, equation, (source,), layer.forward, lambda d, c: (layer.backward(d, c),), parameters_of(layer, name))


def sum_stage(name, title, first, second):
    """A residual connection: the sum of two values, each of which receives the gradient of the sum."""
    return Stage(name, title, "sum", (first, second), lambda a, b: (a + b, None), lambda d, _: (d, d))


def parameters_of(layer, name):
    return {f"{name}.{inner}": parameter for inner, parameter in layer.parameters().items()}


class Walk:
    """One batch through the stages of a network and back; its parameters' gradients are then those of this batch.

    values, gradients: dicts by the names of the stages (and "ids"). A wave is a Wave, its gradient too.
    """

    def __init__(self, network, batch):
        self.stages = stages_of(network, batch)
        self.values, self.caches = {"ids": batch.ids}, []
        for stage in self.stages:
            self.values[stage.name], cache = stage.forward(*self.inputs_of(stage, self.values))
            self.caches.append(cache)
        network.zero_grad()
        self.gradients = {"loss": self.values["loss"].dtype.type(1.0)}
        self.walk_back()

    def inputs_of(self, stage, values):
        return [values[name] for name in stage.inputs]

    def walk_back(self):
        """Fill `gradients`. Where a value is used more than once its shares add, in the order of use, as the network adds them."""
        shares = {}
        for stage, cache in zip(reversed(self.stages), reversed(self.caches)):
            if stage.name in shares:
                self.gradients[stage.name] = reduce(add, shares[stage.name])
            for name, share in zip(stage.inputs, stage.backward(self.gradients[stage.name], cache)):
                shares[name] = [share, *shares.get(name, [])]

    def logits_with(self, name, value):
        """The logits when the value `name` is replaced and all that comes after it is computed anew."""
        first = 1 + next(i for i, stage in enumerate(self.stages) if stage.name == name)
        return self.rest({**self.values, name: value}, first)

    def logits_with_parameter(self, name, value):
        """The logits when a parameter is replaced; its own value is back in place afterwards."""
        first, parameter = next((i, s.parameters[name]) for i, s in enumerate(self.stages) if name in s.parameters)
        kept, parameter.value = parameter.value, value
        try:
            return self.rest(dict(self.values), first)
        finally:
            parameter.value = kept

    def rest(self, values, first):
        """The logits by the stages from number `first` on; `values` holds what comes before, and is filled."""
        for stage in self.stages[first:-1]:
            values[stage.name], _ = stage.forward(*self.inputs_of(stage, values))
        return values["classifier"]

    def logit_slopes(self):
        """(B, C): dL/dlogits by complex step, to rounding, from the forward of the loss alone."""
        logits, loss = self.values["classifier"], self.stages[-1]
        slopes = np.zeros_like(logits)
        for index in np.ndindex(*logits.shape):
            moved = logits.astype(np.complex128)
            moved[index] += 1j * STEP
            slopes[index] = loss.forward(moved)[0].imag / STEP
        return slopes
