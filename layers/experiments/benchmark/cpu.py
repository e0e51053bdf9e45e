"""The figures of `python train.py benchmark` on a CPU: training, prediction, memory and growth on a corpus."""

import contextlib
import functools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.arrays.backend import blas_threads
from engine.arrays.ragged import RaggedBatch
from engine.benchmark import timing
from engine.benchmark.machine import product_rate
from engine.benchmark.timing import HostClock, growth_exponent
from engine.data.batching import ordered_batches, take
from engine.data.encoder import Encoder
from engine.data.vocabulary import Vocabulary
from engine.training.evaluation import predict_probabilities
from layers.experiments.benchmark.contestants import Training, trial_batches, without_compiling
from layers.experiments.benchmark.harness import Benchmark
from layers.experiments.benchmark.parts import linear_flops, seconds_per_part
from layers.experiments.benchmark.processes import peak_memory_of_training, seconds_to_first_step
from layers.experiments.benchmark.workloads import (
    MAX_TOKENS,
    NETWORKS,
    Texts,
    build,
    config_of,
    further_networks,
    load_texts,
    product_flops,
    random_rows,
    texts_of_length,
)

BULK_TEXTS, BULK_BATCH = 1024, 128
ONE_TEXT = "profits rose in the third quarter as the bank cut its rate"
ONE_TEXT_CALLS = 200  # in one repeat: a single call is too short for the clock
LENGTHS, LENGTH_TEXTS = (16, 64, 256, 1024, 4096), 16
BATCHES, BATCH_LENGTH = (1, 4, 16, 64, 256), 64


class CpuBenchmark(Benchmark):
    """Measurements over one corpus. rates: FLOP/s of matrix products (rows, d)·(d, d) by (rows, d)."""

    kinds = ("ours", "peer", "compiled")  # compiled: in training alone
    remedy = "choose another corpus, or measure with --no-peer"
    uncounted = 1

    def __init__(
        self,
        corpus: str = "r8",
        repeats: int = 5,
        threads: int = 0,
        with_peer: bool | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        super().__init__("cpu", HostClock(), repeats, with_peer)
        self.corpus, self.threads = corpus, threads
        self.cache_dir = cache_dir and Path(cache_dir).resolve()  # child processes run in another folder
        self.rates: dict[tuple[int, int], float] = {}

    @property
    def pause(self) -> float:
        return timing.PAUSE

    @contextlib.contextmanager
    def limited_threads(self) -> Iterator[None]:
        """Let all contestants take the given number of threads while the context lasts."""
        with blas_threads(self.threads):
            if not (self.with_peer and self.threads):
                yield
                return
            import torch

            before = torch.get_num_threads()
            torch.set_num_threads(self.threads)
            try:
                yield
            finally:
                torch.set_num_threads(before)

    def figures(self) -> dict[str, Callable[[], None]]:
        lengths = {length: (length, LENGTH_TEXTS) for length in LENGTHS}
        sizes = {count: (BATCH_LENGTH, count) for count in BATCHES}
        return {
            **{f"train_{network}": functools.partial(self.training, network) for network in NETWORKS},
            "predict_bulk_d768": functools.partial(self.bulk_prediction, "d768"),
            "predict_one_d128": functools.partial(self.one_prediction, "d128"),
            **{f"memory_train_{network}": functools.partial(self.memory, network) for network in ("d768", "paper")},
            "first_step": self.first_step,
            "length_exponent": functools.partial(self.growing, "length", "d128", lengths),
            "batch_exponent": functools.partial(self.growing, "batch", "d128", sizes),
        }

    def further_figures(self) -> dict[str, Callable[[], None]]:
        return {f"train_{network}": functools.partial(self.training, network) for network in further_networks()}

    def settings(self) -> dict[str, Any]:
        return {"corpus": self.corpus, "repeats": self.repeats, "threads": self.threads}

    def products(self) -> list[dict[str, Any]]:
        return [{"rows": n, "dimension": d, "flops_per_second": rate} for (n, d), rate in sorted(self.rates.items())]

    @functools.cached_property
    def texts(self) -> Texts:
        return load_texts(self.corpus, self.cache_dir)

    def training(self, network: str) -> None:
        """Tokens per second of training steps, in batches of texts in random order.

        The compiled peer has trained all batches before the clock runs; compiling is then an error.
        """
        texts, batches = self.texts.train, random_rows(self.texts.train, self.repeats)
        trials = trial_batches(texts, batches) if "compiled" in self.kinds else [take(texts, batches[0])] * 2
        engines = self.make_engines(build(network, self.texts.classes), trials, network)
        for rows in batches if "compiled" in engines else ():
            engines["compiled"].train_step(take(texts, rows))

        def run(training: Training, repeat: int) -> object:
            return training.train_step(take(texts, batches[repeat]))

        with without_compiling(engines):
            seconds = self.timed(engines, run)
        tokens = [len(take(texts, rows).ids) for rows in batches]
        flops = [linear_flops(functools.partial(run, engines["ours"], repeat)) for repeat in range(self.repeats)]
        shares = [f / self.rate(n, network) / s for f, n, s in zip(flops, tokens, seconds["ours"])]
        self.add_speed(f"train_{network}", network, True, tokens, seconds, statistics.median(shares))
        self.parts[network] = seconds_per_part(engines["ours"], texts, batches)

    def engines(self, network: str) -> dict[str, Training]:
        """{kind: contestant} with equal parameters, without the compiled one, after two updates with one batch."""
        batch = take(self.texts.train, random_rows(self.texts.train, 1)[0])
        return self.make_engines(build(network, self.texts.classes), [batch, batch], network, kinds=self.plain_kinds)

    @property
    def plain_kinds(self) -> list[str]:
        """The contestants but for the compiled one."""
        return [kind for kind in self.kinds if kind != "compiled"]

    def add_speed(
        self,
        name: str,
        network: str,
        train: bool,
        tokens: Sequence[int],
        seconds: Mapping[str, Sequence[float]],
        share_in_products: float | None = None,
    ) -> None:
        """Append the Row of a throughput, tokens[i] in seconds[kind][i]."""
        speeds = {kind: [n / s for n, s in zip(tokens, taken)] for kind, taken in seconds.items()}
        limit = self.rate(int(statistics.median(tokens)), network) / product_flops(config_of(network), train)
        share = statistics.median(speeds["ours"]) / limit
        self.add(name, speeds, "tokens/s", True, share, share_in_products)

    def rate(self, rows: int, network: str) -> float:
        """FLOP/s of a product of about `rows` rows with one of the network's square matrices."""
        d, rows = config_of(network).dimension, min(1024 * -(-rows // 1024), 8192)
        if (rows, d) not in self.rates:
            self.rates[rows, d] = product_rate(rows, d, d, self.device, self.clock)
        return self.rates[rows, d]

    def bulk_prediction(self, network: str) -> None:
        """Tokens per second of many texts, in the batches of `predict`.

        Texts of about one length come together, so the peer has little to fill up.
        """
        texts, engines = first_texts(self.texts.test, BULK_TEXTS), self.engines(network)
        batches = [take(texts, rows) for rows in ordered_batches(texts.offsets, BULK_BATCH)]

        def predict(training: Training, _: int) -> object:
            if training is engines["ours"]:
                return predict_probabilities(training.network, texts, batch_size=BULK_BATCH)
            return [training.probabilities(batch) for batch in batches]

        tokens = [len(texts.ids)] * self.repeats
        self.add_speed(f"predict_bulk_{network}", network, False, tokens, self.timed(engines, predict))

    def one_prediction(self, network: str) -> None:
        """Milliseconds of one short text, from its characters to its probabilities."""
        encoder = Encoder(Vocabulary(self.texts.tokenizer), MAX_TOKENS)

        def predict(training: Training, _: int) -> None:
            for _ in range(ONE_TEXT_CALLS):
                training.probabilities(encoder.encode([ONE_TEXT]))

        seconds = self.timed(self.engines(network), predict)
        milliseconds = {kind: [1e3 * s / ONE_TEXT_CALLS for s in taken] for kind, taken in seconds.items()}
        self.add(f"predict_one_{network}", milliseconds, "ms")

    def memory(self, network: str) -> None:
        """Peak bytes of a training, each contestant in a process of its own."""
        peaks = {kind: [peak_memory_of_training(kind, network, self.texts)] for kind in self.plain_kinds}
        self.add(f"memory_train_{network}", peaks, "bytes")

    def first_step(self) -> None:
        """Seconds from the start of `python train.py` to the end of its first step; a first process fills the cache."""
        arguments = ["--corpus", self.corpus, *(["--cache-dir", str(self.cache_dir)] if self.cache_dir else [])]
        seconds = [seconds_to_first_step(*arguments) for _ in range(self.repeats + 1)]
        self.add("first_step", {"ours": seconds[1:]}, "s")

    def growing(self, quantity: str, network: str, sizes: Mapping[int, tuple[int, int]]) -> None:
        """The exponent of the seconds of a training step in a size. sizes: {size: (tokens of a text, texts)}."""
        engines = self.engines(network)
        medians: dict[str, list[float]] = {kind: [] for kind in engines}
        for length, count in sizes.values():
            step = functools.partial(train_on, texts_of_length(self.texts.train, length, count))
            seconds = self.timed(engines, step)
            for kind, taken in seconds.items():
                medians[kind].append(statistics.median(taken))
        self.growth[quantity] = {"sizes": list(sizes), "seconds": medians}
        exponents = {kind: [growth_exponent(list(sizes), taken)] for kind, taken in medians.items()}
        self.add(f"{quantity}_exponent", exponents, "exponent")


def train_on(batch: RaggedBatch, training: Training, _: int) -> object:
    """Do one update with the batch."""
    return training.train_step(batch)


def first_texts(texts: RaggedBatch, count: int) -> RaggedBatch:
    """A RaggedBatch of the first `count` texts."""
    return take(texts, np.arange(min(count, len(texts.offsets) - 1)))
