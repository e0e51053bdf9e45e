"""`python train.py benchmark --device cuda`: training steps of the paper's network on a GPU, beside PyTorch on the same one."""

import functools
import statistics

from engine.backend import resolve_device
from engine.benchmark.clock import SynchronizedPartTimer, clock_of, take_turns, warm_up
from engine.benchmark.device import copy_bandwidth, square_product_rate
from engine.data.batching import epoch_batches, take
from engine.errors import UserError
from layers.benchmark import gpu_contestants as contestants
from layers.benchmark import parts
from layers.benchmark.gpu_contestants import NETWORK, padded_shape, trial_batches
from layers.benchmark.random_texts import random_texts
from layers.benchmark.run import Row
from layers.benchmark.step_limit import StepLimit, limit_of, step_bytes, text_sizes
from layers.benchmark.workloads import BATCH, config_of, random_rows

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
            named.update({f"train_{size}_{precision}": functools.partial(self.training, size, precision) for size in SIZES})
        named.update({f"memory_{size}": functools.partial(self.memory, size) for size in SIZES})
        named.update({f"epochs_ag_news_{precision}": functools.partial(self.epochs, precision) for precision in self.precisions})
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
            limits = [self.limit(engines["ours"], [take(texts, rows) for rows in of_repeat], precision) for of_repeat in repeats]
            timer = SynchronizedPartTimer(self.clock)  # waits for the device around every part
            self.parts[f"{size} {precision}"] = parts.seconds_per_part(engines["ours"], texts, batches, timer)
        shares = {
            "share_of_limit": statistics.median(limit.seconds / s for limit, s in zip(limits, seconds["ours"])),
            "share_in_products": statistics.median(limit.product_seconds / s for limit, s in zip(limits, seconds["ours"])),
        }
        self.limits[size, precision] = StepLimit(*(statistics.median(numbers) / STEPS for numbers in zip(*limits)))
        milliseconds = {kind: [1e3 * s / STEPS for s in of_kind] for kind, of_kind in seconds.items()}
        self.add(f"step_{size}_{precision}", milliseconds, "ms", **shares)
        tokens = [sum(len(take(texts, rows).ids) for rows in of_repeat) for of_repeat in repeats]
        speeds = {kind: [n / s for n, s in zip(tokens, of_kind)] for kind, of_kind in seconds.items()}
        self.add(f"train_{size}_{precision}", speeds, "tokens/s", more_is_better=True, **shares)

    def engines(self, texts, batches, precision):
        engines, notes = contestants.contestants_of(self.kinds, self.device, trial_batches(texts, batches), precision)
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
            self.rows.append(Row(name + ending, ours, peer, ratio, unit=unit, spread=of_both, **{"share_of_limit": None, **shares}))


def train_on(texts, repeats, times, engine, i):
    """The last loss of an engine that trains `times` times on each batch of repeat i. repeats: lists of row numbers of `texts`."""
    return [engine.train_step(take(texts, rows)) for rows in repeats[i] for _ in range(times)][-1]
