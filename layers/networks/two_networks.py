"""Two networks in one training, each on its own view of the same texts.

    L = s·L_1 + (1 − s)·L_2          p = s·p_1 + (1 − s)·p_2          s: the share of the first

Each is a network of its own, perhaps of several heads (heads.py) or again of two; only the loss and the probabilities
are shared. No mathematics of its own: both sums are linear, so each has the gradient of its own loss times its share.
"""

from typing import Any, NamedTuple

from engine.arrays.ragged import RaggedBatch
from engine.types import Floats, Floats2d
from layers.networks.configs import WaveNetworkConfig
from layers.networks.text_classifier import LossCache, TextClassifier, logits_of_mean


class Views(NamedTuple):
    """The parts of a batch that each network takes."""

    first: Any
    second: Any


class TwoNetworks(TextClassifier):
    """The network of a WaveNetworkConfig from two others."""

    config: WaveNetworkConfig
    embedding_table: Any = None  # each has its own

    def networks(self) -> tuple[Any, Any]:
        """The two."""
        raise NotImplementedError

    def counts(self) -> tuple[int, int]:
        """The number of heads in each, which have equal shares."""
        raise NotImplementedError

    def views(self, batch: RaggedBatch) -> Views:
        """The views of a batch that each of them gets."""
        return Views(batch, batch)

    @property
    def class_weights(self) -> Floats | None:
        """Weights of the training loss, which both have."""
        weights: Floats | None = self.networks()[0].class_weights
        return weights

    @class_weights.setter
    def class_weights(self, weights: Floats | None) -> None:
        for network in self.networks():
            network.class_weights = weights

    def shares(self) -> tuple[float, float]:
        """The share of each in the loss and in the probabilities."""
        first, second = self.counts()
        return first / (first + second), second / (first + second)

    def halves(self, batch: RaggedBatch) -> list[tuple[Any, RaggedBatch]]:
        """[(network, its view of a batch)] of both."""
        return list(zip(self.networks(), self.views(batch)))

    def prepared(self, batch: RaggedBatch, rng: Any) -> Views:
        """Prepare both views of a batch, one after the other, where networks prepare something."""
        made = []
        for network, view in self.halves(batch):
            prepare = getattr(network, "prepared", None)
            made.append(view if prepare is None else prepare(view, rng))
        return Views(*made)

    def loss_forward(self, batch: Any, train: bool = False, rng: Any = None) -> tuple[Floats, LossCache]:
        """batch: RaggedBatch, or what prepared() made of it → loss (0-d, nat), and a cache.

        Its logits are those of the mean probabilities, so that the largest is the decision of all heads.
        """
        views = batch if isinstance(batch, Views) else self.prepared(batch, rng if train else None)
        (one, first), (other, second) = (
            network.loss_forward(view, train, rng) for network, view in zip(self.networks(), views)
        )
        share, rest = self.shares()
        p = self.mean(self.probabilities_of(first.logits), self.probabilities_of(second.logits))
        logits = logits_of_mean(p, self.has_several_labels())
        return share * one + rest * other, LossCache((first, second), logits, first.labels, None)

    def loss_backward(self, cache: LossCache, dloss: float = 1.0) -> None:
        for network, own, share in zip(self.networks(), cache.network, self.shares()):
            network.loss_backward(own, dloss * share)

    def probabilities(self, batch: RaggedBatch) -> Floats2d:
        """batch: B texts, labels not needed → (B, C) class probabilities, the mean of those of all heads."""
        return self.at_temperature(self.mean(*(network.probabilities(view) for network, view in self.halves(batch))))

    def mean(self, first: Floats2d, second: Floats2d) -> Floats2d:
        """The mean over all heads of the mean probabilities of each network, (B, C) each."""
        share, rest = (first.dtype.type(part) for part in self.shares())
        p: Floats2d = share * first + rest * second
        return p

    def learn_counts(self, texts: RaggedBatch, counted: int | None = None) -> None:
        """Count the labels of all training texts for the shortcuts; counted: as of a single network."""
        for network in self.networks():
            network.learn_counts(texts, counted)
