"""The Wave Network of wave_network.py, each distinct row computed once by a WavePlan.

The parameters are those of WaveNetwork, and so are logits, loss and gradients, to rounding. No mathematics of its own.
CheckedWaveNetwork (implementation=check) is held against the readable network once a step.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import move_together, same_stream
from engine.arrays.bag import Bag, sum_entries
from engine.arrays.ragged import RaggedBatch, gather_rows, segment_sum
from engine.implementation import compare
from engine.layer import RowSparse
from engine.types import Floats, Floats2d, Ints1d
from layers.fast import FUNCTIONS, has_kernels, needs_inverse_index
from layers.networks.configs import WaveNetworkConfig
from layers.networks.parts import twin
from layers.networks.wave_network import WaveBlock, WaveNetwork
from layers.networks.wave_plan import WavePlan, pad_plan, plan_batch, shares_magnitude
from layers.standard.softmax_cross_entropy import check_labels


class BlockCache(NamedTuple):
    """Caches in the order of computation; those of parts that the config leaves out are None. bag: of x; rows: U."""

    bag: Bag
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


class PlannedWaveNetwork(WaveNetwork):
    """A Wave Network of a WaveNetworkConfig, for V token ids and C classes.

    Equal seeds give equal initial parameters.
    """

    def __init__(
        self, config: WaveNetworkConfig, vocabulary: int, classes: int, seed: int = 0, dtype: Any = np.float32
    ):
        super().__init__(config, vocabulary, classes, seed, dtype)
        self.use(FUNCTIONS["fast"])

    def plan(self, batch: RaggedBatch, rng: Any = None) -> WavePlan:
        """The WavePlan of a batch where that lies. rng: of dropout, None to predict.

        Raises ValueError for wrong ids or offsets.
        """
        config, table = self.config, self.embedding.table.value
        ids, offsets = self.kept_tokens(batch, rng)
        return plan_batch(
            config,
            ids,
            offsets,
            batch.labels,
            len(table),
            dropping=rng is not None,
            indexed=needs_inverse_index(table),
            expand=not self.has_kernels() and needs_inverse_index(table),
        )

    def has_kernels(self) -> bool:
        """Whether there are kernels for the waves, so that nothing needs single tokens."""
        config = self.config
        return shares_magnitude(config) or has_kernels(config.operation, config.readout, config.scope)

    def padded(self, batch: RaggedBatch, rng: Any) -> tuple[WavePlan, int] | None:
        """(padded WavePlan of a batch with labels on the host, real number of its rows), for a step by a CUDA graph.

        None where padding would not do, or a graph not know: numbers are drawn on the device, or something is computed
        outside of kernels. Raises ValueError for wrong ids, offsets or labels.
        """
        config, table = self.config, self.embedding.table.value
        draws = rng is not None and (config.dropout or config.embedding_dropout or config.classifier_dropout)
        on_host = isinstance(batch.ids, np.ndarray) and batch.labels is not None and len(batch.offsets) > 1
        if not on_host or draws or not needs_inverse_index(table):
            return None
        if not self.has_kernels() or config.pooling != "mean":
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
        x = gather_rows(self.embedding.table.value, plan.ids)  # E9
        x = x if plan.lookup is None else plan.lookup.entries(x)
        x, embedding_dropout = f.dropout_forward(x, config.embedding_dropout, rng)  # E13
        blocks = []
        for block, bag, spread in zip(self.blocks, plan.bags, plan.spread):
            x, cache = self.block_forward(block, x, bag, spread, rng)  # E4 to E8
            blocks.append(cache)
        x, pooling = f.bag_pooling_forward(x, plan.bags[-1], config.pooling)  # E14
        x, classifier_dropout = f.dropout_forward(x, config.classifier_dropout, rng)  # E13
        logits, classifier = self.classifier.forward(x)  # E8
        sizes = (plan, len(plan.ids))
        return logits, Cache(*sizes, embedding_dropout, tuple(blocks), pooling, classifier_dropout, classifier)

    def backward(self, dlogits: Floats2d, cache: Any) -> None:
        """dlogits: (B, C). Adds to every parameter's gradient; token ids have none, so nothing is returned."""
        f, plan = self.functions, cache.plan
        dx = self.classifier.backward(dlogits, cache.classifier)
        dx = f.dropout_backward(dx, cache.classifier_dropout)
        dx = f.bag_pooling_backward(dx, cache.pooling)
        for block, block_cache, spread in zip(reversed(self.blocks), reversed(cache.blocks), reversed(plan.spread)):
            dx = self.block_backward(block, dx, block_cache, spread)
        dx = f.dropout_backward(dx, cache.embedding_dropout)
        dx = dx if plan.lookup is None else sum_entries(dx, plan.lookup, cache.row_count)
        self.embedding.table.accumulate(RowSparse(plan.ids, dx))

    def block_forward(
        self, block: WaveBlock, x: Floats2d, bag: Bag, spread: Ints1d | None, rng: Any
    ) -> tuple[Floats2d, BlockCache]:
        """WaveBlock.forward over a bag.

        x: (U, d), bag: P entries over these rows → y: (P, d), or (B, d) if collapsed.
        """
        f, config = self.functions, self.config
        projection = feed_forward = feed_forward_dropout = feed_forward_norm = None
        first, second = block.first_variant, block.second_variant
        alike = shares_magnitude(config)
        a, first_variant = first.forward(x, fuse_bias=alike)
        b, second_variant = second.forward(x, fuse_bias=alike)
        if alike:
            y, waves = f.bag_magnitude_forward(a, b, bag, first.values()[1], second.values()[1])  # E17
        else:
            y, waves = f.wave_pair_forward(a, b, bag, config.operation, config.readout, config.scope)
        del a, b  # memory that the cache may not need
        if block.projection:
            y, projection = block.projection.forward(y)
        if spread is not None and rng is not None and config.dropout:
            y, spread = gather_rows(y, spread), None  # every entry drops its own
        y, dropout = f.dropout_forward(y, config.dropout, rng)
        if config.wave_residual:
            y, wave_norm = block.wave_norm.forward(y, x, spread, bag.row_index)
        else:
            y, wave_norm = block.wave_norm.forward(y)
        if block.feed_forward and block.feed_forward_norm:
            z, feed_forward = block.feed_forward.forward(y, rng)
            z, feed_forward_dropout = f.dropout_forward(z, config.dropout, rng)
            y, feed_forward_norm = block.feed_forward_norm.forward(z, y)
        return y, BlockCache(
            bag, len(x), first_variant, second_variant, waves, projection, dropout, wave_norm,
            feed_forward, feed_forward_dropout, feed_forward_norm,
        )  # fmt: skip

    def block_backward(self, block: WaveBlock, dy: Floats2d, cache: BlockCache, spread: Ints1d | None) -> Floats2d:
        """dy: (P, d), for each entry the sum over its tokens → dx: (U, d)."""
        f, bag = self.functions, cache.bag
        if block.feed_forward and block.feed_forward_norm:
            dy = block.feed_forward_norm.backward(dy, cache.feed_forward_norm)
            dz = f.dropout_backward(dy, cache.feed_forward_dropout)
            dy = dy + block.feed_forward.backward(dz, cache.feed_forward)
        dresidual = dy = block.wave_norm.backward(dy, cache.wave_norm)
        if cache.dropout.scaled_mask is not None:  # else y may have a row for each text, dy one for each entry
            dy = f.dropout_backward(dy, cache.dropout)
        if block.projection:
            dy = block.projection.backward(dy, cache.projection)
        if shares_magnitude(self.config):
            dy = dy if spread is None else segment_sum(dy, bag.offsets)
            da, db = f.bag_magnitude_backward(dy, cache.waves)
        else:
            da, db = f.wave_pair_backward(dy, cache.waves)
        dx = block.first_variant.backward(da, cache.first_variant)
        dx = block.second_variant.backward(db, cache.second_variant, dx)
        return sum_entries(dresidual, bag, cache.rows, dx) if self.config.wave_residual else dx


TOLERANCE = 1e-10  # of loss and gradients in float64, ‖difference‖/‖readable‖


class CheckedCache(NamedTuple):
    """A LossCache, and what is needed to compute the same step again."""

    network: Any
    logits: Floats2d
    labels: Ints1d
    loss: Any
    step: tuple[RaggedBatch, bool, Any]  # the batch, train, the random stream


class CheckedWaveNetwork(PlannedWaveNetwork):
    """A PlannedWaveNetwork that recomputes each call of an implementation by its equation, each step by WaveNetwork.

    The step is compared in float64, where planned and readable network must agree to TOLERANCE; float32 is compared
    call by call. Raises ImplementationError where they differ.
    """

    def loss_forward(  # type: ignore[override]
        self, batch: RaggedBatch, train: bool = False, rng: Any = None
    ) -> tuple[Floats, CheckedCache]:
        stream = same_stream(rng)
        loss, cache = super().loss_forward(batch, train, rng)
        return loss, CheckedCache(*cache, (batch, train, stream))

    def loss_backward(self, cache: Any, dloss: float = 1.0) -> None:
        super().loss_backward(cache, dloss)
        planned = self.step_in_float64(PlannedWaveNetwork, "fast", cache.step)
        readable = self.step_in_float64(WaveNetwork, "equations", cache.step)
        for name, expected in readable.items():
            compare(f"network: {name}", planned[name], expected, TOLERANCE)

    def step_in_float64(
        self, kind: type[WaveNetwork], implementation: str, step: tuple[RaggedBatch, bool, Any]
    ) -> dict[str, Floats]:
        """Loss and gradients by name of a network of that kind with the same parameters."""
        network = twin(self, FUNCTIONS[implementation], kind)
        for parameter in network.parameters().values():
            parameter.value = parameter.value.astype(np.float64)
        batch, train, stream = step
        loss, cache = network.loss_forward(batch, train, same_stream(stream))
        network.loss_backward(cache)
        return {"loss": loss, **{f"gradient of {n}": p.dense_grad() for n, p in network.parameters().items()}}
