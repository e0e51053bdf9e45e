"""Train a network of this project with its own AdamW and clipping: the contestant that the benchmarks measure."""

from engine.arrays.backend import random_generator
from engine.arrays.ragged import RaggedBatch
from engine.training.adamw import AdamW
from engine.training.step import update
from engine.types import Floats, Floats2d
from layers.networks.text_classifier import TextClassifier

LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 1e-3, 0.01, 1.0


class OurTraining:
    """A network with its optimizer on "cpu" or "cuda". It changes the arrays of the network that it is given."""

    def __init__(self, network: TextClassifier, device: str = "cpu") -> None:
        self.network, self.device = network.to(device), device
        self.optimizer = AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
        self.steps = 0

    def train_step(self, batch: RaggedBatch) -> Floats:
        """Do one update with a batch on the host; return the loss, 0-d on the device, without waiting for it."""
        self.steps += 1
        rng = random_generator(0, self.steps, device=self.device)
        return update(self.network, self.optimizer, batch, rng, LEARNING_RATE, CLIP_NORM).loss

    def probabilities(self, batch: RaggedBatch) -> Floats2d:
        """(B, C) class probabilities of a batch on the host."""
        return self.network.probabilities(batch)

    def end_epoch(self) -> None:
        """Let all rows of the embedding table catch up on the steps they missed, as before a network is evaluated."""
        self.optimizer.catch_up()

    def has_stopped(self) -> bool:
        """Whether a number that was not finite has stopped all further updates: on a device that raises nothing."""
        control = self.optimizer.control
        return control is not None and float(control[2]) != 0
