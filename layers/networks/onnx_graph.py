"""The network of a WaveNetworkConfig as an ONNX graph: a Wave Network, or several side by side.

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
from typing import Any

from engine.support.command import install_extra
from engine.support.errors import UserError, first_line
from engine.support.files import sha256_of, write_whole
from engine.training.run_directory import RunDirectory
from engine.training.trained_run import OpenRun
from layers.networks.configs import WaveNetworkConfig
from layers.networks.onnx_mean import add_probabilities
from layers.networks.onnx_nodes import Entries, Graph

OPSET, IR_VERSION = 18, 8  # of 2022: older runtimes read them too
KNOWN = {  # values of fields that the graph has a form for; ONNX has no atan2, which the phase would need
    "operation": ("interference", "modulation", "correlation"),
    "readout": ("real", "imaginary", "magnitude", "both"),
    "wave": ("full", "real", "phase-free"),
    "variants": ("embeddings", "wave", "none"),
    "block_form": ("normed", "eq8", "fig6b"),
    "activation": ("gelu", "relu"),
    "pooling": ("mean", "max", "cls"),
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
    """The onnx.ModelProto of a network. UserError for what the graph has no form for."""
    onnx = onnx_library()
    config = network.config
    if not isinstance(config, WaveNetworkConfig):
        raise UserError(f"--format onnx: knows model wave, not model {config.model}; export it with --format weights")
    for field, known in KNOWN.items():
        if getattr(config, field) not in known:
            raise UserError(
                f"--format onnx: does not know {field} {getattr(config, field)}; export it with --format weights"
            )
    if sum(array.value.nbytes for array in network.state().values()) > MOST_BYTES:  # counts become tables
        raise UserError("--format onnx: takes at most 2 GiB of weights; export them with --format weights")
    graph = Graph(onnx)
    probabilities = add_probabilities(graph, network, entries_of(graph, config))
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


def entries_of(graph: Graph, config: WaveNetworkConfig) -> Entries:
    """The inputs of the graph."""
    names = input_sizes(config)
    counts = graph.cast("counts", "DOUBLE") if "counts" in names else graph.filled(graph.node("Shape", "ids"), 1.0)
    return Entries(graph, "ids", counts, "offsets", "sentence_offsets" if "sentence_offsets" in names else None)
