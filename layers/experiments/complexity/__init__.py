"""The models whose cost is compared, and the batches that they train on.

Models are as their presets have them, but without dropout: it would cost the Transformers more time and memory, and
what is counted is then exactly what is measured.
"""

from typing import Any

import numpy as np

from engine.arrays.backend import random_generator
from engine.arrays.ragged import RaggedBatch
from engine.training.run_settings import build_settings
from layers.experiments.benchmark import workloads
from layers.experiments.benchmark.workloads import CLASSES, word_ids
from layers.networks import CONFIGS, Transformer, TransformerConfig, WaveNetwork, WaveNetworkConfig, build_network
from layers.networks.presets import PRESETS

# The papers' network without positions, of which there would have to be one for each token of the longest text.
WAVE = {**PRESETS["paper-text"], "model": "wave", "position_encoding": "none", "wave_residual": True}
MODELS: dict[str, dict[str, Any]] = {
    "interference": {**WAVE, "operation": "interference"},
    "modulation": {**WAVE, "operation": "modulation"},
    "transformer-1": {**PRESETS["transformer-1"], "dropout": 0.0},
    "bert-base": {**PRESETS["bert-base"], "dropout": 0.0},
}
LENGTHS = tuple(2**power for power in range(4, 14))  # 16 … 8,192 tokens
TEXTS, LENGTH = 32, 128  # of the batch at which models are held against one another
TOKENS = ("distinct", "words")


def is_wave(name: str) -> bool:
    """Whether a model is a Wave Network; the others are Transformers."""
    return bool(MODELS[name]["model"] == "wave")


def config_of(name: str, longest: int) -> WaveNetworkConfig | TransformerConfig:
    """The config of a model for texts of up to `longest` tokens.

    A Transformer has a position for each of these tokens, and at least 512, as in BERT.
    """
    config = build_settings(CONFIGS, MODELS[name]).network
    return config if is_wave(name) else config.replace(positions=max(config.positions, longest))


def build(name: str, longest: int) -> WaveNetwork | Transformer:
    """The network of a model with BERT's vocabulary, with the same parameters every time."""
    network = build_network(config_of(name, longest), workloads.VOCABULARY, CLASSES)
    assert isinstance(network, WaveNetwork | Transformer)
    return network


def batch_of(texts: int, length: int, tokens: str = "distinct") -> RaggedBatch:
    """RaggedBatch of random texts of `length` tokens each; equal arguments give equal texts.

    tokens: "distinct" takes them from one permutation of the vocabulary, again and again, so that no token occurs twice
    in a text nor, as long as there are enough, in the batch. A Wave Network computes equal tokens once: this is its
    worst case, and makes no difference to a Transformer. "words": drawn with the frequencies of words. ValueError for
    texts longer than the vocabulary.
    """
    if length > workloads.VOCABULARY:
        raise ValueError(f"length: must be at most the {workloads.VOCABULARY} tokens of the vocabulary, got {length}")
    rng = random_generator(0, length)
    ids = (
        np.resize(rng.permutation(workloads.VOCABULARY), texts * length)
        if tokens == "distinct"
        else word_ids(rng, texts * length)
    )
    return RaggedBatch(ids.copy(), np.arange(texts + 1, dtype=np.int64) * length, rng.integers(0, CLASSES, texts))
