"""The figures of `python train.py benchmark --device cuda`: training of the paper's network on random texts."""

import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.arrays import backend
from engine.arrays.backend import resolve_device
from engine.arrays.ragged import RaggedBatch
from engine.benchmark.machine import release_memory, square_product_rate
from engine.benchmark.parts import SynchronizedPartTimer
from engine.benchmark.timing import clock_of
from engine.data.batching import epoch_batches, take
from engine.types import Ints1d
from layers.experiments.benchmark import contestants, parts
from layers.experiments.benchmark.contestants import Training, padded_shape, trial_batches
from layers.experiments.benchmark.harness import Benchmark
from layers.experiments.benchmark.parts import StepLimit, step_bytes, step_limit, text_sizes
from layers.experiments.benchmark.workloads import BATCH, CLASSES, build, config_of, random_rows, random_texts

NETWORK = "paper"
SIZES = (64, 256, 1024)  # texts in a batch
STEPS = 4  # in one repeat, each with another batch: what the host prepares meanwhile counts as in a training, not more
EPOCHS, EPOCH_TEXTS = 4, 120_000  # as AG News has them


class GpuBenchmark(Benchmark):
    """Measurements on "cuda" or, to try them out, on "cpu" (without TF32, which it does not have).

    parts are those of "texts precision"; rates: FLOP/s of a square product by precision.
    """

    kinds = ("ours", "peer", "compiled")

    def __init__(self, device: str = "cuda", repeats: int = 5, with_peer: bool | None = None) -> None:
        device = resolve_device(device)
        super().__init__(device, clock_of(device), repeats, with_peer)
        self.precisions = ("float32",) if device == "cpu" else ("float32", "tf32")
        self.rates: dict[str, float] = {}

    def figures(self) -> dict[str, Callable[[], None]]:
        named: dict[str, Callable[[], None]] = {}
        for precision in self.precisions:
            for size in SIZES:
                named[f"train_{size}_{precision}"] = functools.partial(self.training, size, precision)
        for size in SIZES:
            named[f"memory_{size}"] = functools.partial(self.memory, size)
        for precision in self.precisions:
            named[f"epochs_ag_news_{precision}"] = functools.partial(self.epochs, precision)
        return named

    def settings(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "network": NETWORK,
            "texts": "random, of AG News' lengths",
            "repeats": self.repeats,
            "steps_of_a_repeat": STEPS,
            "epochs": EPOCHS,
            "epoch_texts": EPOCH_TEXTS,
        }

    def products(self) -> list[dict[str, Any]]:
        return [{"precision": precision, "flops_per_second": rate} for precision, rate in self.rates.items()]

    def training(self, size: int, precision: str) -> None:
        """Milliseconds of a step and tokens per second, in batches of `size` texts in random order.

        Every contestant trains all the batches twice before any is timed. That is where the peer is compiled, for all
        lengths that come later, and where our steps are recorded; while the clock runs, compiling is an error.
        """
        texts = random_texts(size * STEPS * self.repeats, seed=size)
        batches = random_rows(texts, STEPS * self.repeats, size)
        repeats = [batches[start : start + STEPS] for start in range(0, len(batches), STEPS)]
        with contestants.product_precision(precision, self.device, self.with_peer):
            engines = self.engines(texts, batches, precision)
            once, twice = (functools.partial(train_on, texts, repeats, times) for times in (1, 2))
            seconds = self.timed_warm(engines, once, twice)
            limits = [
                self.limit(engines["ours"], [take(texts, rows) for rows in repeat], precision) for repeat in repeats
            ]
            timer = SynchronizedPartTimer(self.clock)  # waits for the device around every part
            self.parts[f"{size} {precision}"] = parts.seconds_per_part(engines["ours"], texts, batches, timer)
        limit_shares = [limit.seconds / s for limit, s in zip(limits, seconds["ours"])]
        product_shares = [limit.product_seconds / s for limit, s in zip(limits, seconds["ours"])]
        shares = statistics.median(limit_shares), statistics.median(product_shares)
        self.limits[size, precision] = StepLimit(*(statistics.median(numbers) / STEPS for numbers in zip(*limits)))
        milliseconds = {kind: [1e3 * s / STEPS for s in taken] for kind, taken in seconds.items()}
        self.add(f"step_{size}_{precision}", milliseconds, "ms", False, *shares)
        tokens = [len(take(texts, np.concatenate(repeat)).ids) for repeat in repeats]
        speeds = {kind: [n / s for n, s in zip(tokens, taken)] for kind, taken in seconds.items()}
        self.add(f"train_{size}_{precision}", speeds, "tokens/s", True, *shares)

    def engines(self, texts: RaggedBatch, batches: Sequence[Ints1d], precision: str) -> dict[str, Training]:
        """{kind: contestant} with equal parameters, after a few updates. batches: row numbers of `texts`."""
        return self.make_engines(build(NETWORK, CLASSES), trial_batches(texts, batches), precision, precision)

    def timed_warm(
        self,
        engines: Mapping[str, Training],
        run: Callable[[Training, int], object],
        warm_up: Callable[[Training, int], object] | None = None,
        repeats: int | None = None,
    ) -> dict[str, list[float]]:
        """Call timed(), after warm_up(contestant, repeat), by default run itself, for all repeats of all contestants.

        Afterwards nothing is compiled, planned or allocated for a first time. run returns a loss, at which nobody looks
        before everything is timed.
        """
        losses: dict[str, object] = {}
        kinds = {id(training): kind for kind, training in engines.items()}

        def kept(training: Training, repeat: int) -> None:
            losses[kinds[id(training)]] = run(training, repeat)

        for training in engines.values():
            for repeat in range(repeats or self.repeats):
                (warm_up or run)(training, repeat)
        with contestants.without_compiling(engines):
            seconds = self.timed(engines, kept, repeats)
        contestants.require_finite(engines, losses)
        return seconds

    def limit(self, ours: Training, batches: Sequence[RaggedBatch], precision: str) -> StepLimit:
        """The StepLimit of all these batches together: the products that ours computes, the bytes that it must move."""
        flops = parts.linear_flops(lambda: [ours.train_step(batch) for batch in batches])
        moved = sum(step_bytes(config_of(NETWORK), *text_sizes(batch)) for batch in batches)
        if precision not in self.rates:
            self.rates[precision] = square_product_rate(self.device, self.clock)
        return step_limit(flops, moved, self.rates[precision], self.bandwidth)

    def memory(self, size: int) -> None:
        """Peak bytes of a training with batches of `size` texts, each contestant alone on the device."""
        texts = random_texts(size * STEPS, seed=size)
        batches = [take(texts, rows) for rows in random_rows(texts, STEPS, size)]
        peaks = {kind: peak_memory_on(self.device, kind, batches) for kind in self.kinds}
        self.add(f"memory_{size}", {kind: [peak] for kind, peak in peaks.items() if peak is not None}, "bytes")

    def epochs(self, precision: str) -> None:
        """Seconds of a whole training of EPOCHS epochs, run to its end once, with the batches of our trainer.

        Batches are chosen and gathered as in a training; texts of about one length come together, so the peer has
        little to fill up. One batch of every number of texts and longest length comes before the clock runs.
        """
        texts = random_texts(EPOCH_TEXTS, seed=0)
        batches_of = functools.partial(epoch_batches, texts.offsets, BATCH, 0)
        shapes = {padded_shape(texts, rows): rows for epoch in range(EPOCHS) for rows in batches_of(epoch)}

        def every_shape(training: Training, _: int) -> None:
            for rows in shapes.values():
                training.train_step(take(texts, rows))

        def every_epoch(training: Training, _: int) -> object:
            for epoch in range(EPOCHS):
                for rows in batches_of(epoch):
                    loss = training.train_step(take(texts, rows))
                training.end_epoch()
            return loss

        with contestants.product_precision(precision, self.device, self.with_peer):
            engines = self.engines(texts, list(shapes.values()), precision)
            seconds = self.timed_warm(engines, every_epoch, every_shape, repeats=1)
        self.add(f"epochs_ag_news_{precision}", seconds, "s")


def train_on(
    texts: RaggedBatch, repeats: Sequence[Sequence[Ints1d]], times: int, training: Training, repeat: int
) -> object:
    """Train `times` times on each batch of a repeat; return the last loss. repeats: lists of row numbers of `texts`."""
    return [training.train_step(take(texts, rows)) for rows in repeats[repeat] for _ in range(times)][-1]


def peak_memory_on(device: str, kind: str, batches: Sequence[RaggedBatch]) -> int | None:
    """Peak bytes on the device of a training from its start, through one update with each batch.

    For "ours" that is what CuPy's pool holds, freed blocks among it; for a peer what its tensors took at most. On "cpu"
    ours is the peak of the whole process, whatever else ran in it, and a peer has none (None): figures to try the
    benchmark out, not to cite.
    """
    peak = peak_reader(kind, device)
    release_memory(device)
    training = contestants.contestant(kind, build(NETWORK, CLASSES), device)
    losses = [training.train_step(batch) for batch in batches]
    contestants.require_finite({kind: training}, {kind: losses[-1]})
    return peak()


def peak_reader(kind: str, device: str) -> Callable[[], int | None]:
    """A function that returns the peak bytes of a contestant from now on."""
    if kind == "ours":
        return lambda: backend.peak_memory_bytes(device)
    if device == "cpu":
        return lambda: None
    from layers.experiments.benchmark import torch_peer

    torch_peer.release_memory()
    return torch_peer.peak_memory_bytes
