"""Steps of one process and of the ranks that mpiexec started, in turns on the same batches of random texts.

Every rank measures; what is shown is rank 0's. A step is what a training does for a batch: preparation, passes,
exchange, update. ranks.md says how to start it, and what follows from the figures.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import blas_threads, random_generator
from engine.arrays.ragged import RaggedBatch
from engine.data.batching import take
from engine.support.errors import UserError
from engine.support.text import format_table
from engine.training.adamw import AdamW
from engine.training.reduce import ALONE, Alone
from engine.training.shards import prepared_shards, update_in_shards
from engine.training.step import update
from layers.experiments.benchmark.contestants import CLIP_NORM, LEARNING_RATE, WEIGHT_DECAY
from layers.experiments.benchmark.workloads import CLASSES, VOCABULARY, random_rows, random_texts
from layers.networks import PlannedWaveNetwork
from layers.networks.configs import WaveNetworkConfig
from layers.networks.presets import PRESETS

WORKLOADS = {f"{preset}_{size}": (preset, size) for preset in ("paper", "recommended") for size in (64, 512)}
STEPS = 2  # in a turn
LINK_NUMBERS = (1, 2**20)  # float32, that each rank sends in all


class Row(NamedTuple):
    """Seconds of a step of a preset and batch, medians. one: a single process without shards.

    one_in_shards: the same with the shards of all ranks, one after the other; share: its preparation and passes of one
    shard alone; update: of norm and optimizer. ranks: all of them; exchanging: of that, in the exchange of arrays;
    agreeing: in messages before it, and waiting for the slowest. megabytes: that a rank sends. rows: distinct ones.
    """

    preset: str
    texts: int
    one: float
    one_in_shards: float
    share: float
    update: float
    ranks: float
    exchanging: float
    agreeing: float
    megabytes: float
    rows: int


class Clock:
    """Seconds that some methods take together."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def time(self, owner: Any, *names: str) -> None:
        """Time the methods of these names of an object from now on."""
        for name in names:
            setattr(owner, name, self.timed(getattr(owner, name)))

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose seconds are added."""

        def run(*arguments: Any) -> Any:
            started = time.perf_counter()
            result = call(*arguments)
            self.seconds += time.perf_counter() - started
            return result

        return run

    def taken(self) -> float:
        """The seconds since this was last asked."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


class Contestant:
    """A network with its optimizer."""

    def __init__(self, preset: str) -> None:
        fields: dict[str, Any] = {
            name: value for name, value in PRESETS[preset].items() if name in WaveNetworkConfig.fields()
        }
        self.network = PlannedWaveNetwork(WaveNetworkConfig(**fields), VOCABULARY, CLASSES)
        self.optimizer = AdamW(self.network.parameters(), weight_decay=WEIGHT_DECAY)
        self.steps = 0

    def step(self, texts: RaggedBatch, rows: Any, ranks: Alone = ALONE, shards: int = 1) -> None:
        """One update with the texts of these rows."""
        self.steps += 1
        key = (0, 0, self.steps)
        if shards == 1:
            rng = random_generator(*key)
            prepared: Any = self.network.prepared(take(texts, rows), rng)
            update(self.network, self.optimizer, prepared, rng, LEARNING_RATE, CLIP_NORM)
        else:
            batch = prepared_shards(self.network, texts, rows, key, shards, ranks, "cpu")
            update_in_shards(self.network, self.optimizer, batch, LEARNING_RATE, CLIP_NORM, ranks)


def measured(ranks: Alone, repeats: int, names: Sequence[str] = ()) -> Iterator[Row]:
    """A Row of each of the named WORKLOADS, or of all. UserError for a name that is none of them."""
    for name in names:
        if name not in WORKLOADS:
            raise UserError(f"--only {name}: is none of {', '.join(WORKLOADS)}")
    for name in names or WORKLOADS:
        yield measured_row(ranks, *WORKLOADS[name], repeats)


def measured_row(ranks: Alone, preset: str, size: int, repeats: int) -> Row:
    """The Row of a preset and batches of that size."""
    texts = random_texts(4 * size, 1)
    batches = random_rows(texts, STEPS, size)
    alone, cut, part, together = (Contestant(preset) for _ in range(4))
    clocks = {name: Clock() for name in ("update", "update of share", "exchanging", "agreeing")}
    sent: list[int] = []
    counted = Counted(ranks, sent)
    clocks["exchanging"].time(counted, "exchange", "collect")
    clocks["agreeing"].time(counted, "gather")
    clocks["update"].time(alone.optimizer, "step")
    clocks["update of share"].time(part.optimizer, "step")
    kinds: dict[str, tuple[Any, ...]] = {
        "one": (alone, slice(None)),
        "one_in_shards": (cut, slice(None), ALONE, ranks.size),
        "share": (part, slice(size // ranks.size)),
        "ranks": (together, slice(None), counted, ranks.size),
    }
    found: dict[str, list[float]] = {name: [] for name in (*kinds, *clocks)}
    with blas_threads(1):
        for repeat in range(repeats + 1):  # the first warms up
            for name, (contestant, texts_of_batch, *shared) in kinds.items():
                ranks.gather(None)
                if name != "ranks" and not ranks.is_root:
                    continue
                sent.clear()
                started = time.perf_counter()
                for rows in batches:
                    contestant.step(texts, rows[texts_of_batch], *shared)
                seconds = time.perf_counter() - started
                if repeat:
                    found[name].append(seconds / STEPS)
            for name, clock in clocks.items():
                taken = clock.taken()
                if repeat:
                    found[name].append(taken / STEPS)
    medians = {name: statistics.median(values) if values else 0.0 for name, values in found.items()}
    distinct = len(np.unique(take(texts, batches[-1]).ids))
    medians["share"] -= medians.pop("update of share")
    return Row(preset, size, **medians, megabytes=4 * sum(sent) / STEPS / 1e6, rows=distinct)


class Counted(Alone):
    """Other ranks, of which the numbers that this one sends are counted."""

    def __init__(self, ranks: Alone, sent: list[int]) -> None:
        self.rank, self.size, self.ranks, self.sent = ranks.rank, ranks.size, ranks, sent  # type: ignore[misc]
        self.gather = ranks.gather  # type: ignore[method-assign]

    def exchange(self, values: Any, sent: Any, received: Any) -> Any:
        self.sent.append(len(values) - sent[self.rank])
        return self.ranks.exchange(values, sent, received)

    def collect(self, values: Any, counts: Any) -> Any:
        self.sent.append(len(values) * (self.size - 1))
        return self.ranks.collect(values, counts)


def link(ranks: Alone, calls: int = 10) -> dict[int, float]:
    """{numbers that each rank sends in all: seconds of an exchange}, the median of some calls."""
    found = {}
    for numbers in LINK_NUMBERS:
        counts = [numbers] * ranks.size
        values, seconds = np.zeros(numbers * ranks.size, np.float32), []
        for _ in range(calls):
            ranks.gather(None)
            started = time.perf_counter()
            ranks.exchange(values, counts, counts)
            seconds.append(time.perf_counter() - started)
        found[numbers * (ranks.size - 1)] = statistics.median(seconds)
    return found


def as_table(rows: list[Row], ranks: Alone, seconds: dict[int, float]) -> str:
    """The table of all rows, in milliseconds, and the time of messages."""
    table = []
    for row in rows:
        last = [f"{row.one / row.ranks:.2f}", f"{row.megabytes:.2f}", f"{row.rows:,}"]
        table.append([row.preset, row.texts, *(f"{1e3 * value:.2f}" for value in row[2:9]), *last])
    head = [
        "preset", "texts", "one process", "in shards", "passes of a shard", "update", f"{ranks.size} ranks",
        "exchanging", "agreeing", "times faster", "MB sent", "rows",
    ]  # fmt: skip
    messages = ", ".join(f"{4 * numbers:,} bytes in {1e6 * taken:.0f} us" for numbers, taken in seconds.items())
    return f"{format_table(head, table)}\n\nms a step; an exchange sends {messages}"
