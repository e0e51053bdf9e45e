"""Compositions of the equations into networks, and the kinds of networks by name: the choices of --model."""

from typing import Any

import numpy as np

from engine.support.implementation import current
from layers.fast import FUNCTIONS
from layers.networks.both_operations import BothOperations, configs_of_operations
from layers.networks.checked_wave_network import CheckedWaveNetwork
from layers.networks.configs import TransformerConfig, WaveNetworkConfig
from layers.networks.heads import HeadsWaveNetwork, head_seed
from layers.networks.linear_heads import LinearClassifier, WithLinearHeads
from layers.networks.planned_heads import CheckedHeadsNetwork, PlannedHeadsNetwork
from layers.networks.planned_wave_network import PlannedWaveNetwork
from layers.networks.presets import DEFAULTS, PRESETS
from layers.networks.search_space import FIRST_POINTS, SEARCH_SPACE
from layers.networks.text_classifier import TextClassifier
from layers.networks.transformer import Transformer
from layers.networks.wave_network import WaveNetwork
from layers.networks.words_and_characters import WordsAndCharacters, configs_of_halves

CONFIGS = {"wave": WaveNetworkConfig, "transformer": TransformerConfig}  # the first is the default
NETWORKS: dict[str, dict[str, type[Any]]] = {  # by model and implementation
    "wave": {"equations": WaveNetwork, "fast": PlannedWaveNetwork, "check": CheckedWaveNetwork},
    "transformer": dict.fromkeys(FUNCTIONS, Transformer),
}
SIDE_BY_SIDE = {"equations": HeadsWaveNetwork, "fast": PlannedHeadsNetwork, "check": CheckedHeadsNetwork}  # wave, heads


def build_network(
    config: Any,
    vocabulary: int,
    classes: int,
    seed: int | None = 0,
    dtype: Any = np.float32,
    first_char_ngram: int | None = None,
) -> TextClassifier:
    """The network of a config of any kind, for V token ids and C classes, in the implementation in use.

    first_char_ngram: the token ids from there on are character n-grams; None: none is.
    """
    if config.model == "wave" and config.char_heads:
        words, characters = configs_of_halves(config)
        known = vocabulary if first_char_ngram is None else first_char_ngram
        other = None if seed is None else head_seed(seed, words.network_count())
        of_words = build_network(words, known, classes, seed, dtype)
        of_characters = build_network(characters, vocabulary, classes, other, dtype)
        return WordsAndCharacters(config, of_words, of_characters, known)
    if config.model == "wave" and config.linear_heads:
        linear = LinearClassifier(config, vocabulary, classes, dtype)
        linear.use(FUNCTIONS[current()])
        return WithLinearHeads(
            config, build_network(config.replace(linear_heads=0), vocabulary, classes, seed, dtype), linear
        )
    if config.model == "wave" and config.other_heads:
        own, of_other = configs_of_operations(config)
        other = None if seed is None else head_seed(seed, config.heads)
        networks = (
            build_network(own, vocabulary, classes, seed, dtype),
            build_network(of_other, vocabulary, classes, other, dtype),
        )
        return BothOperations(config, *networks)
    implementation = current()
    kinds = SIDE_BY_SIDE if config.model == "wave" and config.heads > 1 else NETWORKS[config.model]
    network: TextClassifier = kinds[implementation](config, vocabulary, classes, seed, dtype)
    network.use(FUNCTIONS[implementation])
    return network


__all__ = [
    "CONFIGS",
    "DEFAULTS",
    "FIRST_POINTS",
    "PRESETS",
    "SEARCH_SPACE",
    "PlannedWaveNetwork",
    "Transformer",
    "TransformerConfig",
    "WaveNetwork",
    "WaveNetworkConfig",
    "build_network",
]
