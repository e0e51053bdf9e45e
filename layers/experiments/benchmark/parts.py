"""Parts of a training step of ours: the seconds of each, and how many operations its linear maps take."""

from collections.abc import Callable, Sequence
from typing import Any

from engine.arrays.ragged import RaggedBatch
from engine.benchmark.parts import Function, PartTimer, Target, layer_targets, patched
from engine.cuda.graphs import without_graphs
from engine.data import batching
from engine.training import adamw_cuda, step
from engine.types import Ints1d
from layers.experiments.benchmark.contestants import Training
from layers.fast import feed_forward_cuda
from layers.networks import planned_wave_network
from layers.standard import linear

WAYS = ("forward", "backward")
PAIRS = {  # of a network's functions
    "bag_magnitude": "waves",
    "wave_pair": "waves",
    "bag_pooling": "pooling",
    "softmax_cross_entropy": "loss",
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
