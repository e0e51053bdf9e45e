"""The benchmark of `python train.py benchmark`: every figure of ours and of the peer in one run, on the same texts.

Peak memory of a training, in a process of its own that does nothing else.

    python -m layers.experiments.benchmark.cpu ours|peer NETWORK FILE.npz        prints bytes

FILE.npz holds ids, offsets and labels of a few batches, one after another, and the number of classes.

From `python train.py` to the end of the first training step, as somebody waits for it: a process of its own each time.
"""

import contextlib
import functools
import importlib.metadata
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.arrays.backend import blas_threads, peak_memory_bytes
from engine.arrays.ragged import RaggedBatch
from engine.benchmark.timing import growth_exponent, interleaved, product_rate
from engine.data.batching import ordered_batches, take
from engine.data.tokenizer import encode_texts
from engine.support.errors import UserError
from engine.training.evaluation import predict_probabilities
from layers.experiments.benchmark.contestants import contestants_of, peer_is_installed
from layers.experiments.benchmark.parts import linear_flops, seconds_per_part
from layers.experiments.benchmark.workloads import (
    BATCH,
    NETWORKS,
    build,
    config_of,
    load_texts,
    product_flops,
    random_rows,
    texts_of_length,
)

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys, time
import train
from engine.training.trainer import Trainer
step = Trainer.train_step
def first(self, batch):
    step(self, batch)
    print(time.time())
    raise KeyboardInterrupt
Trainer.train_step = first
train.main(sys.argv[1:])
"""


def seconds_to_first_step(*arguments):
    """Seconds from the start of a process `train.py train ARGUMENTS`, with what the cache folder holds by then."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", PROGRAM, "train", "--json", "--output", str(Path(folder) / "run"), *arguments]
        started = time.time()
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    try:
        return float(done.stdout) - started
    except ValueError:
        raise failed("the first step", done) from None


def failed(what, done):
    """The UserError of a child process that measured nothing, with its last word."""
    last = ([line for line in done.stderr.splitlines() if line.strip()] or [f"it ended with code {done.returncode}"])[
        -1
    ]
    return UserError(f"measuring {what} failed: {last.removeprefix('error: ')}")


STEPS = 8
ROOT = Path(__file__).resolve().parents[3]


def peak_of_training(engine, network, texts):
    """Peak resident bytes of a fresh process that imports the engine ("ours" or "peer") and trains STEPS batches."""
    batches = [take(texts.train, rows) for rows in random_rows(texts.train, STEPS)]
    arrays = {name: np.concatenate([getattr(batch, name) for batch in batches]) for name in ("ids", "labels")}
    lengths = np.concatenate([np.diff(batch.offsets) for batch in batches])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "batches.npz"
        np.savez(file, offsets=np.concatenate([[0], np.cumsum(lengths)]), classes=texts.classes, **arrays)
        command = [sys.executable, "-m", "layers.experiments.benchmark.cpu", engine, network, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise failed(f"the memory of {engine}", done)
    return int(done.stdout)


def main(engine, network, file):
    with np.load(file) as arrays:
        data, classes = RaggedBatch(arrays["ids"], arrays["offsets"], arrays["labels"]), int(arrays["classes"])
    if engine == "ours":
        from layers.experiments.benchmark.contestants import OurTraining as Training
    else:
        from layers.experiments.benchmark.torch_peer import PeerTraining as Training
    training = Training(build(network, classes))
    for start in range(0, len(data.labels), BATCH):
        training.train_step(take(data, np.arange(start, start + BATCH)))
    print(peak_memory_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])


BULK_TEXTS, BULK_BATCH = 1024, 128
ONE_TEXT = "profits rose in the third quarter as the bank cut its rate"
ONE_TEXT_CALLS = 200  # in one repeat: a single call is too short for the clock
LENGTHS, LENGTH_TEXTS = (16, 64, 256, 1024, 4096), 16
BATCHES, BATCH_LENGTH = (1, 4, 16, 64, 256), 64
AGREEMENT = 2e-3  # of the losses of both engines after an update: what does not learn the same is no peer


class Row(NamedTuple):
    """A line of the benchmark. ours, peer: medians in `unit`; ratio: how many times better ours is.

    share_of_limit: ours over what the products with the weights alone would allow, each computed for every token: above 1 where
    products are saved. share_in_products: the time that those which ours does compute would take at the rate measured, over the time of all.
    spread: {"ours": (least, largest), "peer": …} of the repeats. None where something does not apply or was not measured.
    """

    name: str
    ours: float
    peer: float | None
    ratio: float | None
    share_of_limit: float | None
    unit: str
    share_in_products: float | None = None
    spread: dict | None = None


class Benchmark:
    """Measurements over one corpus. rows: what has been measured; parts: seconds per step by network and part; growth: seconds by
    size; rates: FLOP/s of matrix products by (rows, d). with_peer: None measures PyTorch where it is installed."""

    def __init__(self, corpus="r8", repeats=5, threads=0, with_peer=None, cache_dir=None):
        if with_peer and not peer_is_installed():
            raise UserError("--peer: PyTorch is not installed; run pip install -e '.[bench]', or leave --peer out")
        self.corpus, self.repeats, self.threads = corpus, repeats, threads
        self.cache_dir = cache_dir and Path(cache_dir).resolve()  # child processes run in another folder
        self.with_peer = peer_is_installed() if with_peer is None else with_peer
        self.rows, self.parts, self.growth, self.rates = [], {}, {}, {}

    @contextlib.contextmanager
    def limited_threads(self):
        """Both engines take the given number of threads while the context lasts."""
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

    def steps(self):
        """{name: function that measures the row of that name}."""
        return {
            **{f"train_{network}": functools.partial(self.training, network) for network in NETWORKS},
            "predict_bulk_d768": functools.partial(self.bulk_prediction, "d768"),
            "predict_one_d128": functools.partial(self.one_prediction, "d128"),
            "memory_train_d768": functools.partial(self.memory, "d768"),
            "first_step": self.first_step,
            "length_exponent": functools.partial(
                self.growing, "length", "d128", {length: (length, LENGTH_TEXTS) for length in LENGTHS}
            ),
            "batch_exponent": functools.partial(
                self.growing, "batch", "d128", {count: (BATCH_LENGTH, count) for count in BATCHES}
            ),
        }

    @functools.cached_property
    def texts(self):
        return load_texts(self.corpus, self.cache_dir)

    def peer_version(self):
        return f"PyTorch {importlib.metadata.version('torch')}, eager" if self.with_peer else None

    def training(self, network):
        engines = self.contestants(network)
        texts, batches = self.texts.train, random_rows(self.texts.train, self.repeats)
        run = lambda i, engine: engine.train_step(take(texts, batches[i]))  # noqa: E731
        seconds = interleaved(
            {name: functools.partial(run, engine=engine) for name, engine in engines.items()}, self.repeats
        )
        tokens = [len(take(texts, rows).ids) for rows in batches]
        self.speed(f"train_{network}", network, True, tokens, seconds)
        flops = [linear_flops(functools.partial(run, i, engines["ours"])) for i in range(self.repeats)]
        shares = [f / self.rate(n, network) / s for f, n, s in zip(flops, tokens, seconds["ours"])]
        self.rows[-1] = self.rows[-1]._replace(share_in_products=statistics.median(shares))
        self.parts[network] = seconds_per_part(engines["ours"], texts, batches)

    def contestants(self, network):
        """Both engines with equal parameters; checked to learn alike."""
        engines = contestants_of(build(network, self.texts.classes), self.with_peer)
        batch = take(self.texts.train, random_rows(self.texts.train, 1)[0])
        losses = {name: [engine.train_step(batch) for _ in range(2)] for name, engine in engines.items()}
        if self.with_peer and not np.allclose(losses["ours"], losses["peer"], rtol=AGREEMENT):
            raise UserError(
                f"{network}: the engines do not compute the same, their losses are {losses}; choose another corpus, or measure with --no-peer"
            )
        return engines

    def speed(self, name, network, train, tokens, seconds):
        """Append the Row of a throughput, tokens[i] in seconds[engine][i]."""
        speeds = {engine: [n / s for n, s in zip(tokens, of_engine)] for engine, of_engine in seconds.items()}
        limit = self.rate(int(statistics.median(tokens)), network) / product_flops(config_of(network), train)
        self.add(name, speeds, "tokens/s", more_is_better=True, limit=limit)

    def add(self, name, values, unit, more_is_better=False, limit=None):
        """Append a Row of the medians of values[engine]."""
        medians = {engine: statistics.median(numbers) for engine, numbers in values.items()}
        ours, peer = medians["ours"], medians.get("peer")
        ratio = None if peer is None else ours / peer if more_is_better else peer / ours
        spread = {engine: (min(numbers), max(numbers)) for engine, numbers in values.items()}
        self.rows.append(Row(name, ours, peer, ratio, limit and ours / limit, unit, spread=spread))

    def rate(self, rows, network):
        """FLOP/s of a product of about `rows` rows with one of the network's square matrices."""
        d, rows = config_of(network).dimension, min(1024 * -(-rows // 1024), 8192)
        if (rows, d) not in self.rates:
            self.rates[rows, d] = product_rate(rows, d, d)
        return self.rates[rows, d]

    def bulk_prediction(self, network):
        """Many texts, in the batches of `predict`: texts of about one length together, so that the peer has little to fill up."""
        texts, engines = first_texts(self.texts.test, BULK_TEXTS), self.contestants(network)
        batches = [take(texts, rows) for rows in ordered_batches(texts.offsets, BULK_BATCH)]
        runs = {"ours": lambda _: predict_probabilities(engines["ours"].network, texts, batch_size=BULK_BATCH)}
        if self.with_peer:
            runs["peer"] = lambda _: [engines["peer"].probabilities(batch) for batch in batches]
        self.speed(
            "predict_bulk_d768", network, False, [len(texts.ids)] * self.repeats, interleaved(runs, self.repeats)
        )

    def one_prediction(self, network):
        """One short text, from its characters to its probabilities."""
        engines, tokenizer = self.contestants(network), self.texts.tokenizer

        def predict(engine):
            for _ in range(ONE_TEXT_CALLS):
                engine.probabilities(RaggedBatch(*encode_texts(tokenizer, [ONE_TEXT], 128)))

        seconds = interleaved(
            {name: lambda _, engine=engine: predict(engine) for name, engine in engines.items()}, self.repeats
        )
        self.add(
            "predict_one_d128",
            {name: [1e3 * s / ONE_TEXT_CALLS for s in of_engine] for name, of_engine in seconds.items()},
            "ms",
        )

    def memory(self, network):
        engines = ["ours", "peer"] if self.with_peer else ["ours"]
        self.add(
            f"memory_train_{network}",
            {engine: [peak_of_training(engine, network, self.texts)] for engine in engines},
            "bytes",
        )

    def first_step(self):
        """From the start of `python train.py` to the end of its first step; the first process fills the cache."""
        arguments = ["--corpus", self.corpus, *(["--cache-dir", str(self.cache_dir)] if self.cache_dir else [])]
        seconds = [seconds_to_first_step(*arguments) for _ in range(self.repeats + 1)]
        self.add("first_step", {"ours": seconds[1:]}, "s")

    def growing(self, what, network, sizes):
        """The exponent of the seconds of a training step in a size. sizes: {size: (tokens of a text, texts)}."""
        engines = self.contestants(network)
        seconds = {engine: [] for engine in engines}
        for length, count in sizes.values():
            batch = texts_of_length(self.texts.train, length, count)
            raced = interleaved(
                {name: lambda _, engine=engine: engine.train_step(batch) for name, engine in engines.items()},
                self.repeats,
            )
            for engine, of_engine in raced.items():
                seconds[engine].append(statistics.median(of_engine))
        self.growth[what] = {"sizes": list(sizes), "seconds": seconds}
        self.add(
            f"{what}_exponent",
            {engine: [growth_exponent(list(sizes), of_engine)] for engine, of_engine in seconds.items()},
            "exponent",
        )


def first_texts(texts, count):
    """A RaggedBatch of the first `count` texts."""
    return take(texts, np.arange(min(count, len(texts.labels))))
