"""Networks of every kind, small enough for emulation."""

import numpy as np

from engine.arrays.backend import random_generator
from engine.training.adamw import AdamW
from engine.training.step import update
from layers.networks import TransformerConfig, WaveNetworkConfig, build_network
from layers.networks.text_classifier import example_batch

LENGTHS = [5, 1, 20, 0, 3]
NETWORKS = {
    "paper": {"operation": "modulation", "readout": "magnitude"},
    "two maps": {"operation": "modulation", "readout": "magnitude", "wave_residual": False, "hidden": 0},
    "interference": {"operation": "interference", "readout": "magnitude", "activation": "relu", "token_dropout": 0.3},
    "one row a text, twice": {"operation": "modulation", "readout": "magnitude", "wave_residual": False, "blocks": 2},
    "two blocks": {"operation": "modulation", "readout": "both", "blocks": 2, "wave_residual": False},
    "dropout": {
        "operation": "modulation",
        "readout": "magnitude",
        "dropout": 0.1,
        "embedding_dropout": 0.2,
        "classifier_dropout": 0.3,
    },
    "phase": {"operation": "interference", "readout": "phase", "label_smoothing": 0.1},
    "imaginary": {"operation": "modulation", "readout": "imaginary"},
    "correlation, E17": {"operation": "correlation", "readout": "magnitude"},
    "sentences": {"operation": "interference", "readout": "magnitude", "levels": "sentence-text"},
    "positions": {"readout": "both", "position_encoding": "learned", "levels": "sentence", "token_dropout": 0.3},
    "Fig. 6a": {
        "readout": "magnitude",
        "position_encoding": "sinusoidal",
        "levels": "sentence-text",
        "wave_residual": False,
    },
    "without maps, residual": {"operation": "interference", "variants": "none", "position_encoding": "learned"},
    "Eq. 8": {"readout": "magnitude", "block_form": "eq8", "blocks": 2, "position_encoding": "learned"},
}
OTHERS = {  # with parts that no kernel computes, or that no graph takes
    "correlation": {"operation": "correlation", "readout": "both"},
    "max": {"readout": "real", "pooling": "max"},
    "Fig. 6b": {"operation": "interference", "readout": "magnitude", "block_form": "fig6b", "blocks": 2},
    "control": {"wave": "phase-free", "readout": "real", "levels": "sentence-text"},
    "cls, text": {"readout": "both", "pooling": "cls", "scope": "text"},
    "Transformer": {"model": "transformer", "blocks": 2, "dropout": 0.1},
    "shortcut": {"readout": "magnitude", "shortcut": "naive-bayes", "token_dropout": 0.3},
    "linear classifier": {"readout": "magnitude", "linear_heads": 2, "token_dropout": 0.3},
    "several labels": {"readout": "magnitude", "labels": "several", "label_smoothing": 0.1},
}


def network_of(fields, dtype=np.float32):
    """The network of some fields, in the implementation in use; it has counted labels, where it does so."""
    if fields.get("model") == "transformer":
        config = TransformerConfig(dimension=33, heads=3, hidden=24, embedding_scale=0.5)
        network = build_network(config.replace(**fields), 50, 3, dtype=dtype)
        for block in network.blocks:
            block.key.bias = None  # its gradient is 0 but for rounding
        return network
    config = WaveNetworkConfig(dimension=33, hidden=24, embedding_scale=0.5)
    network = build_network(config.replace(**fields), 50, 3, dtype=dtype)
    network.learn_counts(batch_of(9, network, [30] * 6))
    return network


def batch_of(seed=1, network=None, lengths=LENGTHS):
    """A batch with the kind of labels that a network learns."""
    return example_batch(50, 3, lengths, seed, network is not None and network.has_several_labels())


def steps(network, count=2, device="cuda", rate=1e-2):
    """The losses of some updates on one batch."""
    optimizer, losses = AdamW(network.to(device).parameters()), []
    for step in range(count):
        rng = random_generator(0, step, device=device)
        losses.append(float(update(network, optimizer, batch_of(network=network), rng, rate, 1.0).loss))
    return losses
