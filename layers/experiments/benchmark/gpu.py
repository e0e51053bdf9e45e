"""`python train.py benchmark --device cuda`: training steps of the paper's network on a GPU, beside PyTorch on the same one.

What a training step has to compute and to move at least, and how long a device takes for it at its own measured speed.
"""

import functools
import statistics
from typing import NamedTuple

import numpy as np

from engine.arrays.backend import resolve_device
from engine.benchmark.machine import copy_bandwidth, square_product_rate
from engine.benchmark.timing import SynchronizedPartTimer, clock_of, take_turns, warm_up
from engine.data.batching import epoch_batches, take
from engine.support.errors import UserError
from layers.experiments.benchmark import contestants, parts
from layers.experiments.benchmark.contestants import NETWORK, padded_shape, trial_batches
from layers.experiments.benchmark.cpu import Row
from layers.experiments.benchmark.workloads import BATCH, config_of, random_rows, random_texts

REAL, INTEGER = 4, 8  # bytes of a float32 and of an int64


class StepLimit(NamedTuple):
    """flops, bytes: of one step. product_seconds, memory_seconds: at the device's measured rate and bandwidth."""

    flops: float
    bytes: float
    product_seconds: float
    memory_seconds: float

    @property
    def seconds(self):
        """Both terms one after the other: an engine that multiplies while it moves other data could take less."""
        return self.product_seconds + self.memory_seconds


def limit_of(flops, moved, product_rate, bandwidth):
    """The StepLimit of so many operations and bytes at FLOP/s and bytes/s."""
    return StepLimit(flops, moved, flops / product_rate, moved / bandwidth)


def text_sizes(batch):
    """(tokens T, rows U, entries P) of a host RaggedBatch: all tokens, the distinct ones of the batch, and the sum over its
    texts of their distinct ones."""
    texts = np.repeat(np.arange(len(batch.offsets) - 1), np.diff(batch.offsets))
    pairs = np.unique(np.stack([texts, batch.ids]), axis=1)
    return len(batch.ids), len(np.unique(batch.ids)), pairs.shape[1]


def step_bytes(config, tokens, rows, entries):
    """Bytes that a training step moves if no array is read or written more often than its use asks for.

    For a WaveNetworkConfig with one block and the magnitude readout; T tokens, U rows (distinct tokens of the batch), P entries
    (distinct tokens of each text), d = dimension, h = hidden. Counted:

    - activations of float32, 5 passes each: written and read forward, read again backward, their gradient written and read.
      (U, d): the embeddings and both linear variants. (P, d): what the wave norm gives, with a feed-forward layer also its
      output and what its norm gives, and for all but the modulation per dimension the readout itself. (P, h): before and
      after the activation. Where the rows of a text stay one (modulation without residual), none of them has P rows.
    - weights of linear maps, 11 passes each: read forward and backward; their gradient written, read for its norm and by the
      optimizer; value and both moments read and written by the optimizer.
    - rows of the embedding table, 8 passes of (U, d) beyond those above: gathered; the gradient read for its norm; value and
      both moments read and written.
    - integers of int64, 2 passes each: T token ids; P places and P counts.

    Left out as small: vectors (biases, gains), everything with one row per text, the classifier. A step that fuses less moves more.
    """
    if config.blocks != 1 or config.readout != "magnitude":
        raise ValueError("step_bytes counts one block with the magnitude readout only")
    d, h = config.dimension, config.hidden
    is_alike = config.operation == "modulation" and config.scope == "dimension"
    entries_kept = 0 if is_alike and not config.wave_residual else entries
    wide = 1 + (2 if h else 0) + (0 if is_alike else 1)
    activations = 3 * rows * d + entries_kept * (wide * d + 2 * h)
    weights = 2 * d * d + 2 * d * h
    return REAL * (5 * activations + 11 * weights + 8 * rows * d) + INTEGER * 2 * (tokens + 2 * entries)


SIZES = (64, 256, 1024)  # texts in a batch
STEPS = 4  # in one repeat, each with another batch: what the host prepares meanwhile counts as in a training, not more
EPOCHS, EPOCH_TEXTS = 4, 120_000  # as AG News has them


class GpuBenchmark:
    """Measurements on one device, "cuda" or, to try them out, "cpu" (without TF32, which it does not have).

    rows: what has been measured; parts: seconds per step by batch and part; limits: {(texts, precision): StepLimit};
    rates: FLOP/s by precision; notes: what was left out, and why. with_peer: None measures PyTorch where it can use the device.
    """

    def __init__(self, device="cuda", repeats=5, with_peer=None):
        self.device = resolve_device(device)
        self.repeats, self.clock = repeats, clock_of(self.device)
        self.precisions = ("float32",) if self.device == "cpu" else ("float32", "tf32")
        self.rows, self.parts, self.limits, self.rates, self.notes = [], {}, {}, {}, []
        obstacle = None if with_peer is False else contestants.why_no_peer(self.device)
        if obstacle and with_peer:
            raise UserError(f"--peer: {obstacle}; install a PyTorch that fits, or leave --peer out")
        if obstacle:
            self.notes.append(f"no peer: {obstacle}")
        self.with_peer = with_peer is not False and not obstacle
        self.kinds = ["ours", "eager", "compiled"] if self.with_peer else ["ours"]

    def steps(self):
        """{name: function that measures the rows of that name}."""
        named = {}
        for precision in self.precisions:
            named.update(
                {f"train_{size}_{precision}": functools.partial(self.training, size, precision) for size in SIZES}
            )
        named.update({f"memory_{size}": functools.partial(self.memory, size) for size in SIZES})
        named.update(
            {f"epochs_ag_news_{precision}": functools.partial(self.epochs, precision) for precision in self.precisions}
        )
        return named

    def training(self, size, precision):
        """Milliseconds of a step and tokens per second, in batches of `size` texts in random order.

        Every contestant trains all the batches twice before any is timed. That is where the peer is compiled, for all lengths
        that come later, and where our steps are recorded; while the clock runs, compiling is an error.
        """
        texts = random_texts(size * STEPS * self.repeats, seed=size)
        batches = random_rows(texts, STEPS * self.repeats, size)
        repeats = [batches[start : start + STEPS] for start in range(0, len(batches), STEPS)]
        with contestants.product_precision(precision, self.device, self.with_peer):
            engines = self.engines(texts, batches, precision)
            run, twice = (functools.partial(train_on, texts, repeats, times) for times in (1, 2))
            seconds = self.timed(engines, run, twice)
            limits = [
                self.limit(engines["ours"], [take(texts, rows) for rows in of_repeat], precision)
                for of_repeat in repeats
            ]
            timer = SynchronizedPartTimer(self.clock)  # waits for the device around every part
            self.parts[f"{size} {precision}"] = parts.seconds_per_part(engines["ours"], texts, batches, timer)
        shares = {
            "share_of_limit": statistics.median(limit.seconds / s for limit, s in zip(limits, seconds["ours"])),
            "share_in_products": statistics.median(
                limit.product_seconds / s for limit, s in zip(limits, seconds["ours"])
            ),
        }
        self.limits[size, precision] = StepLimit(*(statistics.median(numbers) / STEPS for numbers in zip(*limits)))
        milliseconds = {kind: [1e3 * s / STEPS for s in of_kind] for kind, of_kind in seconds.items()}
        self.add(f"step_{size}_{precision}", milliseconds, "ms", **shares)
        tokens = [sum(len(take(texts, rows).ids) for rows in of_repeat) for of_repeat in repeats]
        speeds = {kind: [n / s for n, s in zip(tokens, of_kind)] for kind, of_kind in seconds.items()}
        self.add(f"train_{size}_{precision}", speeds, "tokens/s", more_is_better=True, **shares)

    def engines(self, texts, batches, precision):
        engines, notes = contestants.gpu_contestants_of(
            self.kinds, self.device, trial_batches(texts, batches), precision
        )
        self.notes += [note for note in notes if note not in self.notes]
        return engines

    def timed(self, engines, run, first=None, repeats=None):
        """{kind: [seconds of run(engine, repeat)]}, after first(engine, repeat), by default run itself, of all repeats.

        run returns a loss, at which nobody looks before everything is timed.
        """
        repeats, losses = repeats or self.repeats, {}

        def kept(kind, repeat):
            losses[kind] = run(engines[kind], repeat)

        warm_up({kind: functools.partial(first or run, engine) for kind, engine in engines.items()}, repeats)
        with contestants.without_compiling(engines):
            seconds = take_turns({kind: functools.partial(kept, kind) for kind in engines}, repeats, self.clock)
        contestants.require_finite(engines, losses)
        return seconds

    def limit(self, ours, batches, precision):
        """The StepLimit of all these batches together: the products that ours computes, the bytes that it must move."""
        flops = parts.linear_flops(lambda: [ours.train_step(batch) for batch in batches])
        moved = sum(step_bytes(config_of(NETWORK), *text_sizes(batch)) for batch in batches)
        if precision not in self.rates:
            self.rates[precision] = square_product_rate(self.device, self.clock)
        return limit_of(flops, moved, self.rates[precision], self.bandwidth)

    @functools.cached_property
    def bandwidth(self):
        """Bytes per second of a copy on the device."""
        return copy_bandwidth(self.device, self.clock)

    def memory(self, size):
        """Peak bytes of a training with batches of `size` texts, each engine alone on the device."""
        texts = random_texts(size * STEPS, seed=size)
        batches = [take(texts, rows) for rows in random_rows(texts, STEPS, size)]
        peaks = {kind: contestants.peak_of_training(kind, self.device, batches) for kind in self.kinds}
        self.add(f"memory_{size}", {kind: [peak] for kind, peak in peaks.items() if peak is not None}, "bytes")

    def epochs(self, precision):
        """Seconds of a whole training of EPOCHS epochs, run to its end once, with the batches of this project's trainer.

        Batches are chosen and gathered as in a training; texts of about one length come together, so the peer has little to
        fill up. One batch of every number of texts and longest length comes before the clock runs.
        """
        texts = random_texts(EPOCH_TEXTS, seed=0)
        batches_of = functools.partial(epoch_batches, texts.offsets, BATCH, 0)
        shapes = {padded_shape(texts, rows): rows for epoch in range(EPOCHS) for rows in batches_of(epoch)}

        def every_shape(engine, _):
            for rows in shapes.values():
                engine.train_step(take(texts, rows))

        def every_epoch(engine, _):
            for epoch in range(EPOCHS):
                for rows in batches_of(epoch):
                    loss = engine.train_step(take(texts, rows))
                engine.end_epoch()
            return loss

        with contestants.product_precision(precision, self.device, self.with_peer):
            engines = self.engines(texts, list(shapes.values()), precision)
            seconds = self.timed(engines, every_epoch, every_shape, repeats=1)
        self.add(f"epochs_ag_news_{precision}", seconds, "s")

    def add(self, name, values, unit, more_is_better=False, **shares):
        """Append a Row of the medians of values[kind] beside PyTorch as it is, and "…_compiled" beside a compiled one."""
        medians = {kind: statistics.median(numbers) for kind, numbers in values.items()}
        spread = {kind: (min(numbers), max(numbers)) for kind, numbers in values.items()}
        ours = medians["ours"]
        for kind, ending in (("eager", ""), ("compiled", "_compiled")):
            peer = medians.get(kind)
            if peer is None and ending:
                continue
            ratio = None if peer is None else ours / peer if more_is_better else peer / ours
            of_both = {"ours": spread["ours"], **({} if peer is None else {"peer": spread[kind]})}
            self.rows.append(
                Row(name + ending, ours, peer, ratio, unit=unit, spread=of_both, **{"share_of_limit": None, **shares})
            )


def train_on(texts, repeats, times, engine, i):
    """The last loss of an engine that trains `times` times on each batch of repeat i. repeats: lists of row numbers of `texts`."""
    return [engine.train_step(take(texts, rows)) for rows in repeats[i] for _ in range(times)][-1]
