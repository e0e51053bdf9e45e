"""A training step of a batch that is cut into shards, which one rank or several compute.

The batch, its order and the tokens that are dropped are those of a step without shards; other dropout has a stream for
each shard. Loss and gradient are those of the whole batch, for B texts in all and B_s in shard s:

    L = Σ_s (B_s/B)·L_s            g = Σ_s (B_s/B)·g_s

The sum is that of reduce.py, so that the number of ranks changes no bit.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import DeviceGenerator, array_module
from engine.arrays.ragged import RaggedBatch, lengths
from engine.cuda import graphs
from engine.cuda.kernels import uses_kernels
from engine.data.batching import take
from engine.layer import Gradient, RowSparse
from engine.training import adamw_cuda
from engine.training.adamw import AdamW
from engine.training.evaluation import are_right
from engine.training.exchange import exchanged, layout_of
from engine.training.reduce import Alone, Gradients, Node, add_gradients, nodes_within, tree_sum
from engine.training.step import NotFinite, Update, clip_scale, global_norm
from engine.types import Array, Floats, Ints1d

FIGURES = ""  # the name under which loss and hits are summed like a gradient; no parameter has it


class Shard(NamedTuple):
    """The texts of one shard, what the network has prepared of them, and the generator that drew for that.

    before: the number of tokens of the shards before it.
    """

    texts: RaggedBatch
    before: int
    prepared: Any
    rng: Any


class ShardedBatch(NamedTuple):
    """A batch of `texts` texts and `tokens` tokens in shards, of which this rank has some: {number: Shard}.

    Shards without texts are left out. key: of the random stream of the step.
    """

    texts: int
    tokens: int
    shard_count: int
    key: tuple[int, ...]
    shards: dict[int, Shard]

    def texts_again(self, device: str) -> list[tuple[RaggedBatch, Any]]:
        """(texts, new generator) of each shard, to take the step once more."""
        return [(shard.texts, generator_of(self.key, n, shard.before, device)) for n, shard in self.shards.items()]


class ShardGenerator:
    """The random numbers of one shard on the host. key: of the step; before: tokens of the shards before.

    One number for each token (random() of an int) is what a step without shards would draw for that token; arrays of
    more dimensions come from a stream of the shard's own.
    """

    def __init__(self, key: tuple[int, ...], number: int, before: int) -> None:
        self.of_tokens, self.of_shard = np.random.default_rng(key), np.random.default_rng([*key, number])
        self.of_tokens.bit_generator.advance(before // 2)  # type: ignore[attr-defined]  # two of 32 bits at a time
        self.of_tokens.random(before % 2, dtype=np.float32)

    def random(self, shape: int | tuple[int, ...], dtype: Any = np.float32) -> Floats:
        """Uniform float32 numbers in [0, 1)."""
        generator = self.of_tokens if isinstance(shape, int) else self.of_shard
        return generator.random(shape, dtype=dtype)


def generator_of(key: tuple[int, ...], number: int, before: int, device: str) -> Any:
    """The random numbers of one shard. Arguments as of ShardGenerator."""
    of_host = ShardGenerator(key, number, before)
    if device == "cpu":
        return of_host
    of_device: Any = DeviceGenerator(key[0], (*key[1:], number))
    of_device.host = of_host
    return of_device


def bounds_of(texts: int, count: int) -> list[int]:
    """The texts at which `count` shards begin, and the number of all: sizes differ by one at most."""
    return [texts * number // count for number in range(count + 1)]


def own_shards(ranks: Alone, count: int) -> range:
    """The numbers of the shards of this rank."""
    each = count // ranks.size
    return range(each * ranks.rank, each * (ranks.rank + 1))


def prepared_shards(
    network: Any, texts: RaggedBatch, rows: Ints1d, key: tuple[int, ...], count: int, ranks: Alone, device: str
) -> ShardedBatch:
    """The batch of the rows of `texts`, of which only this rank's are read. key: of the random stream of the step."""
    bounds, sizes = bounds_of(len(rows), count), lengths(texts.offsets)[rows]
    prepare = getattr(network, "prepared", None)
    shards = {}
    for number in own_shards(ranks, count):
        own = slice(bounds[number], bounds[number + 1])
        if own.start == own.stop:
            continue
        before = int(sizes[: own.start].sum())
        rng, batch = generator_of(key, number, before, device), take(texts, rows[own])
        shards[number] = Shard(batch, before, batch if prepare is None else prepare(batch, rng), rng)
    return ShardedBatch(len(rows), int(sizes.sum()), count, key, shards)


def update_in_shards(
    network: Any, optimizer: AdamW, batch: ShardedBatch, learning_rate: float, clip_norm: float, ranks: Alone
) -> Update:
    """Train on one batch, as step.update() does. Raises NotFinite on all ranks; nothing was updated then."""
    parameters = optimizer.parameters
    first = next(iter(parameters.values())).value
    if uses_kernels(first) and optimizer.control is None:
        optimizer.control = adamw_cuda.new_control(first)
    run = ShardPasses(network, optimizer, batch)
    own = own_shards(ranks, batch.shard_count)
    nodes = nodes_within((0, batch.shard_count), own.start, own.stop)
    sums = {node: tree_sum(node, run.gradients_of, add_gradients) for node in nodes}
    parts = {node: gradients for node, gradients in sums.items() if gradients is not None}
    told = ranks.gather((run.bad, layout_of(parts)))
    if bad := next((what for what, _ in told if what), None):
        raise NotFinite(bad, run.bad_cache)
    like = {name: p.value for name, p in parameters.items()}
    like[FIGURES] = array_module(first).zeros(2, first.dtype)
    total = exchanged(ranks, parts, [layout for _, layout in told], batch.shard_count, like)
    figures: Any = total.pop(FIGURES)
    for name, parameter in parameters.items():
        parameter.grad = total.get(name)
    loss, hits = figures[0], figures[1]
    if optimizer.control is not None:
        adamw_cuda.measure(parameters, figures[:1], clip_norm, optimizer.control)
        optimizer.step(learning_rate, control=optimizer.control)
        return Update(loss, optimizer.control[:1], None, hits)
    norm = global_norm(parameters)
    if not math.isfinite(norm):
        raise NotFinite(f"the norm of the gradient is {norm}", None)
    optimizer.step(learning_rate, clip_scale(norm, clip_norm))
    return Update(loss, norm, None, hits)


class ShardPasses:
    """Forward and backward passes of the shards of one rank. bad: what was not finite, with the cache of that pass."""

    def __init__(self, network: Any, optimizer: AdamW, batch: ShardedBatch) -> None:
        self.network, self.optimizer, self.batch = network, optimizer, batch
        self.bad: str | None = None
        self.bad_cache: Any = None

    def gradients_of(self, node: Node) -> Gradients | None:
        """The gradients of a node of one shard, weighted by its texts; None for larger nodes and empty shards."""
        shard = self.batch.shards.get(node[0]) if node[1] - node[0] == 1 else None
        if shard is None or self.bad:
            return None
        loss, cache = self.passed(shard)
        if self.bad:
            return None
        parameters = self.optimizer.parameters
        first = next(iter(parameters.values())).value
        weight = first.dtype.type(shard.texts.texts / self.batch.texts)
        hits = are_right(cache.logits, array_module(cache.logits).asarray(cache.labels)).sum()
        found = {name: scaled(p.grad, weight) for name, p in parameters.items() if p.grad is not None}
        return {**found, FIGURES: figures_of(loss * weight, hits, first)}

    def passed(self, shard: Shard) -> tuple[Any, Any]:
        """(loss, cache) of both passes. CUDA graphs hold these alone: the norm is that of all shards."""
        network, optimizer = self.network, self.optimizer
        padded = graphs.padded_batch(network, shard.prepared, shard.rng)
        if padded is not None:
            optimizer.graphs = optimizer.graphs or graphs.GradientGraphs(lambda *_: None)
            return optimizer.graphs.gradients(network, optimizer, padded, shard.rng, 0.0)
        loss, cache = network.loss_forward(shard.prepared, train=True, rng=shard.rng)
        if uses_kernels(loss) or math.isfinite(loss):
            network.zero_grad()
            network.loss_backward(cache)
        else:
            self.bad, self.bad_cache = f"the loss is {float(loss)}", cache
        return loss, cache


def scaled(grad: Gradient, weight: Any) -> Gradient:
    """A gradient times a number, in new arrays: those of a graph hold until the next step only."""
    if isinstance(grad, RowSparse):
        return RowSparse(grad.rows.copy(), grad.values * weight)
    return grad * weight


def figures_of(loss: Any, hits: Any, like: Array) -> Array:
    """(2,) of the loss and the number of texts that were classified rightly, without waiting for a device."""
    xp = array_module(like)
    return xp.stack([xp.asarray(loss).astype(like.dtype), xp.asarray(hits).astype(like.dtype)])
