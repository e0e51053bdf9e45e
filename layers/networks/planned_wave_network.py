"""The Wave Network of wave_network.py, each distinct row computed once by a WavePlan.

The parameters are those of WaveNetwork, and so are logits, loss and gradients, to rounding. No mathematics of its own.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import move_together
from engine.arrays.bag import sum_entries
from engine.arrays.ragged import RaggedBatch, gather_rows, segment_sum
from engine.layer import RowSparse
from engine.types import Floats1d, Floats2d
from layers.fast import FUNCTIONS, has_kernels, needs_inverse_index
from layers.networks.configs import WaveNetworkConfig
from layers.networks.parts import Linear
from layers.networks.placed_rows import MapCache, PlacedRows, map_backward, map_forward, sum_of_rows_backward
from layers.networks.wave_network import WaveBlock, WaveNetwork
from layers.networks.wave_plan import (
    BlockPlan,
    WavePlan,
    maps_distinct_rows,
    pad_plan,
    plan_batch,
    runs_token_by_token,
    shares_magnitude,
)
from layers.standard.softmax_cross_entropy import check_labels


class TokenwiseCache(NamedTuple):
    """The cache of a block that was computed token by token."""

    block: Any


class BlockCache(NamedTuple):
    """Caches in the order of computation; those of parts that the config leaves out are None. rows: U."""

    rows: int
    first_variant: Any
    second_variant: Any
    waves: Any
    projection: Any
    dropout: Any
    wave_norm: Any
    feed_forward: Any
    feed_forward_dropout: Any
    feed_forward_norm: Any


class Cache(NamedTuple):
    """plan: where the parameters are; row_count: U."""

    plan: WavePlan
    row_count: int
    embedding_dropout: Any
    blocks: tuple[Any, ...]
    pooling: Any
    classifier_dropout: Any
    classifier: Any
    shortcut: Any
    shortcut_sum: Any


class PlannedWaveNetwork(WaveNetwork):
    """A Wave Network of a WaveNetworkConfig, for V token ids and C classes.

    Equal seeds give equal initial parameters.
    """

    def __init__(
        self, config: WaveNetworkConfig, vocabulary: int, classes: int, seed: int | None = 0, dtype: Any = np.float32
    ):
        super().__init__(config, vocabulary, classes, seed, dtype)
        self.use(FUNCTIONS["fast"])

    def plan(self, batch: RaggedBatch, rng: Any = None) -> WavePlan:
        """The WavePlan of a batch where that lies. rng: of dropout, None to predict.

        Raises ValueError for wrong ids or offsets.
        """
        table = self.embedding.table.value
        return plan_batch(
            self.config,
            self.kept_tokens(batch, rng),
            len(table),
            dropping=rng is not None,
            indexed=needs_inverse_index(table),
            expand=not self.has_kernels() and needs_inverse_index(table),
            distinct=self.shortcut_tokens(batch, rng),
        )

    def prepared(self, batch: RaggedBatch, rng: Any) -> RaggedBatch | WavePlan:
        """The WavePlan of a batch for a training pass on the host, whatever the parameters are by then."""
        return batch if needs_inverse_index(self.embedding.table.value) else self.plan(batch, rng)

    def has_kernels(self) -> bool:
        """Whether there are kernels for the waves, so that nothing needs single tokens."""
        config = self.config
        known = shares_magnitude(config) or has_kernels(config.operation, config.readout, config.scope)
        return known and not runs_token_by_token(config)

    def padded(self, batch: RaggedBatch, rng: Any) -> tuple[WavePlan, int] | None:
        """(padded WavePlan of a batch with labels on the host, real number of its rows), for a step by a CUDA graph.

        None where padding would not do, or a graph not know: numbers are drawn on the device, something is computed
        outside of kernels, or labels are no list of integers. Raises ValueError for wrong ids, offsets or labels.
        """
        config, table = self.config, self.embedding.table.value
        draws = rng is not None and (config.dropout or config.embedding_dropout or config.classifier_dropout)
        if draws or not needs_inverse_index(table):  # then it may be a WavePlan already
            return None
        if not (isinstance(batch.ids, np.ndarray) and batch.labels is not None and len(batch.offsets) > 1):
            return None
        if not self.has_kernels() or config.pooling != "mean" or self.has_several_labels() or self.shortcut:
            return None
        if self.embedding.table.frozen is not None:  # how many rows have a gradient is then known on the device alone
            return None
        check_labels(batch.labels, len(batch.offsets) - 1, self.classifier.weight.value.shape[1])
        plan = self.plan(batch, rng)
        return pad_plan(config, plan), len(plan.ids)

    def forward(self, batch: Any, train: bool = False, rng: Any = None) -> tuple[Floats2d, Any]:
        """batch: RaggedBatch of B texts, or their WavePlan → logits (B, C), and the Cache.

        Dropout acts only with train and an rng.

        The batch may be on the host while the parameters are on a device: which rows are needed is then worked out on
        the host, whose sizes are known without waiting for the device.
        """
        f, config, rng = self.functions, self.config, rng if train else None
        plan = batch if isinstance(batch, WavePlan) else self.plan(batch, rng)
        plan = move_together(plan, self.embedding.table.value)
        x = self.input_rows(plan, rng)  # E9, E22
        embedding_dropout = None
        if not isinstance(x, PlacedRows):
            x, embedding_dropout = f.dropout_forward(x, config.embedding_dropout, rng)  # E13
        blocks = []
        for block, block_plan in zip(self.blocks, plan.blocks):
            x, cache = self.block_forward(block, x, block_plan, rng)  # E4 to E8
            blocks.append(cache)
        x, pooling = f.bag_pooling_forward(x, plan.pooled, config.pooling)  # E14
        x, classifier_dropout = f.dropout_forward(x, config.classifier_dropout, rng)  # E13
        logits, classifier = self.classifier.forward(x)  # E8
        shortcut = shortcut_sum = None
        if self.shortcut and plan.distinct:
            y, shortcut = self.shortcut.forward(plan.distinct, plan.labels if train else None)  # E25
            logits, shortcut_sum = f.residual_forward(logits, y)  # E21
        return logits, Cache(
            plan, len(plan.ids), embedding_dropout, tuple(blocks), pooling, classifier_dropout, classifier,
            shortcut, shortcut_sum,
        )  # fmt: skip

    def backward(self, dlogits: Floats2d, cache: Any) -> None:
        """dlogits: (B, C). Adds to every parameter's gradient; token ids have none, so nothing is returned."""
        f, plan = self.functions, cache.plan
        if self.shortcut:
            dlogits, dy = f.residual_backward(dlogits, cache.shortcut_sum)
            self.shortcut.backward(dy, cache.shortcut)
        dx = self.classifier.backward(dlogits, cache.classifier)
        dx = f.dropout_backward(dx, cache.classifier_dropout)
        dx = f.bag_pooling_backward(dx, cache.pooling)
        for block, block_cache, block_plan in zip(reversed(self.blocks), reversed(cache.blocks), reversed(plan.blocks)):
            dx = self.block_backward(block, dx, block_cache, block_plan)
        if cache.embedding_dropout is not None:
            dx = f.dropout_backward(dx, cache.embedding_dropout)
        self.input_backward(dx, plan)

    def input_rows(self, plan: WavePlan, rng: Any) -> Floats2d | PlacedRows:
        """The rows of the first block's input, one for each token or each entry; tokens and places apart if that does.

        rng: of dropout, None to predict.
        """
        w = gather_rows(self.embedding.table.value, plan.ids)  # E9
        if plan.lookup is None or plan.places is None or self.position_encoding is None:
            return w if plan.lookup is None else plan.lookup.entries(w)
        assert plan.positions is not None
        p = self.position_encoding.values(w)[: len(plan.positions)]
        x = PlacedRows(w, p, plan.lookup, plan.places)
        drops = rng is not None and self.config.embedding_dropout > 0
        return x if maps_distinct_rows(self.config, drops) else x.entries()  # E22

    def input_backward(self, dx: Any, plan: WavePlan) -> None:
        """dx: as input_rows, or the gradients (dw, dp) of tokens and positions. Adds to the gradients of both."""
        dw, dp = dx if isinstance(dx, tuple) else (dx, None)
        if dw is dx and plan.lookup is not None:
            dw = sum_entries(dx, plan.lookup, len(plan.ids))
        self.embedding.table.accumulate(RowSparse(plan.ids, dw))
        if self.position_encoding is None or plan.positions is None or plan.places is None:
            return
        dp = sum_entries(dx, plan.places, len(plan.positions)) if dp is None else dp
        self.position_encoding.accumulate(RowSparse(plan.positions, dp))

    def block_forward(
        self, block: WaveBlock, x: Floats2d | PlacedRows, plan: BlockPlan, rng: Any
    ) -> tuple[Floats2d, BlockCache | TokenwiseCache]:
        """WaveBlock.forward over a bag.

        x: (U, d), bag: P entries over these rows → y: (P, d), or a row for each segment (S, d) if collapsed.
        """
        f, config, (bag, second, spread) = self.functions, self.config, plan
        if runs_token_by_token(config):
            assert not isinstance(x, PlacedRows)
            second_offsets = None if second is None else second.offsets
            y, cache = block.forward(x, bag.offsets, rng, second_offsets)
            return y, TokenwiseCache(cache)
        projection = wave_norm = feed_forward = feed_forward_dropout = feed_forward_norm = None
        alike = shares_magnitude(config)
        a, first_variant = self.variant_forward(block.first_variant, x, alike)
        b, second_variant = self.variant_forward(block.second_variant, x, alike)
        if alike:
            y, waves = f.bag_magnitude_forward(a, b, bag, *self.biases(block), second)  # E17
        else:
            y, waves = f.wave_pair_forward(a, b, bag, config.operation, config.readout, config.scope, second)
        del a, b  # memory that the cache may not need
        if block.projection:
            y, projection = block.projection.forward(y)
        if spread is not None and rng is not None and config.dropout:
            y, spread = gather_rows(y, spread), None  # every entry drops its own
        y, dropout = f.dropout_forward(y, config.dropout, rng)
        rows = len(x.w) if isinstance(x, PlacedRows) else len(x)
        added = None  # E21
        if config.adds_input():
            added = x.entries() if isinstance(x, PlacedRows) else x
        if block.wave_norm and added is None:
            y, wave_norm = block.wave_norm.forward(y)
        elif block.wave_norm:
            y, wave_norm = block.wave_norm.forward(y, added, spread, bag.row_index)
        elif added is not None:
            y = (y if spread is None else gather_rows(y, spread)) + bag.entries(added)
        if block.feed_forward and block.feed_forward_norm:
            z, feed_forward = block.feed_forward.forward(y, rng)
            z, feed_forward_dropout = f.dropout_forward(z, config.dropout, rng)
            y, feed_forward_norm = block.feed_forward_norm.forward(z, y)
        return y, BlockCache(
            rows, first_variant, second_variant, waves, projection, dropout, wave_norm,
            feed_forward, feed_forward_dropout, feed_forward_norm,
        )  # fmt: skip

    def block_backward(self, block: WaveBlock, dy: Floats2d, cache: Any, plan: BlockPlan) -> Any:
        """dy: (P, d), for each entry the sum over its tokens → dx: (U, d), of PlacedRows the pair (dw, dp)."""
        if isinstance(cache, TokenwiseCache):
            return block.backward(dy, cache.block)
        f, (bag, _, spread), adds_input = self.functions, plan, self.config.adds_input()
        if block.feed_forward and block.feed_forward_norm:
            dy = block.feed_forward_norm.backward(dy, cache.feed_forward_norm)
            dz = f.dropout_backward(dy, cache.feed_forward_dropout)
            dy = dy + block.feed_forward.backward(dz, cache.feed_forward)
        if block.wave_norm:
            dy = block.wave_norm.backward(dy, cache.wave_norm)
        dresidual = dy
        if cache.dropout.scaled_mask is not None:  # else y may have a row for each text, dy one for each entry
            dy = f.dropout_backward(dy, cache.dropout)
        if block.projection:
            dy = block.projection.backward(dy, cache.projection)
        if shares_magnitude(self.config):
            dy = dy if spread is None else segment_sum(dy, bag.offsets)
            da, db = f.bag_magnitude_backward(dy, cache.waves)
        else:
            da, db = f.wave_pair_backward(dy, cache.waves)
        first, second = block.first_variant, block.second_variant
        if first is None or second is None:
            dx = da + db
        elif isinstance(cache.first_variant, MapCache):
            pair = map_backward(first, da, cache.first_variant)
            if adds_input:
                of_x = sum_of_rows_backward(dresidual, cache.first_variant.x)
                pair = pair[0] + of_x[0], pair[1] + of_x[1]
            return map_backward(second, db, cache.second_variant, pair)
        else:
            dx = first.backward(da, cache.first_variant)
            dx = second.backward(db, cache.second_variant, dx)
        return sum_entries(dresidual, bag, cache.rows, dx) if adds_input else dx

    def variant_forward(
        self, variant: Linear | None, x: Floats2d | PlacedRows, fuse_bias: bool
    ) -> tuple[Floats2d, Any]:
        """The rows behind the wave of a branch, and the cache of their map."""
        if isinstance(x, PlacedRows):
            assert variant is not None  # else tokens and places are not apart
            y, cache = map_forward(variant, x, fuse_bias=True)
            bias = variant.values()[1]
            return (y, cache) if fuse_bias or bias is None else (y + bias, cache)
        return (x, None) if variant is None else variant.forward(x, fuse_bias=fuse_bias)

    def biases(self, block: WaveBlock) -> tuple[Floats1d | None, Floats1d | None]:
        """The biases of the maps of both branches, which bag_magnitude adds."""
        if block.first_variant is None or block.second_variant is None:
            return None, None
        return block.first_variant.values()[1], block.second_variant.values()[1]
