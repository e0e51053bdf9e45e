"""A Wave Network as a list of named stages. No mathematics of its own.

Every token is computed by itself, where the network computes equal tokens of a text once: logits, loss and parameter gradients
are the network's to rounding.
"""

from layers.networks.wave_network import WaveNetwork
from layers.trace.stages import (
    Stage, closing_stages, feed_forward_stages, function_stage, layer_stage, pooling_stage, stages_of_blocks, sum_stage,
)  # fmt: skip
from layers.wave import OPERATIONS, readout_backward, readout_forward, token2wave_backward, token2wave_forward


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
