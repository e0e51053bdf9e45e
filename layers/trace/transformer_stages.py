"""A Transformer as a list of named stages. No mathematics of its own.

Logits, loss and parameter gradients are the network's to rounding: the layer norms' sums are stages of their own here.
"""

from layers.networks.transformer import Transformer
from layers.standard.attention import attention_backward, attention_forward
from layers.standard.tanh import tanh_backward, tanh_forward
from layers.trace.stages import Stage, closing_stages, feed_forward_stages, function_stage, layer_stage, pooling_stage, stages_of_blocks, sum_stage


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
