"""Parts of a training step of ours: the seconds of each, how many operations its linear maps take, and its limit.

The limit of a step on a device is what its matrix products and the bytes that it must move take at the measured rates.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.ragged import RaggedBatch
from engine.benchmark.parts import Function, PartTimer, Target, layer_targets, patched
from engine.cuda.graphs import without_graphs
from engine.data import batching
from engine.training import adamw_cuda, step
from engine.types import Ints1d
from layers.experiments.benchmark.contestants import Training
from layers.fast import feed_forward_cuda
from layers.networks import planned_wave_network
from layers.networks.configs import WaveNetworkConfig
from layers.networks.wave_plan import shares_magnitude
from layers.standard import linear

WAYS = ("forward", "backward")
PAIRS = {  # of a network's functions
    "bag_magnitude": "waves",
    "wave_pair": "waves",
    "bag_pooling": "pooling",
    "softmax_cross_entropy": "loss",
    "sigmoid_cross_entropy": "loss",
}
FUNCTIONS: list[Target] = [
    (planned_wave_network, "plan_batch", "distinct tokens"),
    (planned_wave_network, "gather_rows", "embedding forward"),
    (step, "global_norm", "norm of the gradient"),
    (adamw_cuda, "measure", "norm of the gradient"),
    (batching, "take", "data"),
]


def seconds_per_part(
    training: Training, texts: RaggedBatch, batches: Sequence[Ints1d], timer: PartTimer | None = None
) -> dict[str, float]:
    """{part: mean seconds per step}, and "other" for what belongs to no part. batches: row numbers of `texts`.

    A step that a CUDA graph takes on a device has no parts that could be timed: here it runs without.
    """
    network, timer = training.network, timer or PartTimer()
    pairs = [(network.functions, f"{pair}_{way}", f"{part} {way}") for pair, part in PAIRS.items() for way in WAYS]
    targets = [
        *layer_targets(network),
        *FUNCTIONS,
        *pairs,
        (training.optimizer, "step", "optimizer"),
        (training, "train_step", "other"),
    ]
    for number, block in enumerate(network.blocks):
        if block.feed_forward:
            targets += [(block.feed_forward, way, f"blocks.{number}.feed_forward {way}") for way in WAYS]
    with timer.timing(targets), without_graphs():
        for rows in batches:
            training.train_step(batching.take(texts, rows))
    return {part: seconds / len(batches) for part, seconds in timer.seconds.items() if seconds}


def linear_flops(step: Callable[[], object]) -> int:
    """Floating-point operations of the products of all linear maps in a call of step(); multiply and add are two."""
    flops: list[int] = []

    def counted(function: Function) -> Function:
        def call(*args: Any) -> Any:
            a, b = args[-2:]
            flops.append(2 * a.shape[0] * a.shape[1] * b.shape[1])
            return function(*args)

        return call

    owners = [(linear, "product"), (linear, "add_product"), (feed_forward_cuda, "product")]
    with without_graphs(), patched([(module, name, counted) for module, name in owners]):
        step()
    return sum(flops)


REAL, INTEGER = 4, 8  # bytes of a float32 and of an int64


class StepLimit(NamedTuple):
    """flops, bytes: of one step. product_seconds, memory_seconds: at the device's measured rate and bandwidth."""

    flops: float
    bytes: float
    product_seconds: float
    memory_seconds: float

    @property
    def seconds(self) -> float:
        """Both terms one after the other: an engine that multiplies while it moves other data could take less."""
        return self.product_seconds + self.memory_seconds


def step_limit(flops: float, moved: float, product_rate: float, bandwidth: float) -> StepLimit:
    """The StepLimit of so many operations and bytes at FLOP/s and bytes/s."""
    return StepLimit(flops, moved, flops / product_rate, moved / bandwidth)


def text_sizes(batch: RaggedBatch) -> tuple[int, int, int]:
    """(tokens T, rows U, entries P) of a host RaggedBatch.

    Counted are all tokens, the distinct ones of the batch, and the sum over its texts of their distinct ones.
    """
    texts = np.repeat(np.arange(len(batch.offsets) - 1), np.diff(batch.offsets))
    pairs = np.unique(np.stack([texts, batch.ids]), axis=1)
    return len(batch.ids), len(np.unique(batch.ids)), pairs.shape[1]


def step_bytes(config: WaveNetworkConfig, tokens: int, rows: int, entries: int) -> int:
    """Bytes that a training step moves if no array is read or written more often than its use asks for.

    For a WaveNetworkConfig with one block and the magnitude readout; T tokens, U rows (distinct tokens of the batch),
    P entries (distinct tokens of each text), d = dimension, h = hidden. Counted:

    - activations of float32, 5 passes each: written and read forward, read again backward, their gradient written and
      read. (U, d): the embeddings and both linear variants. (P, d): what the wave norm gives, with a feed-forward layer
      also its output and what its norm gives, and for all but the modulation per dimension the readout itself. (P, h):
      before and after the activation. Where the rows of a text stay one (modulation without residual), none of them has
      P rows.
    - weights of linear maps, 11 passes each: read forward and backward; their gradient written, read for its norm and
      by the optimizer; value and both moments read and written by the optimizer.
    - rows of the embedding table, 8 passes of (U, d) beyond those above: gathered; the gradient read for its norm;
      value and both moments read and written.
    - integers of int64, 2 passes each: T token ids; P row numbers and P counts.

    Left out as small: vectors (biases, gains), everything with one row per text, the classifier. A step that fuses less
    moves more.
    """
    if config.blocks != 1 or config.readout != "magnitude":
        raise ValueError("step_bytes counts one block with the magnitude readout only")
    d, h = config.dimension, config.hidden
    alike = shares_magnitude(config)
    entries_kept = 0 if alike and not config.wave_residual else entries
    wide = 1 + (2 if h else 0) + (0 if alike else 1)
    activations = 3 * rows * d + entries_kept * (wide * d + 2 * h)
    weights = 2 * d * d + 2 * d * h
    return REAL * (5 * activations + 11 * weights + 8 * rows * d) + INTEGER * 2 * (tokens + 2 * entries)
