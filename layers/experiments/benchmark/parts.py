"""Parts of a training step of ours: the seconds of each, and how many operations its linear maps take."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from engine.arrays.ragged import RaggedBatch
from engine.benchmark.parts import Function, PartTimer, Target, layer_targets, patched
from engine.cuda.graphs import without_graphs
from engine.data import batching
from engine.training import adamw_cuda, step
from engine.types import Array, Ints1d
from layers.experiments.benchmark.contestants import Training
from layers.networks import planned_wave_network, text_classifier, wave_block
from layers.standard import linear

WAYS = ("forward", "backward")
FUNCTIONS: list[Target] = [
    (planned_wave_network, "distinct_tokens", "distinct tokens"),
    (planned_wave_network, "merge_repeats", "distinct tokens"),
    *((wave_block, f"{pair}_{way}", f"waves {way}") for pair in ("modulated_magnitude", "wave_pair") for way in WAYS),
    *((planned_wave_network, f"pooling_{way}", f"pooling {way}") for way in WAYS),
    *((text_classifier, f"softmax_cross_entropy_{way}", f"loss {way}") for way in WAYS),
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
    targets = [
        *layer_targets(network),
        *FUNCTIONS,
        (training.optimizer, "step", "optimizer"),
        (training, "train_step", "other"),
    ]
    for number, block in enumerate(network.blocks):
        if block.feed_forward:
            part = f"blocks.{number}.feed_forward.activation"
            targets += [(block.feed_forward, f"act_{way}", f"{part} {way}") for way in WAYS]
    with timer.timing(targets), without_graphs():
        for rows in batches:
            training.train_step(batching.take(texts, rows))
    return {part: seconds / len(batches) for part, seconds in timer.seconds.items() if seconds}


def linear_flops(step: Callable[[], object]) -> int:
    """Floating-point operations of the products of all linear maps in a call of step(); multiply and add are two."""
    flops = []

    def counted(function: Function, products: int) -> Function:
        def call(x: Array, *args: Any) -> Any:
            result = function(x, *args)
            weight = (args[0] if products == 1 else args[0].weight).shape
            flops.append(2 * products * len(x) * weight[0] * weight[1])
            return result

        return call

    patches = [
        (linear, name, functools.partial(counted, products=products))
        for name, products in (("linear_forward", 1), ("linear_backward", 2))
    ]
    with without_graphs(), patched(patches):
        step()
    return sum(flops)
