"""Sums of log-count ratios in an ONNX graph: the naive-Bayes shortcut (E25) and the linear classifier (E26).

The ratios of all tokens, times gains or weights, are one table.
"""

import numpy as np

from engine.arrays.backend import to_host
from engine.types import Floats2d
from layers.networks.linear_heads import LinearClassifier
from layers.networks.onnx_nodes import Entries, Graph
from layers.networks.shortcut import CountedTokens, NaiveBayes
from layers.standard.weighted_ratios import SCALE


def add_shortcut(graph: Graph, part: NaiveBayes, entries: Entries, prefix: str) -> str:
    """(B, C): Σ s·g·r over the distinct tokens of each text that have counts, over √n."""
    return add_sums(graph, part.table(), part, entries, f"{prefix}shortcut")


def add_linear_classifier(graph: Graph, network: LinearClassifier, entries: Entries, prefix: str) -> str:
    """(B, C): s·b + Σ r·(w₀ + s·v) over the distinct tokens of each text that have counts, over √n."""
    part = network.ratios
    bias = graph.array(f"{prefix}ratios.bias", to_host(part.bias.value) * SCALE)
    return graph.node("Add", add_sums(graph, part.table(), part, entries, f"{prefix}ratios"), bias)


def add_sums(graph: Graph, table: Floats2d, part: CountedTokens, entries: Entries, prefix: str) -> str:
    """(B, C): the rows of a table (V, C) that are those of a text's distinct tokens, which may repeat among entries."""
    texts = entries.texts
    vocabulary = graph.constant(len(table), np.int64)
    keys = graph.node("Unique", graph.node("Add", graph.node("Mul", texts.numbers, vocabulary), entries.ids), sorted=1)
    numbers = graph.node("Div", keys, vocabulary)

    def sums(x: str, width: int) -> str:
        return graph.scattered(x, numbers, texts.count, "add", np.float64(0), width)

    ids = graph.node("Mod", keys, vocabulary)
    terms = graph.node("Gather", graph.array(f"{prefix}.table", table), ids)
    counted = graph.array(f"{prefix}.counted", to_host(part.counts.value)[:, -1:] > 0)
    n = sums(graph.cast(graph.node("Gather", counted, ids), "DOUBLE"), 1)
    root = graph.node("Sqrt", graph.node("Max", n, graph.constant(1, np.float64)))
    return graph.cast(graph.node("Div", sums(graph.cast(terms, "DOUBLE"), table.shape[1]), root), "FLOAT")
