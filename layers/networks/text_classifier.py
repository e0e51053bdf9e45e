"""TextClassifier, the base of all networks: logits become a loss, probabilities and gradients, and parts a table."""

from typing import Any, NamedTuple, TypeVar

import numpy as np

from engine.arrays.backend import array_module, move_together, random_generator, to_device
from engine.arrays.ragged import RaggedBatch, offsets_from
from engine.layer import Parameter
from engine.support.text import format_table
from engine.training.calibration import softmax
from engine.types import Array, Floats, Floats2d
from layers.networks.parts import Embedding, Linear, Part
from layers.standard.sigmoid_cross_entropy import check_targets, sigmoid
from layers.standard.softmax_cross_entropy import check_labels


class LossCache(NamedTuple):
    """logits: (B, C), for accuracy without a second forward pass; labels: those of the batch, where the logits are."""

    network: Any
    logits: Floats2d
    labels: Array
    loss: Any


ClassifierType = TypeVar("ClassifierType", bound="TextClassifier")


class TextClassifier(Part):
    """Base of the networks that label texts.

    class_weights: (C,), or (2, C) of a no and a yes where a text may have several labels: weights of the training loss.
    temperature: what probabilities() divides the logits by.
    """

    config: Any
    embedding: Embedding
    classifier: Linear
    class_weights: Floats | None = None
    temperature = 1.0

    def to(self: ClassifierType, device: str) -> ClassifierType:
        """Move all parameters and the weights of classes to "cpu" or "cuda"; returns self."""
        super().to(device)
        if self.class_weights is not None:
            self.class_weights = to_device(self.class_weights, device)
        return self

    def forward(self, batch: Any, train: bool = False, rng: Any = None) -> tuple[Floats2d, Any]:
        """batch: B texts → logits (B, C), and the cache."""
        raise NotImplementedError

    def backward(self, dlogits: Floats2d, cache: Any) -> None:
        """dlogits: (B, C). Add to every parameter's gradient."""
        raise NotImplementedError

    def heading(self) -> str:
        """The kind of network and its choices, in a line."""
        raise NotImplementedError

    def embedding_table(self) -> Parameter:
        """The table of the embeddings of token ids (V, d)."""
        return self.embedding.table

    def loss_forward(self, batch: Any, train: bool = False, rng: Any = None) -> tuple[Floats, LossCache]:
        """Mean cross-entropy over the batch's labels (0-d, nat), and a cache that also holds the logits.

        Smoothing and the weights of classes act only with train.
        """
        logits, network = self.forward(batch, train, rng)
        smoothing, weights = self.loss_settings(train, logits.dtype)
        if self.has_several_labels():
            check_targets(batch.labels, *logits.shape)
            labels = move_together(batch.labels, logits)
            loss, cache = self.functions.sigmoid_cross_entropy_forward(logits, labels, smoothing, weights)  # E24
        else:
            check_labels(batch.labels, *logits.shape)
            labels = move_together(batch.labels, logits)
            loss, cache = self.functions.softmax_cross_entropy_forward(logits, labels, smoothing, weights)  # E15
        return loss, LossCache(network, logits, labels, cache)

    def loss_settings(self, train: bool, dtype: Any) -> tuple[float, Floats | None]:
        """(label smoothing, weights of classes), which act only in training."""
        if not train:
            return 0.0, None
        weights = None if self.class_weights is None else self.class_weights.astype(dtype, copy=False)
        return self.config.label_smoothing, weights

    def has_several_labels(self) -> bool:
        """Whether a text may have several labels, or none: each class is then a decision of its own."""
        return bool(self.config.labels == "several")

    def loss_backward(self, cache: LossCache, dloss: float = 1.0) -> None:
        """Add the gradient of the loss to every parameter."""
        f = self.functions
        back = f.sigmoid_cross_entropy_backward if self.has_several_labels() else f.softmax_cross_entropy_backward
        self.backward(back(dloss, cache.loss), cache.network)

    def probabilities(self, batch: RaggedBatch) -> Floats2d:
        """batch: RaggedBatch of B texts, labels not needed → (B, C) class probabilities.

        Those of a text sum to 1, unless it may have several labels.
        """
        logits, _ = self.forward(batch)
        if self.temperature != 1:
            logits = logits / logits.dtype.type(self.temperature)
        return self.probabilities_of(logits)

    def probabilities_of(self, logits: Floats2d) -> Floats2d:
        """(B, C) logits → class probabilities at temperature 1."""
        return sigmoid(logits) if self.has_several_labels() else softmax(logits)

    def at_temperature(self, p: Floats2d) -> Floats2d:
        """Class probabilities (B, C) of temperature 1 at that of this network, for a mean that has no logits."""
        if self.temperature == 1:
            return p
        logits = logits_of_mean(p, self.has_several_labels())
        return self.probabilities_of(logits / logits.dtype.type(self.temperature))

    def part_rows(self) -> list[tuple[str, list[tuple[int, ...]], int]]:
        """(part, shapes, parameter count) in the order of computation, for describe() and its JSON."""
        rows: dict[str, list[Array]] = {}
        for name, parameter in self.parameters().items():
            part = name.rpartition(".")[0]
            rows.setdefault(part, []).append(parameter.value)
        return [(part, [v.shape for v in values], sum(v.size for v in values)) for part, values in rows.items()]

    def parameters_beside_tables(self) -> int:
        """Number of trainable numbers that are not in a table of token ids."""
        tables, named = ("embedding.table", "ratios.weights"), self.parameters().items()
        return sum(parameter.value.size for name, parameter in named if not name.endswith(tables))

    def describe(self) -> str:
        """A table of parts, shapes and parameter counts."""
        rows = [
            (part, "  ".join("×".join(map(str, s)) for s in shapes), f"{count:,}")
            for part, shapes, count in self.part_rows()
        ]
        total, others = self.parameter_count(), self.parameters_beside_tables()
        rows += [("total", "", f"{total:,}"), ("without the embedding table", "", f"{others:,}")]
        return self.heading() + "\n\n" + format_table(["part", "shapes", "parameters"], rows, align="<<>")


def logits_of_mean(p: Floats2d, several: bool) -> Floats2d:
    """Finite logits of probabilities (B, C): log p, of single decisions log p/(1 − p)."""
    xp, limits = array_module(p), np.finfo(p.real.dtype)
    logits: Floats2d = xp.log(xp.maximum(p, limits.tiny))
    return logits - xp.log(xp.maximum(1 - p, limits.tiny)) if several else logits


def example_batch(
    vocabulary: int, classes: int, lengths: list[int], seed: int = 0, several_labels: bool = False
) -> RaggedBatch:
    """A RaggedBatch of random ids, labels and sentences with these text lengths, for checks and measurements."""
    rng = random_generator(seed, 1)
    offsets = offsets_from(lengths)
    ids, labels = rng.integers(0, vocabulary, offsets[-1]), rng.integers(0, classes, len(lengths))
    ends = rng.integers(0, offsets[-1] + 1, len(ids) // 4)
    sets = rng.random((len(lengths), classes)) < 0.4 if several_labels else None
    return RaggedBatch(ids, offsets, labels if sets is None else sets, np.union1d(offsets, ends))
