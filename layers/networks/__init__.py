"""Compositions of the equations into networks."""

from layers.networks.models import CONFIGS, build_network
from layers.networks.transformer import Transformer
from layers.networks.transformer_config import TransformerConfig
from layers.networks.wave_config import WaveNetworkConfig
from layers.networks.wave_network import WaveNetwork

__all__ = ["CONFIGS", "Transformer", "TransformerConfig", "WaveNetwork", "WaveNetworkConfig", "build_network"]
