"""The base of all networks: logits become a loss, probabilities and gradients, and parts become a table.

A network adds forward(batch, train, rng) → logits, cache and backward(dlogits, cache), and has `config` (with
label_smoothing), `embedding` and `classifier`. No mathematics of its own.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import array_module, move_together, random_generator
from engine.arrays.ragged import RaggedBatch
from engine.support.text import format_table
from engine.types import Array, Floats, Floats2d, Ints1d
from layers.networks.parts import Embedding, Linear, Part
from layers.standard.softmax_cross_entropy import check_labels, log_softmax

INITIAL_VALUES = 0  # the random stream of the initial parameters


class LossCache(NamedTuple):
    """logits: (B, C), for accuracy without a second forward pass; labels: (B,), where the logits are."""

    network: Any
    logits: Floats2d
    labels: Ints1d
    loss: Any


class TextClassifier(Part):
    """Base of the networks that label texts."""

    config: Any
    embedding: Embedding
    classifier: Linear

    def forward(self, batch: Any, train: bool = False, rng: Any = None) -> tuple[Floats2d, Any]:
        """batch: B texts → logits (B, C), and the cache."""
        raise NotImplementedError

    def backward(self, dlogits: Floats2d, cache: Any) -> None:
        """dlogits: (B, C). Add to every parameter's gradient."""
        raise NotImplementedError

    def heading(self) -> str:
        """The kind of network and its choices, in a line."""
        raise NotImplementedError

    def loss_forward(self, batch: Any, train: bool = False, rng: Any = None) -> tuple[Floats, LossCache]:
        """Mean cross-entropy over the batch's labels (0-d, nat), and a cache that also holds the logits."""
        logits, network = self.forward(batch, train, rng)
        check_labels(batch.labels, *logits.shape)
        smoothing = self.config.label_smoothing if train else 0.0
        labels = move_together(batch.labels, logits)
        loss, cache = self.functions.softmax_cross_entropy_forward(logits, labels, smoothing)
        return loss, LossCache(network, logits, labels, cache)

    def loss_backward(self, cache: LossCache, dloss: float = 1.0) -> None:
        """Add the gradient of the loss to every parameter."""
        self.backward(self.functions.softmax_cross_entropy_backward(dloss, cache.loss), cache.network)

    def probabilities(self, batch: RaggedBatch) -> Floats2d:
        """batch: RaggedBatch of B texts, labels not needed → (B, C) class probabilities."""
        logits, _ = self.forward(batch)
        p: Floats2d = array_module(logits).exp(log_softmax(logits))
        return p

    def part_rows(self) -> list[tuple[str, list[tuple[int, ...]], int]]:
        """(part, shapes, parameter count) in the order of computation, for describe() and its JSON."""
        rows: dict[str, list[Array]] = {}
        for name, parameter in self.parameters().items():
            part = name.rpartition(".")[0]
            rows.setdefault(part, []).append(parameter.value)
        return [(part, [v.shape for v in values], sum(v.size for v in values)) for part, values in rows.items()]

    def describe(self) -> str:
        """A table of parts, shapes and parameter counts."""
        rows = [
            (part, "  ".join("×".join(map(str, s)) for s in shapes), f"{count:,}")
            for part, shapes, count in self.part_rows()
        ]
        total, table = self.parameter_count(), self.embedding.table.value.size
        rows += [("total", "", f"{total:,}"), ("without the embedding table", "", f"{total - table:,}")]
        return self.heading() + "\n\n" + format_table(["part", "shapes", "parameters"], rows, align="<<>")


def example_batch(vocabulary: int, classes: int, lengths: list[int], seed: int = 0) -> RaggedBatch:
    """A RaggedBatch of random ids and labels with these text lengths, for checks and measurements."""
    rng = random_generator(seed, 1)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return RaggedBatch(rng.integers(0, vocabulary, offsets[-1]), offsets, rng.integers(0, classes, len(lengths)))
