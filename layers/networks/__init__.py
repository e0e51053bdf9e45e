"""Compositions of the equations into networks."""

from layers.networks.wave_config import WaveNetworkConfig
from layers.networks.wave_network import WaveNetwork

__all__ = ["WaveNetwork", "WaveNetworkConfig"]
