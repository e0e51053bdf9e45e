"""What a network's stages are made of, and the stages that networks of all kinds have in common.

A stage makes one value from earlier ones. Its forward and backward are those of the network's own parts. What the network
nests, the list of stages lays flat: every intermediate value has a name, a gradient, and a rest of the forward pass that starts
from it. No mathematics of its own.

Dropout does not appear: it acts in training only.
"""

from typing import Callable, NamedTuple

from layers.standard.pooling import pooling_backward, pooling_forward
from layers.standard.softmax_cross_entropy import softmax_cross_entropy_backward, softmax_cross_entropy_forward


class Stage(NamedTuple):
    """name: of the value it makes, dotted as parameters are. title: the same for people. equation: a key of EQUATIONS.

    inputs: names of the values it takes. forward(*inputs) → (value, cache). backward(dvalue, cache) → a tuple with a gradient
    for each input, None for integers; it adds to the gradients of `parameters`, a dict[str, Parameter] with names as in the network.
    """

    name: str
    title: str
    equation: str
    inputs: tuple
    forward: Callable
    backward: Callable
    parameters: dict = {}


def layer_stage(name, title, equation, source, layer):
    """A stage of a Layer with one input."""
    parameters = {f"{name}.{inner}": parameter for inner, parameter in layer.parameters().items()}
    return function_stage(name, title, equation, source, layer.forward, layer.backward)._replace(parameters=parameters)


def function_stage(name, title, equation, source, forward, backward):
    """A stage of a function with one input and no parameters. backward: as written, its result is no tuple."""
    return Stage(name, title, equation, (source,), forward, lambda d, c: (backward(d, c),))


def sum_stage(name, title, first, second, equation="residual sum"):
    """The sum of two values, each of which receives the gradient of the sum."""
    return Stage(name, title, equation, (first, second), lambda a, b: (a + b, None), lambda d, _: (d, d))


def stages_of_blocks(network, source, stages_of_block):
    """The stages of all blocks. source: name of the first one's input.

    stages_of_block(block, prefix, title, source) → those of one; prefix and title are put before its names and titles.
    """
    stages = []
    for i, block in enumerate(network.blocks):
        stages += stages_of_block(block, f"blocks.{i}.", f"{i + 1}: " if len(network.blocks) > 1 else "", source)
        source = stages[-1].name
    return stages


def feed_forward_stages(block, prefix, title, source, activation):
    """Linear map, activation, linear map, the residual sum and the layer norm after it. source: name of their input."""
    part, inside = block.feed_forward, prefix + "feed_forward."
    return [
        layer_stage(inside + "expand", title + "hidden rows", "linear", source, part.expand),
        function_stage(inside + "activation", title + "activated rows", activation, inside + "expand", part.act_forward, part.act_backward),
        layer_stage(inside + "contract", title + "feed-forward", "linear", inside + "activation", part.contract),
        sum_stage(prefix + "feed_forward_sum", title + "feed-forward + input", source, inside + "contract"),
        layer_stage(prefix + "feed_forward_norm", title + "normed again", "layer norm", prefix + "feed_forward_sum", block.feed_forward_norm),
    ]


def pooling_stage(title, kind, source, offsets):
    """From the rows of a text one row."""
    return function_stage("pooling", title, f"{kind} pooling", source, lambda x: pooling_forward(x, offsets, kind), pooling_backward)


def closing_stages(network, source, labels):
    """Logits and loss. source: name of what is classified."""
    return [
        layer_stage("classifier", "logits", "linear", source, network.classifier),
        function_stage(
            "loss", "loss", "cross-entropy", "classifier", lambda z: softmax_cross_entropy_forward(z, labels), softmax_cross_entropy_backward
        ),
    ]
