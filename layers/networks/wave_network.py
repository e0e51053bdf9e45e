"""The Wave Network: embedding → wave blocks → pooling → classifier, and its loss.

A composition: no mathematics of its own, only caches passed along. Source: Zhang & Sheng, arXiv 2411.02674.
"""

from typing import NamedTuple

import numpy as np

from engine.arguments import check_ids, check_offsets
from engine.backend import array_module, host_generator, random_generator
from engine.bag import distinct_tokens, merge_repeats, sum_entries
from engine.kernels import run_on
from engine.layer import Layer
from engine.ragged import RaggedBatch
from engine.table import format_table
from engine.transfer import move_together
from layers.networks.wave_block import WaveBlock
from layers.standard.dropout import dropout_backward, dropout_forward
from layers.standard.embedding import Embedding
from layers.standard.linear import Linear
from layers.standard.pooling import pooling_backward, pooling_forward
from layers.standard.softmax_cross_entropy import check_labels, log_softmax, softmax_cross_entropy_backward, softmax_cross_entropy_forward
from layers.standard.token_dropout import drop_tokens

INITIAL_VALUES = 0  # the random stream of the initial parameters


class Cache(NamedTuple):
    looked_up: tuple  # the Bag over the rows that were looked up, and their number
    embedding: tuple
    embedding_dropout: tuple
    blocks: tuple
    pooled: tuple  # the Bag that is pooled, and the number of rows it refers to
    pooling: tuple
    classifier_dropout: tuple
    classifier: tuple


class LossCache(NamedTuple):
    """logits: (B, C), for accuracy without a second forward pass; labels: (B,), where the logits are."""

    network: Cache
    logits: np.ndarray
    labels: np.ndarray
    loss: tuple


class WaveNetwork(Layer):
    """A Wave Network of a WaveNetworkConfig, for V token ids and C classes. Equal seeds give equal initial parameters."""

    def __init__(self, config, vocabulary, classes, seed=0, dtype=np.float32):
        rng = random_generator(seed, INITIAL_VALUES)
        self.config = config
        self.embedding = Embedding(vocabulary, config.dimension, rng, dtype, config.embedding_scale)
        self.blocks = [WaveBlock(config, rng, dtype) for _ in range(config.blocks)]
        self.classifier = Linear(config.dimension, classes, rng, dtype)

    def forward(self, batch, train=False, rng=None):
        """batch: RaggedBatch of B texts → logits (B, C), and the cache. Dropout acts only with train and an rng.

        The batch may be on the host while the parameters are on a device: which rows are needed is then worked out on the
        host, whose sizes are known without waiting for the device.
        """
        rng = rng if train else None
        config, table = self.config, self.embedding.table.value
        check_ids(batch.ids, len(table))
        check_offsets(batch.offsets, len(batch.ids))
        ids, offsets = drop_tokens(batch.ids, batch.offsets, config.token_dropout, host_generator(rng, batch.ids))
        rows, bag = self.bag_of(ids, offsets, rng)
        if run_on(table):
            bag = bag.linked(len(rows), write_out=config.scope == "text")  # for which there are no kernels
        rows, bag = move_together((rows, bag), table)
        looked_up = (bag, len(rows))
        x, embedding = self.embedding.forward(rows, distinct=True)
        if rng is not None and config.embedding_dropout:
            x, bag = bag.entries(x), bag.of_own_rows()  # every token drops entries of its own
        x, embedding_dropout = dropout_forward(x, config.embedding_dropout, rng)
        blocks = []
        for block in self.blocks:
            x, cache = block.forward(x, bag, rng)
            bag = cache.output_bag
            blocks.append(cache)
        pooled = (bag, len(x))
        x, pooling = pooling_forward(bag.entries(x), bag.offsets, config.pooling, bag.counts)
        x, classifier_dropout = dropout_forward(x, config.classifier_dropout, rng)
        logits, classifier = self.classifier.forward(x)
        return logits, Cache(looked_up, embedding, embedding_dropout, tuple(blocks), pooled, pooling, classifier_dropout, classifier)

    def bag_of(self, ids, offsets, rng):
        """(ids of the rows to look up, Bag over them): as few rows as give every token its own value.

        Entries that dropout sets apart stay apart, and [CLS] pooling needs the first token of a text in its place.
        """
        config = self.config
        rows, bag = distinct_tokens(ids, offsets, len(self.embedding.table.value))
        stays = config.pooling == "cls" or (rng is not None and (config.dropout or config.embedding_dropout))
        return rows, bag if stays else merge_repeats(bag, len(rows))

    def backward(self, dlogits, cache):
        """dlogits: (B, C). Adds to every parameter's gradient; token ids have none, so nothing is returned."""
        dx = self.classifier.backward(dlogits, cache.classifier)
        dx = dropout_backward(dx, cache.classifier_dropout)
        dx = sum_entries(pooling_backward(dx, cache.pooling), *cache.pooled)
        for block, block_cache in zip(reversed(self.blocks), reversed(cache.blocks)):
            dx = block.backward(dx, block_cache)
        dx = dropout_backward(dx, cache.embedding_dropout)
        if cache.embedding_dropout.scaled_mask is not None:
            dx = sum_entries(dx, *cache.looked_up)
        self.embedding.backward(dx, cache.embedding)

    def loss_forward(self, batch, train=False, rng=None):
        """Mean cross-entropy over the batch's labels (0-d, nat), and a cache that also holds the logits."""
        logits, network = self.forward(batch, train, rng)
        check_labels(batch.labels, *logits.shape)
        smoothing = self.config.label_smoothing if train else 0.0
        labels = move_together(batch.labels, logits)
        loss, cache = softmax_cross_entropy_forward(logits, labels, smoothing)
        return loss, LossCache(network, logits, labels, cache)

    def loss_backward(self, cache, dloss=1.0):
        """Adds the gradient of the loss to every parameter."""
        self.backward(softmax_cross_entropy_backward(dloss, cache.loss), cache.network)

    def probabilities(self, batch):
        """batch: RaggedBatch of B texts, labels not needed → (B, C) class probabilities."""
        logits, _ = self.forward(batch)
        return array_module(logits).exp(log_softmax(logits))

    def part_rows(self):
        """(part, shapes, parameter count) in the order of computation, for describe() and its JSON."""
        rows = {}
        for name, parameter in self.parameters().items():
            part = name.rpartition(".")[0]
            rows.setdefault(part, []).append(parameter.value)
        return [(part, [v.shape for v in values], sum(v.size for v in values)) for part, values in rows.items()]

    def describe(self):
        """A table of parts, shapes and parameter counts."""
        rows = [(part, "  ".join("×".join(map(str, s)) for s in shapes), f"{count:,}") for part, shapes, count in self.part_rows()]
        total, table = self.parameter_count(), self.embedding.table.value.size
        rows += [("total", "", f"{total:,}"), ("without the embedding table", "", f"{total - table:,}")]
        config = self.config
        heading = f"Wave Network: {config.operation}, {config.readout} readout, magnitude per {config.scope}, {config.pooling} pooling"
        return heading + "\n\n" + format_table(["part", "shapes", "parameters"], rows, align="<<>")


def example_batch(vocabulary, classes, lengths, seed=0):
    """A RaggedBatch of random ids and labels with these text lengths, for checks and measurements."""
    rng = random_generator(seed, 1)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return RaggedBatch(rng.integers(0, vocabulary, offsets[-1]), offsets, rng.integers(0, classes, len(lengths)))
