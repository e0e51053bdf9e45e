"""Random examples of the inputs of the equations of waves, for cases.py."""

from functools import partial

import numpy as np
from numpy.random import Generator

from engine.implementation import Functions
from layers import wave
from layers.experiments.gradcheck import Problem
from layers.experiments.gradcheck.inputs import random_bag, random_offsets, random_rows, random_wave
from layers.fast import FUNCTIONS

FAST = FUNCTIONS["fast"]  # where no implementation supports the arguments, equations composed

WAVE_PAIRS = [
    *((operation, readout, "dimension") for operation in wave.OPERATIONS for readout in wave.READOUTS),
    ("interference", "magnitude", "text"),
    ("modulation", "both", "text"),
]
WAVE_PAIRS.remove(("modulation", "phase", "dimension"))  # its phase jumps from π to −π (E7)


def draw_global_magnitude(scope: str, rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    forward = partial(wave.global_magnitude_forward, scope=scope)
    return Problem(forward, wave.global_magnitude_backward, (random_rows(rng, offsets[-1]), offsets))


def draw_phase(scope: str, rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    w = random_rows(rng, offsets[-1])
    # w and G are independent inputs; |w| < G keeps s off 0
    G = 1.5 * wave.global_magnitude_forward(w, offsets, scope)[0]
    return Problem(wave.phase_forward, wave.phase_backward, (w, G, offsets))


def draw_polar_to_wave(scope: str, rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    G = random_rows(rng, len(offsets) - 1, 3 if scope == "dimension" else 1)
    return Problem(
        wave.polar_to_wave_forward, wave.polar_to_wave_backward, (G, rng.uniform(0, np.pi, (offsets[-1], 3)), offsets)
    )


def draw_token2wave(scope: str, rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    forward = partial(wave.token2wave_forward, scope=scope)
    return Problem(forward, wave.token2wave_backward, (random_rows(rng, offsets[-1]), offsets))


def draw_wave(kind: str, scope: str, rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    forward = partial(wave.wave_forward, scope=scope, kind=kind)
    return Problem(forward, wave.wave_backward, (random_rows(rng, offsets[-1]), offsets))


def draw_operation(operation: str, rng: Generator) -> Problem:
    record = wave.OPERATIONS[operation]
    return Problem(record.forward, record.backward, (random_wave(rng, 5), random_wave(rng, 5)))


def draw_readout(kind: str, rng: Generator) -> Problem:
    return Problem(wave.readout_forward, wave.readout_backward, (random_wave(rng, 5), kind))


def draw_wave_pair(operation: str, readout: str, scope: str, rng: Generator) -> Problem:
    a, b = random_rows(rng, 4), random_rows(rng, 4)
    # Larger than a: the interference of a text of one token keeps off 0, the kink of its magnitude.
    b += 3.2 * np.sign(b)
    return Problem(FAST.wave_pair_forward, FAST.wave_pair_backward, (a, b, random_bag(rng), operation, readout, scope))


def draw_modulated_magnitude(rng: Generator) -> Problem:
    offsets = random_offsets(rng)
    inputs = (random_rows(rng, offsets[-1]), random_rows(rng, offsets[-1]), offsets)
    return Problem(wave.modulated_magnitude_forward, wave.modulated_magnitude_backward, inputs)


def draw_modulated_magnitude_of_sentences(rng: Generator) -> Problem:
    """Magnitudes of a by sentences, those of b by texts of 0 to 3 sentences."""
    offsets = random_offsets(rng)
    cuts = np.sort(rng.integers(0, len(offsets), 2))
    texts = np.concatenate([offsets[:1], offsets[cuts], offsets[-1:]])
    inputs = (random_rows(rng, offsets[-1]), random_rows(rng, offsets[-1]), offsets, texts)
    return Problem(wave.modulated_magnitude_forward, wave.modulated_magnitude_backward, inputs)


def draw_bag_magnitude(functions: Functions, rng: Generator) -> Problem:
    inputs = (random_rows(rng, 4), random_rows(rng, 4), random_bag(rng))
    return Problem(functions.bag_magnitude_forward, functions.bag_magnitude_backward, inputs)
