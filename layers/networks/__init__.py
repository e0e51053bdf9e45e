"""Compositions of the equations into networks.

The kinds of networks by name: what --model chooses from.
"""

import numpy as np

from layers.networks.configs import TransformerConfig, WaveNetworkConfig
from layers.networks.planned_wave_network import WaveNetwork
from layers.networks.transformer import Transformer

CONFIGS = {"wave": WaveNetworkConfig, "transformer": TransformerConfig}  # the first is the default
NETWORKS = {"wave": WaveNetwork, "transformer": Transformer}


def build_network(config, vocabulary, classes, seed=0, dtype=np.float32):
    """The network of a config of any kind, for V token ids and C classes."""
    return NETWORKS[config.model](config, vocabulary, classes, seed, dtype)


__all__ = ["CONFIGS", "Transformer", "TransformerConfig", "WaveNetwork", "WaveNetworkConfig", "build_network"]
