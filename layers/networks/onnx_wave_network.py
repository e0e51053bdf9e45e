"""The single Wave Network in an ONNX graph, entry by entry as wave_network.py computes it to predict."""

import math

import numpy as np

from layers.networks.configs import LEVELS, WaveNetworkConfig
from layers.networks.onnx_nodes import Entries, Graph, Segments
from layers.networks.onnx_ratios import add_shortcut
from layers.networks.parts import FeedForward, LayerNorm, Linear
from layers.networks.wave_network import WaveBlock, WaveNetwork
from layers.wave import READOUTS


def add_wave_network(graph: Graph, network: WaveNetwork, entries: Entries, prefix: str = "") -> str:
    """The whole network; returns the name of its logits (B, C). prefix: of its names."""
    config, texts = network.config, entries.texts
    x = graph.node("Gather", graph.array(f"{prefix}embedding.table", network.embedding.table.value), entries.ids)  # E9
    if network.position_encoding is not None:
        Q = network.position_encoding.values(np.zeros((1, 1), np.float32))
        begins = graph.node("Gather", texts.offsets, texts.numbers)
        last = graph.node("Squeeze", graph.node("Shape", entries.ids))
        every = graph.node("Range", graph.constant(0, np.int64), last, graph.constant(1, np.int64))
        places = graph.node("Sub", every, begins)
        x = graph.node("Add", x, graph.node("Gather", graph.array(f"{prefix}positions", Q), places))  # E22
    counts = graph.node("Unsqueeze", entries.counts, graph.constant([1], np.int64))
    first, second = (texts if level == "text" else entries.sentences for level in LEVELS[config.levels])
    assert first is not None and second is not None
    for number, block in enumerate(network.blocks):
        x = add_block(graph, block, f"{prefix}blocks.{number}", x, counts, first, second)
    x = add_pooling(graph, x, counts, texts, config)  # E14
    logits = add_linear(graph, network.classifier, f"{prefix}classifier", x)  # E8
    if network.shortcut:
        logits = graph.node("Add", logits, add_shortcut(graph, network.shortcut, entries, prefix))  # E21
    return logits


def add_block(graph: Graph, block: WaveBlock, name: str, x: str, counts: str, first: Segments, second: Segments) -> str:
    """WaveBlock.forward: x (P, d) → y (P, d)."""
    config = block.config
    are, aim = add_branch(graph, config, block.first_variant, f"{name}.first_variant", x, counts, first)
    bre, bim = add_branch(graph, config, block.second_variant, f"{name}.second_variant", x, counts, second)
    re, im = add_operation(graph, config.operation, (are, aim), (bre, bim))
    if config.block_form == "fig6b":
        re = graph.node("Add", re, x)  # E21
    y = add_readout(graph, config.readout, re, im)
    if block.projection:
        y = add_linear(graph, block.projection, f"{name}.projection", y)  # E8
    if config.adds_input():
        y = graph.node("Add", y, x)  # E21
    if block.wave_norm:
        y = add_layer_norm(graph, block.wave_norm, f"{name}.wave_norm", y)  # E10
    if block.feed_forward and block.feed_forward_norm:
        z = add_feed_forward(graph, block.feed_forward, f"{name}.feed_forward", y)
        y = add_layer_norm(graph, block.feed_forward_norm, f"{name}.feed_forward_norm", graph.node("Add", z, y))
    return y


def add_branch(
    graph: Graph, config: WaveNetworkConfig, variant: Linear | None, name: str, x: str, counts: str, cut: Segments
) -> tuple[str, str]:
    """WaveBlock.branch_forward: x (P, d) → the parts (re, im) of its wave."""
    if variant and config.variants == "embeddings":
        x = add_linear(graph, variant, name, x)
    re, im = add_wave(graph, config, x, counts, cut)
    if variant and config.variants == "wave":
        re, im = add_linear(graph, variant, name, re), graph.node("MatMul", im, f"{name}.weight")
    return re, im


def add_wave(graph: Graph, config: WaveNetworkConfig, w: str, counts: str, cut: Segments) -> tuple[str, str]:
    """E4, or a control (E23): w (P, d) → (re, im)."""
    zero = graph.node("Mul", w, graph.constant(0))
    if config.wave == "real":
        return w, zero
    exact = graph.cast(w, "DOUBLE")
    own = graph.node("Mul", exact, exact)
    squares, width = graph.node("Mul", own, counts), config.dimension
    if config.scope == "text":
        squares, width = graph.node("ReduceSum", squares, graph.constant([1], np.int64), keepdims=1), 1
    total = cut.spread(cut.sums(squares, width))
    if config.wave == "phase-free":
        return graph.node("Add", zero, graph.cast(graph.node("Sqrt", total), "FLOAT")), zero
    others = graph.node("Max", graph.node("Sub", total, own), graph.constant(0, np.float64))
    return w, graph.cast(graph.node("Sqrt", others), "FLOAT")


def add_operation(graph: Graph, kind: str, a: tuple[str, str], b: tuple[str, str]) -> tuple[str, str]:
    """E5, E6 or E20: the parts of A and B → those of Z."""

    def sum_of(first: tuple[str, str], operator: str, second: tuple[str, str]) -> str:
        return graph.node(operator, graph.node("Mul", *first), graph.node("Mul", *second))

    if kind == "interference":
        return graph.node("Add", a[0], b[0]), graph.node("Add", a[1], b[1])
    if kind == "modulation":
        return sum_of((a[0], b[0]), "Sub", (a[1], b[1])), sum_of((a[0], b[1]), "Add", (a[1], b[0]))
    return sum_of((a[0], b[0]), "Add", (a[1], b[1])), sum_of((a[1], b[0]), "Sub", (a[0], b[1]))  # correlation


def add_readout(graph: Graph, kind: str, re: str, im: str) -> str:
    """E7: the parts of Z → (P, d), for "both" (P, 2d)."""
    if kind == "magnitude":
        squares = [graph.node("Mul", part, part) for part in (graph.cast(re, "DOUBLE"), graph.cast(im, "DOUBLE"))]
        return graph.cast(graph.node("Sqrt", graph.node("Add", *squares)), "FLOAT")
    if READOUTS[kind].width == 2:
        return graph.node("Concat", re, im, axis=1)
    return {"real": re, "imaginary": im}[kind]


def add_linear(graph: Graph, part: Linear, name: str, x: str) -> str:
    """E8."""
    weight, bias = part.values()
    y = graph.node("MatMul", x, graph.array(f"{name}.weight", weight))
    return y if bias is None else graph.node("Add", y, graph.array(f"{name}.bias", bias))


def add_layer_norm(graph: Graph, part: LayerNorm, name: str, x: str) -> str:
    """E10."""
    values = graph.array(f"{name}.gain", part.gain.value), graph.array(f"{name}.bias", part.bias.value)
    return graph.node("LayerNormalization", x, *values, axis=-1, epsilon=part.epsilon)


def add_feed_forward(graph: Graph, part: FeedForward, name: str, x: str) -> str:
    """E8, E11 or E12, E8."""
    y = add_linear(graph, part.expand, f"{name}.expand", x)
    if part.activation == "relu":
        y = graph.node("Relu", y)
    else:  # y·Φ(y) by the error function
        erf = graph.node("Erf", graph.node("Mul", y, graph.constant(1 / math.sqrt(2))))
        y = graph.node("Mul", graph.node("Mul", y, graph.constant(0.5)), graph.node("Add", erf, graph.constant(1)))
    return add_linear(graph, part.contract, f"{name}.contract", y)


def add_pooling(graph: Graph, x: str, counts: str, texts: Segments, config: WaveNetworkConfig) -> str:
    """E14: x (P, d) → (B, d)."""
    if config.pooling == "max":
        largest = texts.gathered(x, "max", np.float32(-np.inf), config.dimension)
        empty = graph.node("IsInf", largest)  # no entry is infinite, else nothing is right
        return graph.node("Where", empty, graph.constant(0), largest)
    sizes = texts.sums(counts, 1)
    if config.pooling == "cls":  # the row of zeros behind the last stands for the first token of an empty text
        rows = graph.node("Concat", x, graph.constant(np.zeros((1, config.dimension))), axis=0)
        first = graph.node("Gather", rows, graph.part(texts.offsets, 0, -1))
        is_text = graph.node("Greater", sizes, graph.constant(0, np.float64))
        return graph.node("Where", is_text, first, graph.constant(0))
    total = texts.sums(graph.node("Mul", graph.cast(x, "DOUBLE"), counts), config.dimension)
    mean = graph.node("Div", total, graph.node("Max", sizes, graph.constant(1, np.float64)))
    return graph.cast(mean, "FLOAT")
