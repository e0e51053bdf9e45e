"""The probabilities of any network in an ONNX graph, of networks side by side their mean."""

from typing import Any

import numpy as np

from layers.networks.heads import HeadsWaveNetwork
from layers.networks.linear_heads import LinearClassifier
from layers.networks.onnx_nodes import Entries, Graph
from layers.networks.onnx_ratios import add_linear_classifier, add_shortcut
from layers.networks.onnx_wave_network import add_wave_network
from layers.networks.two_networks import TwoNetworks
from layers.networks.words_and_characters import WordsAndCharacters


def add_probabilities(graph: Graph, network: Any, entries: Entries, prefix: str = "") -> str:
    """Add the whole network; returns the name of its probabilities (B, C). prefix: of its names."""
    if isinstance(network, TwoNetworks):
        views = views_of(graph, network, entries)
        parts = [
            add_probabilities(graph, half, view, f"{prefix}{number}.")
            for number, (half, view) in enumerate(zip(network.networks(), views))
        ]
        return at_temperature(graph, network, weighted(graph, parts, network.shares()))
    if isinstance(network, HeadsWaveNetwork):
        parts = [activated(graph, network, z) for z in add_heads(graph, network, entries, prefix)]
        return at_temperature(graph, network, weighted(graph, parts, [1 / len(parts)] * len(parts)))
    add = add_linear_classifier if isinstance(network, LinearClassifier) else add_wave_network
    logits = add(graph, network, entries, prefix)
    if network.temperature != 1:
        logits = graph.node("Div", logits, graph.constant(network.temperature))
    return activated(graph, network, logits)


def views_of(graph: Graph, network: TwoNetworks, entries: Entries) -> tuple[Entries, Entries]:
    """TwoNetworks.views()."""
    if isinstance(network, WordsAndCharacters):
        is_word = graph.node("Less", entries.ids, graph.constant(network.first_char_ngram, np.int64))
        return entries.kept(is_word), entries
    return entries, entries


def add_heads(graph: Graph, network: HeadsWaveNetwork, entries: Entries, prefix: str) -> list[str]:
    """The logits (B, C) of each head."""
    shortcut = add_shortcut(graph, network.shortcut, entries, prefix) if network.shortcut else None
    found = []
    for number in range(network.config.heads):
        head = network.network_of(slice(number, number + 1), network.embedding.table.value)
        logits = add_wave_network(graph, head, entries, f"{prefix}heads.{number}.")
        found.append(logits if shortcut is None else graph.node("Add", logits, shortcut))  # E21
    return found


def weighted(graph: Graph, parts: list[str], shares: Any) -> str:
    """The sum of some arrays, each times its share."""
    return graph.node("Sum", *(graph.node("Mul", part, graph.constant(share)) for part, share in zip(parts, shares)))


def activated(graph: Graph, network: Any, logits: str) -> str:
    """TextClassifier.probabilities_of()."""
    return graph.node("Sigmoid", logits) if network.has_several_labels() else graph.node("Softmax", logits, axis=-1)


def at_temperature(graph: Graph, network: Any, p: str) -> str:
    """TextClassifier.at_temperature()."""
    if network.temperature == 1:
        return p
    tiny = graph.constant(np.finfo(np.float32).tiny)
    logits = graph.node("Log", graph.node("Max", p, tiny))
    if network.has_several_labels():
        other = graph.node("Log", graph.node("Max", graph.node("Sub", graph.constant(1), p), tiny))
        logits = graph.node("Sub", logits, other)
    return activated(graph, network, graph.node("Div", logits, graph.constant(network.temperature)))
