"""What a network's stages are made of, and the stages that networks of all kinds have in common.

A stage makes one value from earlier ones. Its forward and backward are those of the network's own parts. What the network
nests, the list of stages lays flat: every intermediate value has a name, a gradient, and a rest of the forward pass that starts
from it. No mathematics of its own.

Dropout does not appear: it acts in training only.

A Wave Network as a list of named stages. No mathematics of its own.

Every token is computed by itself, where the network computes equal tokens of a text once: logits, loss and parameter gradients
are the network's to rounding.

A Transformer as a list of named stages. No mathematics of its own.

Logits, loss and parameter gradients are the network's to rounding: the layer norms' sums are stages of their own here.
"""

from typing import Callable, NamedTuple

from layers.networks import PlannedWaveNetwork as WaveNetwork
from layers.networks.transformer import Transformer
from layers.standard.attention import attention_backward, attention_forward
from layers.standard.pooling import pooling_backward, pooling_forward
from layers.standard.softmax_cross_entropy import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from layers.standard.tanh import tanh_backward, tanh_forward
from layers.wave import OPERATIONS, readout_backward, readout_forward, token2wave_backward, token2wave_forward


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
        function_stage(
            inside + "activation",
            title + "activated rows",
            activation,
            inside + "expand",
            part.act_forward,
            part.act_backward,
        ),
        layer_stage(inside + "contract", title + "feed-forward", "linear", inside + "activation", part.contract),
        sum_stage(prefix + "feed_forward_sum", title + "feed-forward + input", source, inside + "contract"),
        layer_stage(
            prefix + "feed_forward_norm",
            title + "normed again",
            "layer norm",
            prefix + "feed_forward_sum",
            block.feed_forward_norm,
        ),
    ]


def pooling_stage(title, kind, source, offsets):
    """From the rows of a text one row."""
    return function_stage(
        "pooling", title, f"{kind} pooling", source, lambda x: pooling_forward(x, offsets, kind), pooling_backward
    )


def closing_stages(network, source, labels):
    """Logits and loss. source: name of what is classified."""
    return [
        layer_stage("classifier", "logits", "linear", source, network.classifier),
        function_stage(
            "loss",
            "loss",
            "cross-entropy",
            "classifier",
            lambda z: softmax_cross_entropy_forward(z, labels),
            softmax_cross_entropy_backward,
        ),
    ]


def wave_stages(network: WaveNetwork, batch):
    """The stages of a WaveNetwork for a RaggedBatch with labels, from "ids" to "loss", in the order of computation."""

    def of_block(block, prefix, title, source):
        return wave_block_stages(block, prefix, title, source, batch.offsets)

    stages = [layer_stage("embedding", "embedding rows", "embedding", "ids", network.embedding)]
    stages += stages_of_blocks(network, "embedding", of_block)
    stages.append(pooling_stage("pooled vector", network.config.pooling, stages[-1].name, batch.offsets))
    return stages + closing_stages(network, "pooling", batch.labels)


def wave_block_stages(block, prefix, title, x, offsets):
    """The stages of a WaveBlock. x: name of its input; prefix and title: put before names and titles."""
    config = block.config

    def layer(name, text, equation, source, part):
        return layer_stage(prefix + name, title + text, equation, source, part)

    def wave(name, text, source):
        forward = lambda w: token2wave_forward(w, offsets, config.scope)  # noqa: E731
        return function_stage(prefix + name, title + text, "token2wave", prefix + source, forward, token2wave_backward)

    both = (prefix + "first_wave", prefix + "second_wave")
    stages = [
        layer("first_variant", "first variant", "linear", x, block.first_variant),
        layer("second_variant", "second variant", "linear", x, block.second_variant),
        wave("first_wave", "first wave", "first_variant"),
        wave("second_wave", "second wave", "second_variant"),
        Stage(prefix + "combined", title + "combined wave", config.operation, both, *OPERATIONS[config.operation]),
        function_stage(
            prefix + "readout", title + "readout", f"{config.readout} readout", prefix + "combined",
            lambda z: readout_forward(z, config.readout), readout_backward,
        ),
    ]  # fmt: skip
    if block.projection:
        stages.append(layer("projection", "projection", "linear", stages[-1].name, block.projection))
    if config.wave_residual:
        stages.append(sum_stage(prefix + "wave_sum", title + "readout + input", stages[-1].name, x))
    stages.append(layer("wave_norm", "normed rows", "layer norm", stages[-1].name, block.wave_norm))
    if block.feed_forward:
        stages += feed_forward_stages(block, prefix, title, stages[-1].name, config.activation)
    return stages


def transformer_stages(network: Transformer, batch):
    """The stages of a Transformer for a RaggedBatch with labels, from "ids" and "places" to "loss", in the order of computation."""

    def of_block(block, prefix, title, source):
        return transformer_block_stages(block, prefix, title, source, batch.offsets)

    stages = [
        layer_stage("embedding", "token embeddings", "embedding", "ids", network.embedding),
        layer_stage("positions", "position embeddings", "position embedding", "places", network.positions),
        sum_stage("embedding_sum", "tokens + positions", "embedding", "positions", equation="sum"),
        layer_stage("embedding_norm", "normed sums", "layer norm", "embedding_sum", network.embedding_norm),
    ]
    stages += stages_of_blocks(network, "embedding_norm", of_block)
    stages += [
        pooling_stage("first token's row", "cls", stages[-1].name, batch.offsets),
        layer_stage("pooler", "pooler", "linear", "pooling", network.pooler),
        function_stage("tanh", "pooled vector", "tanh", "pooler", tanh_forward, tanh_backward),
    ]
    return stages + closing_stages(network, "tanh", batch.labels)


def transformer_block_stages(block, prefix, title, x, offsets):
    """The stages of a TransformerBlock. x: name of its input; prefix and title: put before names and titles."""

    def layer(name, text, equation, source, part):
        return layer_stage(prefix + name, title + text, equation, source, part)

    def attention(q, k, v):
        return attention_forward(q, k, v, offsets, block.heads)

    read = (prefix + "query", prefix + "key", prefix + "value")
    stages = [
        layer("query", "queries q", "linear", x, block.query),
        layer("key", "keys k", "linear", x, block.key),
        layer("value", "values v", "linear", x, block.value),
        Stage(prefix + "attention", title + "attended values", "attention", read, attention, attention_backward),
        layer("output", "output map", "linear", prefix + "attention", block.output),
        sum_stage(prefix + "attention_sum", title + "output + input", x, prefix + "output"),
        layer("attention_norm", "normed rows", "layer norm", prefix + "attention_sum", block.attention_norm),
    ]
    return stages + feed_forward_stages(block, prefix, title, prefix + "attention_norm", "gelu")
