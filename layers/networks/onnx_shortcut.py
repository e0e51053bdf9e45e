"""The naive-Bayes shortcut (E25) in an ONNX graph: the ratios of all tokens times the gains are one table."""

from typing import Any

import numpy as np

from engine.arrays.backend import to_host
from layers.networks.onnx_nodes import Graph, Segments
from layers.networks.shortcut import NaiveBayes


def add_shortcut(graph: Graph, part: NaiveBayes, texts: Segments) -> str:
    """(B, C): Σ s·g·r over the distinct tokens of each text that have counts, whose entries may repeat, over √n."""
    table = part.table()
    vocabulary, column = graph.constant(len(table), np.int64), graph.constant([1], np.int64)
    keys = graph.node("Unique", graph.node("Add", graph.node("Mul", texts.numbers, vocabulary), "ids"), sorted=1)
    rows = graph.node("Unsqueeze", graph.node("Div", keys, vocabulary), column)

    def sums(x: str, width: int) -> Any:
        shape = graph.node("Concat", texts.count, graph.constant([width], np.int64), axis=0)
        return graph.node("ScatterND", graph.filled(shape, np.float64(0)), rows, x, reduction="add")

    ids = graph.node("Mod", keys, vocabulary)
    terms = graph.node("Gather", graph.array("shortcut.table", table), ids)
    counted = graph.array("shortcut.counted", (to_host(part.counts.value)[:, -1:] > 0).astype(np.float64))
    n = sums(graph.node("Gather", counted, ids), 1)
    root = graph.node("Sqrt", graph.node("Max", n, graph.constant(1, np.float64)))
    y: str = graph.cast(graph.node("Div", sums(graph.cast(terms, "DOUBLE"), table.shape[1]), root), "FLOAT")
    return y
