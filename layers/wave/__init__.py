"""The equations of the papers, E1 to E7, and what follows from them."""

from layers.wave.controls import WAVES, wave_backward, wave_forward
from layers.wave.correlation import correlation_backward, correlation_forward
from layers.wave.global_magnitude import global_magnitude_backward, global_magnitude_forward
from layers.wave.interference import interference_backward, interference_forward
from layers.wave.modulated_magnitude import modulated_magnitude_backward, modulated_magnitude_forward
from layers.wave.modulation import modulation_backward, modulation_forward
from layers.wave.operations import OPERATIONS, Operation, operation_backward, operation_forward
from layers.wave.phase import phase_backward, phase_forward
from layers.wave.polar_to_wave import polar_to_wave_backward, polar_to_wave_forward
from layers.wave.readout import READOUTS, Readout, readout_backward, readout_forward
from layers.wave.token2wave import token2wave_backward, token2wave_forward
from layers.wave.wave import SCOPES, Wave

__all__ = [
    "OPERATIONS",
    "READOUTS",
    "SCOPES",
    "WAVES",
    "Operation",
    "Readout",
    "Wave",
    "correlation_backward",
    "correlation_forward",
    "global_magnitude_backward",
    "global_magnitude_forward",
    "interference_backward",
    "interference_forward",
    "modulated_magnitude_backward",
    "modulated_magnitude_forward",
    "modulation_backward",
    "modulation_forward",
    "operation_backward",
    "operation_forward",
    "phase_backward",
    "phase_forward",
    "polar_to_wave_backward",
    "polar_to_wave_forward",
    "readout_backward",
    "readout_forward",
    "token2wave_backward",
    "token2wave_forward",
    "wave_backward",
    "wave_forward",
]
