"""Whole small networks, for suite.py: their loss against every parameter."""

from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from engine.arrays.backend import random_generator
from layers import wave
from layers.experiments.gradcheck import Case, Problem
from layers.networks import (
    PlannedWaveNetwork,
    Transformer,
    TransformerConfig,
    WaveNetwork,
    WaveNetworkConfig,
    build_network,
)
from layers.networks.heads import HeadsWaveNetwork
from layers.networks.planned_heads import PlannedHeadsNetwork
from layers.networks.text_classifier import TextClassifier, example_batch


def draw_network(fields: dict[str, Any], rng: Generator, kind: type[WaveNetwork] = PlannedWaveNetwork) -> Problem:
    """Draw the loss of a whole small network against every parameter, dropout included."""
    config = WaveNetworkConfig(
        **{"dimension": 4, "hidden": 5, "dropout": 0.2, "embedding_dropout": 0.1, "token_dropout": 0.2, **fields}
    )
    seed = int(rng.integers(1 << 30))
    network = kind(config, 9, 3, seed, np.float64)
    network.learn_counts(example_batch(9, 3, [3, 5, 1, 6], seed + 1, network.has_several_labels()))
    return problem_of(network, seed)


def draw_words_and_characters(rng: Generator) -> Problem:
    """Draw networks of words, of character n-grams and of both operations, and a linear one; n-grams from id 6 on."""
    config = WaveNetworkConfig(dimension=4, hidden=5, heads=2, char_heads=1, shortcut="naive-bayes")
    config = config.replace(other_heads=1, linear_heads=2, token_dropout=0.2)
    seed = int(rng.integers(1 << 30))
    network: Any = build_network(config, 9, 3, seed, np.float64, first_char_ngram=6)
    network.learn_counts(example_batch(9, 3, [3, 5, 1, 6], seed + 1))
    return problem_of(network, seed)


def draw_transformer(blocks: int, rng: Generator) -> Problem:
    """Draw a Transformer likewise, but without the bias of the keys.

    A shift of all scores changes nothing, so its gradient is 0 and rounding is all there is.
    """
    config = TransformerConfig(
        dimension=6,
        heads=2,
        hidden=5,
        positions=7,
        blocks=blocks,
        embedding_scale=1.0,
        dropout=0.2,
        label_smoothing=0.1,
    )
    seed = int(rng.integers(1 << 30))
    network = Transformer(config, 9, 3, seed, np.float64)
    for block in network.blocks:
        block.key.bias = None
    return problem_of(network, seed)


def problem_of(network: TextClassifier, seed: int) -> Problem:
    """Return the loss of a network on a small batch as a Problem; dropout drops the same entries at every call."""
    batch = example_batch(9, 3, [1, 4, 2, 7], seed, network.has_several_labels())

    def forward() -> Any:
        return network.loss_forward(batch, train=True, rng=random_generator(seed))

    return Problem(forward, lambda dloss, cache: network.loss_backward(cache, dloss), (), network.parameters())


PLACED = {"readout": "magnitude", "positions": 9, "embedding_dropout": 0.0}  # of which the first block maps rows apart
FORMS: dict[str, dict[str, Any]] = {
    "Fig. 6a": {**PLACED, "position_encoding": "sinusoidal", "levels": "sentence-text", "wave_residual": False},
    "learned positions": {**PLACED, "position_encoding": "learned", "operation": "interference"},
    "Eq. 8, 3 blocks": {"block_form": "eq8", "blocks": 3, "embedding_scale": 0.2, "levels": "sentence"},
    "Fig. 6b, 2 blocks": {"block_form": "fig6b", "blocks": 2, "embedding_scale": 0.2, "readout": "magnitude"},
    "maps of waves": {"variants": "wave", "readout": "magnitude", "position_encoding": "learned", "positions": 9},
    "real control": {"wave": "real", "variants": "none", "readout": "magnitude"},
    "naive-Bayes shortcut": {
        "shortcut": "naive-bayes",
        "readout": "magnitude",
        "token_dropout": 0.4,
        "shortcut_dropout": 0.4,
    },
    "phase-free control": {"wave": "phase-free", "operation": "interference", "levels": "sentence-text"},
}
UNDROPPED: dict[str, Any] = {"heads": 3, "dropout": 0.0, "embedding_dropout": 0.0}  # then heads are computed together
HEADS: dict[str, tuple[dict[str, Any], type[WaveNetwork]]] = {
    "3 heads, each alone": ({"heads": 3, "scope": "text"}, HeadsWaveNetwork),
    "3 heads": (UNDROPPED, PlannedHeadsNetwork),
    "3 heads, magnitude": (
        {**UNDROPPED, "readout": "magnitude", "wave_residual": False, "hidden": 0},
        PlannedHeadsNetwork,
    ),
}
NETWORK_CASES = [
    *(
        Case(
            f"network, {operation}, {readout}",
            partial(draw_network, {"operation": operation, "readout": readout}),
            None,
            analytic=wave.READOUTS[readout].analytic,
            products=True,
        )  # fmt: skip
        for operation in wave.OPERATIONS
        for readout in wave.READOUTS
        if (operation, readout) != ("modulation", "phase")  # its phase jumps from π to −π (E7)
    ),
    Case(
        "network, text scope, 2 blocks",
        partial(draw_network, {"scope": "text", "blocks": 2}),
        None,
        products=True,
    ),
    Case(
        "network, no feed-forward",
        partial(draw_network, {"hidden": 0, "wave_residual": False}),
        None,
        products=True,
    ),
    Case(
        "network, words and characters",
        draw_words_and_characters,
        None,
        products=True,
    ),
    Case(
        "network, cls pooling, smoothing",
        partial(draw_network, {"pooling": "cls", "label_smoothing": 0.1}),
        None,
        products=True,
    ),
    Case(
        "network, several labels, smoothing",
        partial(draw_network, {"labels": "several", "label_smoothing": 0.1}),
        None,
        products=True,
    ),
    *(
        Case(
            f"network token by token, {operation}",
            partial(draw_network, {"operation": operation, "blocks": 2}, kind=WaveNetwork),
            None,
            products=True,
        )
        for operation in wave.OPERATIONS
    ),
    *(
        Case(f"network, {name}", partial(draw_network, fields, kind=kind), None, products=True)
        for name, (fields, kind) in HEADS.items()
    ),
    *(Case(f"network, {name}", partial(draw_network, fields), None, products=True) for name, fields in FORMS.items()),
    Case("network, Transformer, 1 block", partial(draw_transformer, 1), None, products=True),
    Case("network, Transformer, 2 blocks", partial(draw_transformer, 2), None, products=True),
]
