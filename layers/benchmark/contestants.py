"""Both engines in one form: train_step(batch) → loss, probabilities(batch)."""

import importlib.util

from engine.backend import random_generator
from engine.training.adamw import AdamW
from engine.training.step import update

LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 1e-3, 0.01, 1.0


class OurTraining:
    """A WaveNetwork with this project's AdamW and clipping."""

    def __init__(self, network):
        self.network = network
        self.optimizer = AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
        self.steps = 0

    def train_step(self, batch):
        """One update; returns the loss."""
        self.steps += 1
        rng = random_generator(0, self.steps)
        return float(update(self.network, self.optimizer, batch, rng, LEARNING_RATE, CLIP_NORM).loss)

    def probabilities(self, batch):
        return self.network.probabilities(batch)


def peer_is_installed():
    """Whether PyTorch can be imported (extra bench)."""
    return importlib.util.find_spec("torch") is not None


def contestants_of(network, with_peer):
    """{"ours": …, "peer": …} around one WaveNetwork; the peer takes copies of its parameters, so it comes first."""
    made = {}
    if with_peer:
        from layers.benchmark.peer import PeerTraining

        made["peer"] = PeerTraining(network, LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM)
    return {"ours": OurTraining(network), **made}
