"""The Wave Network as an ONNX graph, entry by entry as wave_network.py computes it to predict.

    ids (P,) int64               token id of each entry; the texts lie one after another
    counts (P,) int64            how often the entry occurs in its text; no input where tokens have places
    offsets (B + 1,) int64       cuts the entries into texts
    sentence_offsets (S + 1,)    int64, a finer cut of the same entries; an input where a magnitude is that of sentences
    probabilities (B, C)         float32, the output

Squares and sums over a text are float64, as in E1 and E4, everything else float32. The others' squares of E4 are the
sum of all less one's own: float64 leaves them eight digits where one token is 10⁴ times the others. Operators of opset
18; the labels stand in the metadata.
"""

import json
import math
from typing import Any

import numpy as np

from engine.support.command import install_extra
from engine.support.errors import UserError, first_line
from engine.support.files import sha256_of, write_whole
from engine.training.run_directory import RunDirectory
from engine.training.trained_run import OpenRun
from layers.networks.configs import LEVELS, WaveNetworkConfig
from layers.networks.onnx_nodes import Graph, Segments
from layers.networks.onnx_shortcut import add_shortcut
from layers.networks.parts import FeedForward, LayerNorm, Linear
from layers.networks.wave_network import WaveBlock, WaveNetwork
from layers.wave import READOUTS

OPSET, IR_VERSION = 18, 8  # of 2022: older runtimes read them too
KNOWN = {  # values of fields that the graph has a form for; ONNX has no atan2, which the phase would need
    "operation": ("interference", "modulation", "correlation"),
    "readout": ("real", "imaginary", "magnitude", "both"),
    "wave": ("full", "real", "phase-free"),
    "variants": ("embeddings", "wave", "none"),
    "block_form": ("normed", "eq8", "fig6b"),
    "activation": ("gelu", "relu"),
    "pooling": ("mean", "max", "cls"),
    "heads": (1,),
    "char_heads": (0,),
    "other_heads": (0,),
    "linear_heads": (0,),
}
MOST_BYTES = 2**31 - 2**20  # of a protobuf message, with room for the graph


def onnx_library() -> Any:
    """The module onnx. UserError where it is missing."""
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise UserError(f"--format onnx: needs onnx ({first_line(error)}); run {install_extra('onnx')}") from None
    return onnx


def save_onnx(run: OpenRun, directory: RunDirectory) -> dict[str, Any]:
    """Write the model.onnx of a run into an exported folder; returns its entry of state.json."""
    path, model = directory.onnx_file, onnx_model(run.network, run.classes)
    write_whole(path, lambda temporary: temporary.write_bytes(model.SerializeToString()))
    return {"onnx": {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}}


def onnx_model(network: Any, classes: list[str]) -> Any:
    """The onnx.ModelProto of a Wave Network. UserError for what the graph has no form for."""
    onnx = onnx_library()
    config = network.config
    if not isinstance(config, WaveNetworkConfig):
        raise UserError(f"--format onnx: knows model wave, not model {config.model}; export it with --format weights")
    for field, known in KNOWN.items():
        if getattr(config, field) not in known:
            raise UserError(
                f"--format onnx: does not know {field} {getattr(config, field)}; export it with --format weights"
            )
    if sum(parameter.value.nbytes for parameter in network.parameters().values()) > MOST_BYTES:
        raise UserError("--format onnx: takes at most 2 GiB of weights; export them with --format weights")
    graph = Graph(onnx)
    probabilities = build(graph, network)
    helper, types = onnx.helper, onnx.TensorProto
    inputs = [helper.make_tensor_value_info(name, types.INT64, [size]) for name, size in input_sizes(config).items()]
    output = helper.make_tensor_value_info("probabilities", types.FLOAT, ["texts", len(classes)])
    graph.nodes.append(helper.make_node("Identity", [probabilities], ["probabilities"]))
    made = helper.make_graph(graph.nodes, "wave_network", inputs, [output], graph.initializers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, {"labels": json.dumps(classes, ensure_ascii=False)})
    onnx.checker.check_model(model)
    return model


def input_sizes(config: WaveNetworkConfig) -> dict[str, str]:
    """{name: its size in words} of the inputs, in order."""
    names = {"ids": "entries", "counts": "entries", "offsets": "texts + 1", "sentence_offsets": "sentences + 1"}
    left_out = {"counts": config.position_encoding != "none", "sentence_offsets": config.levels == "text"}
    return {name: size for name, size in names.items() if not left_out.get(name)}


def build(graph: Graph, network: WaveNetwork) -> str:
    """Add the whole network; returns the name of the probabilities."""
    config = network.config
    cuts = {"text": Segments(graph, "offsets")}
    if config.levels != "text":
        cuts["sentence"] = Segments(graph, "sentence_offsets")
    x = graph.node("Gather", graph.array("embedding.table", network.embedding.table.value), "ids")  # E9
    if network.position_encoding is not None:
        Q = network.position_encoding.values(np.zeros((1, 1), np.float32))
        begins = graph.node("Gather", "offsets", cuts["text"].numbers)
        last = graph.node("Squeeze", graph.node("Shape", "ids"))
        every = graph.node("Range", graph.constant(0, np.int64), last, graph.constant(1, np.int64))
        places = graph.node("Sub", every, begins)
        x = graph.node("Add", x, graph.node("Gather", graph.array("positions", Q), places))  # E22
        counts = graph.filled(graph.node("Shape", "ids"), np.float64(1))
    else:
        counts = graph.cast("counts", "DOUBLE")
    counts = graph.node("Unsqueeze", counts, graph.constant([1], np.int64))
    first, second = (cuts[level] for level in LEVELS[config.levels])
    for number, block in enumerate(network.blocks):
        x = add_block(graph, block, f"blocks.{number}", x, counts, first, second)
    x = add_pooling(graph, x, counts, cuts["text"], config)  # E14
    logits = add_linear(graph, network.classifier, "classifier", x)  # E8
    if network.shortcut:
        logits = graph.node("Add", logits, add_shortcut(graph, network.shortcut, cuts["text"]))  # E21
    if network.temperature != 1:
        logits = graph.node("Div", logits, graph.constant(network.temperature))
    if network.has_several_labels():
        return graph.node("Sigmoid", logits)
    return graph.node("Softmax", logits, axis=-1)


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
