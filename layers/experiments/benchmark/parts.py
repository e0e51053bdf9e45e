"""Where a training step of ours spends its time, and how many operations its linear maps take."""

from engine.benchmark.parts import PartTimer, layer_places, replaced
from engine.cuda.graphs import without_graphs
from engine.data import batching
from engine.training import adamw_cuda as adamw_fused
from engine.training import step
from layers.networks import planned_wave_network as wave_network
from layers.networks import text_classifier, wave_block
from layers.standard import linear

FUNCTIONS = [
    (wave_network, "distinct_tokens", "distinct tokens"),
    (wave_network, "merge_repeats", "distinct tokens"),
    *(
        (wave_block, f"{pair}_{way}", f"waves {way}")
        for pair in ("modulated_magnitude", "wave_pair")
        for way in ("forward", "backward")
    ),
    *((wave_network, f"pooling_{way}", f"pooling {way}") for way in ("forward", "backward")),
    *((text_classifier, f"softmax_cross_entropy_{way}", f"loss {way}") for way in ("forward", "backward")),
    (step, "global_norm", "norm of the gradient"),
    (adamw_fused, "measure", "norm of the gradient"),
    (batching, "take", "data"),
]


def seconds_per_part(training, texts, batches, timer=None):
    """{part: mean seconds per step}, and what no part accounts for as "other". batches: row numbers of `texts`; timer: a PartTimer.

    A step that a CUDA graph takes on a device has no parts that could be timed: here it runs without.
    """
    network, timer = training.network, timer or PartTimer()
    places = [
        *layer_places(network),
        *FUNCTIONS,
        (training.optimizer, "step", "optimizer"),
        (training, "train_step", "other"),
    ]
    for number, block in enumerate(network.blocks):
        if block.feed_forward:
            places += [
                (block.feed_forward, f"act_{way}", f"blocks.{number}.feed_forward.activation {way}")
                for way in ("forward", "backward")
            ]
    with timer.timing(places), without_graphs():
        for rows in batches:
            training.train_step(batching.take(texts, rows))
    return {part: seconds / len(batches) for part, seconds in timer.seconds.items() if seconds}


def linear_flops(step):
    """Floating-point operations of the products of all linear maps in a call of `step`; multiply and add are two."""
    flops = []

    def counted(function, products):
        def call(x, *args):
            result = function(x, *args)
            weight = (args[0] if products == 1 else args[0].weight).shape
            flops.append(2 * products * len(x) * weight[0] * weight[1])
            return result

        return call

    ways = (("linear_forward", 1), ("linear_backward", 2))
    with (
        without_graphs(),
        replaced(
            [(linear, name, lambda function, products=products: counted(function, products)) for name, products in ways]
        ),
    ):
        step()
    return sum(flops)
