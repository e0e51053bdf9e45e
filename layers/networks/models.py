"""The kinds of networks by name: what --model chooses from."""

import numpy as np

from layers.networks.transformer import Transformer
from layers.networks.transformer_config import TransformerConfig
from layers.networks.wave_config import WaveNetworkConfig
from layers.networks.wave_network import WaveNetwork

CONFIGS = {"wave": WaveNetworkConfig, "transformer": TransformerConfig}  # the first is the default
NETWORKS = {"wave": WaveNetwork, "transformer": Transformer}


def build_network(config, vocabulary, classes, seed=0, dtype=np.float32):
    """The network of a config of any kind, for V token ids and C classes."""
    return NETWORKS[config.model](config, vocabulary, classes, seed, dtype)
