"""The equations of the papers, E1–E7, and what follows from them."""

from layers.wave.global_magnitude import global_magnitude_backward, global_magnitude_flops, global_magnitude_forward
from layers.wave.interference import interference_backward, interference_flops, interference_forward
from layers.wave.modulated_magnitude import (
    modulated_magnitude_backward,
    modulated_magnitude_flops,
    modulated_magnitude_forward,
)
from layers.wave.modulation import modulation_backward, modulation_flops, modulation_forward
from layers.wave.phase import phase_backward, phase_flops, phase_forward
from layers.wave.polar_to_wave import polar_to_wave_backward, polar_to_wave_flops, polar_to_wave_forward
from layers.wave.readout import READOUTS, readout_backward, readout_flops, readout_forward
from layers.wave.token2wave import token2wave_backward, token2wave_flops, token2wave_forward
from layers.wave.wave import SCOPES, Wave
from layers.wave.wave_pair import OPERATIONS, wave_pair_backward, wave_pair_flops, wave_pair_forward

__all__ = [
    "OPERATIONS",
    "READOUTS",
    "SCOPES",
    "Wave",
    "global_magnitude_backward",
    "global_magnitude_flops",
    "global_magnitude_forward",
    "interference_backward",
    "interference_flops",
    "interference_forward",
    "modulated_magnitude_backward",
    "modulated_magnitude_flops",
    "modulated_magnitude_forward",
    "modulation_backward",
    "modulation_flops",
    "modulation_forward",
    "phase_backward",
    "phase_flops",
    "phase_forward",
    "polar_to_wave_backward",
    "polar_to_wave_flops",
    "polar_to_wave_forward",
    "readout_backward",
    "readout_flops",
    "readout_forward",
    "token2wave_backward",
    "token2wave_flops",
    "token2wave_forward",
    "wave_pair_backward",
    "wave_pair_flops",
    "wave_pair_forward",
]
