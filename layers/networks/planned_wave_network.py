"""The Wave Network: embedding → wave blocks → pooling → classifier.

A composition: no mathematics of its own, only caches passed along. Source: Zhang & Sheng, arXiv 2411.02674.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.backend import host_generator, move_together, random_generator
from engine.arrays.bag import Bag, distinct_tokens, merge_repeats, padded, sum_entries
from engine.arrays.checks import check_ids, check_offsets
from engine.cuda.kernels import run_on
from layers.costs import Flops
from layers.networks.text_classifier import INITIAL_VALUES, TextClassifier
from layers.networks.wave_block import WaveBlock
from layers.standard.dropout import dropout_backward, dropout_forward
from layers.standard.embedding import Embedding
from layers.standard.linear import Linear
from layers.standard.pooling import pooling_backward, pooling_flops, pooling_forward
from layers.standard.softmax_cross_entropy import check_labels
from layers.standard.token_dropout import drop_tokens


class Cache(NamedTuple):
    looked_up: tuple  # the Bag over the rows that were looked up, and their number
    embedding: tuple
    embedding_dropout: tuple
    blocks: tuple
    pooled: tuple  # the Bag that is pooled, and the number of rows it refers to
    pooling: tuple
    classifier_dropout: tuple
    classifier: tuple


class Prepared(NamedTuple):
    """What a batch is to a WaveNetwork: ids of the rows to look up (U,), the Bag over them, and the labels (B,) or None."""

    rows: np.ndarray
    bag: Bag
    labels: np.ndarray | None


class WaveNetwork(TextClassifier):
    """A Wave Network of a WaveNetworkConfig, for V token ids and C classes. Equal seeds give equal initial parameters."""

    def __init__(self, config, vocabulary, classes, seed=0, dtype=np.float32):
        rng = random_generator(seed, INITIAL_VALUES)
        self.config = config
        self.embedding = Embedding(vocabulary, config.dimension, rng, dtype, config.embedding_scale)
        self.blocks = [WaveBlock(config, rng, dtype) for _ in range(config.blocks)]
        self.classifier = Linear(config.dimension, classes, rng, dtype)

    def forward(self, batch, train=False, rng=None):
        """batch: RaggedBatch of B texts, or Prepared → logits (B, C), and the cache. Dropout acts only with train and an rng.

        The batch may be on the host while the parameters are on a device: which rows are needed is then worked out on the
        host, whose sizes are known without waiting for the device.
        """
        rng = rng if train else None
        config = self.config
        rows, bag, _ = batch if isinstance(batch, Prepared) else self.prepared(batch, rng)
        rows, bag = move_together((rows, bag), self.embedding.table.value)
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
        return logits, Cache(
            looked_up, embedding, embedding_dropout, tuple(blocks), pooled, pooling, classifier_dropout, classifier
        )

    def prepared(self, batch, rng):
        """The Prepared of a RaggedBatch where that lies. rng: of dropout of tokens, None to predict. ValueError for wrong ids or offsets."""
        config, table = self.config, self.embedding.table.value
        check_ids(batch.ids, len(table))
        check_offsets(batch.offsets, len(batch.ids))
        host = host_generator(rng, batch.ids) if config.token_dropout else None
        ids, offsets = drop_tokens(batch.ids, batch.offsets, config.token_dropout, host, config.spared_tokens)
        rows, bag = self.bag_of(ids, offsets, rng)
        if run_on(table):
            goes_on_with_texts = any(block.is_alike for block in self.blocks) and not config.wave_residual
            bag = bag.linked(
                len(rows), goes_on_with_texts, write_out=config.scope == "text"
            )  # for which there are no kernels
        return Prepared(rows, bag, batch.labels)

    def padded(self, batch, rng):
        """(Prepared of a RaggedBatch with labels on the host, padded; the real number of its rows), for a step of training by kernels.

        None where padding would not do, or a graph not know: numbers are drawn on the device, or entries have to do with one another
        outside of kernels. ValueError for wrong ids, offsets or labels.
        """
        config, table = self.config, self.embedding.table.value
        draws = rng is not None and (config.dropout or config.embedding_dropout or config.classifier_dropout)
        on_host = isinstance(batch.ids, np.ndarray) and batch.labels is not None
        if (
            not on_host
            or not run_on(table)
            or draws
            or config.pooling != "mean"
            or config.scope != "dimension"
            or len(batch.offsets) < 2
        ):
            return None
        check_labels(batch.labels, len(batch.offsets) - 1, len(self.classifier.bias.value))
        rows, bag, labels = self.prepared(batch, rng)
        return Prepared(*padded(rows, bag), labels), len(rows)

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

    def flops(self, batch):
        """Flops of loss_forward and loss_backward of a training step without dropout. batch: RaggedBatch on the host."""
        config, d, texts = self.config, self.config.dimension, len(batch.offsets) - 1
        rows, sizes, bag = self.sizes_of(batch)
        parts = [self.embedding.flops(rows, distinct=True), *(block.flops(*s) for block, s in zip(self.blocks, sizes))]
        entries = bag.entry_count()
        parts.append(pooling_flops(entries, texts, d, config.pooling, bag.counts is not None))
        if not self.blocks:
            parts.append(Flops(0, entries * d))  # summed over the entries of each row
        return sum(parts, start=self.closing_flops(texts))

    def mixing_flops(self, batch):
        """Those of the part in which tokens see one another: the waves of all blocks."""
        _, sizes, _ = self.sizes_of(batch)
        return sum((block.mixing_flops(*s) for block, s in zip(self.blocks, sizes)), start=Flops(0, 0))

    def sizes_of(self, batch):
        """(number of rows looked up, the sizes that each block's flops() takes, the Bag that is pooled) of a batch without dropout."""
        tokens, texts, sizes = len(batch.ids), len(batch.offsets) - 1, []
        ids, bag = self.bag_of(batch.ids, batch.offsets, None)
        rows = len(ids)
        for block in self.blocks:
            sizes.append((rows, bag.entry_count(), texts, tokens, bag.places is None))
            if block.is_alike and not self.config.wave_residual:
                rows, bag = texts, bag.one_row_per_text()
            else:
                rows, bag = bag.entry_count(), bag.of_own_rows()
        return len(ids), sizes, bag

    def heading(self):
        """What network this is, in a line."""
        config = self.config
        return f"Wave Network: {config.operation}, {config.readout} readout, magnitude per {config.scope}, {config.pooling} pooling"
