"""The command serve under a bounded load on 127.0.0.1: a server process on one core, and clients in this one.

batches   CLIENTS connections send BATCH short texts at a time, one request after another
singles   the same with one text at a time
paced     one text at a time, RATE times a second at random times; a latency counts from the time planned for it,
          so that a request which another one delays counts in full
"""

import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from engine.benchmark.machine import describe_machine
from engine.benchmark.process import THREADS, measured_process
from engine.benchmark.timing import ROOT
from engine.data.config import DataConfig
from engine.data.reading import read_corpus
from engine.support.command import child_environment
from engine.support.errors import UserError
from engine.support.text import format_table

WORDS = 12  # of a short text, at most
CLIENTS, BATCH, RATE = 4, 256, 50
BURST_SECONDS, PACED_SECONDS = 3.0, 10.0
COMMAND = (sys.executable, "-m", "wave_network")
UNITS = {
    "texts_in_batches": "texts/s",
    "texts_one_by_one": "texts/s",
    "latency_p50": "ms",
    "latency_p99": "ms",
    "latency_largest": "ms",
}


class Load(NamedTuple):
    """The figures of one repeat, in UNITS."""

    texts_in_batches: float
    texts_one_by_one: float
    latency_p50: float
    latency_p99: float
    latency_largest: float


def short_texts(corpus: str, cache_dir: str | None) -> list[str]:
    """The first WORDS words of each test text of a corpus. UserError where there are none."""
    found, _ = read_corpus(DataConfig(corpus=corpus), cache_dir)
    if found.test is None:
        raise UserError(f"--corpus {corpus}: has no test texts; choose another")
    return [" ".join(text.split()[:WORDS]) for text in found.test.texts]


@contextlib.contextmanager
def served(*words: object) -> Iterator[int]:
    """The port of a process of these words, a command that serves, while this lasts.

    It is held on one core, where the system can hold it there.
    """
    environment = child_environment(**dict.fromkeys(THREADS, "1"))
    command = [*COMMAND, *words, "--port", 0]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    with process:
        try:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
            assert process.stdout is not None and process.stderr is not None
            line = process.stdout.readline()
            if not line:
                raise UserError(f"measuring the server failed: {process.stderr.read().strip().removeprefix('error: ')}")
            yield int(line.rpartition(":")[2].partition("/")[0])
        finally:
            process.send_signal(signal.SIGTERM)


class Client:
    """A connection that asks for the labels of texts."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, body: bytes) -> bytes:
        """The answer to the body of a request. UserError for one that says it failed."""
        self.connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise UserError(f"measuring the server failed: it answered {answer.status}: {content.decode()}")
        return content


def body_of(texts: Sequence[str]) -> bytes:
    return json.dumps({"texts": list(texts)}).encode()


def rate(port: int, bodies: Sequence[bytes], texts: int, seconds: float) -> float:
    """Texts a second of CLIENTS connections. bodies: taken in turns, with `texts` texts each."""
    ends = time.perf_counter() + seconds

    def ask(first: int) -> tuple[int, float]:
        client, count = Client(port), 0
        for body in itertools.islice(itertools.cycle(bodies), first, None):
            client.ask(body)
            count += 1
            if (now := time.perf_counter()) >= ends:
                return count, now
        raise AssertionError("bodies: must not be empty")

    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(ask, range(CLIENTS)))
    return texts * sum(count for count, _ in found) / (max(end for _, end in found) - started)


def latencies(port: int, bodies: Sequence[bytes], per_second: float, seconds: float, seed: int) -> list[float]:
    """Seconds from the time planned for each request to its answer; the plan is random, as of many who ask."""
    rng = random.Random(seed)
    gaps = (rng.expovariate(per_second) for _ in range(round(per_second * seconds)))
    started = time.perf_counter() + 0.1
    plan = [(started + at, bodies[number % len(bodies)]) for number, at in enumerate(itertools.accumulate(gaps))]
    clients = [Client(port) for _ in range(4 * CLIENTS)]  # more than are ever busy at once
    free = list(clients)

    def ask(at: float, body: bytes) -> float:
        time.sleep(max(0.0, at - time.perf_counter()))
        client = free.pop()
        client.ask(body)
        free.append(client)
        return time.perf_counter() - at

    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(lambda one: ask(*one), plan))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a share of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def trained(folder: Path, corpus: str, cache_dir: str | None) -> Path:
    """A run of the default preset, trained on a corpus for one epoch in a process of its own."""
    run = folder / "run"
    options = ["--corpus", corpus, "--epochs", 1, "--no-keep-optimizer", "--output", run]
    options += [] if cache_dir is None else ["--cache-dir", cache_dir]
    measured_process("the training", [*COMMAND, "train", *options])
    return run


class ServingBenchmark:
    """Figures of a server of its own. corpus: name of the texts; found: of each repeat."""

    def __init__(self, corpus: str, texts: Sequence[str], repeats: int) -> None:
        self.corpus, self.texts, self.repeats = corpus, texts, repeats
        self.found: list[Load] = []

    def measure(self, run: Path, burst: float = BURST_SECONDS, paced: float = PACED_SECONDS) -> Iterator[int]:
        """Serve a run and ask; yield the number of each repeat before it. burst, paced: seconds of its parts."""
        size = min(BATCH, len(self.texts))
        batches = [body_of(self.texts[first : first + size]) for first in range(0, len(self.texts) - size + 1, size)]
        singles = [body_of([text]) for text in self.texts]
        with served("serve", run) as port:
            for number in range(1, self.repeats + 1):
                yield number
                rates = rate(port, batches, size, burst), rate(port, singles, 1, burst)
                waited = [1000 * seconds for seconds in latencies(port, singles, RATE, paced, number)]
                self.found.append(Load(*rates, statistics.median(waited), percentile(waited, 0.99), max(waited)))

    def medians(self) -> Load:
        """The medians over the repeats."""
        return Load(*map(statistics.median, zip(*self.found)))


def as_json_object(measured: ServingBenchmark) -> dict[str, Any]:
    """The medians by name, their spread over the repeats, and the machine."""
    spread = {name: [min(values), max(values)] for name, values in zip(Load._fields, zip(*measured.found))}
    about = {"corpus": measured.corpus, "repeats": measured.repeats, "batch": BATCH, "clients": CLIENTS, "rate": RATE}
    figures = {**measured.medians()._asdict(), "units": UNITS, "spread": spread}
    return {**about, **figures, "machine": describe_machine()}


def as_table(measured: ServingBenchmark) -> str:
    """A line for each figure: the median of the repeats, and the least and the largest."""
    rows = [
        (name, UNITS[name], shown(middle), f"{shown(min(values))} to {shown(max(values))}")
        for name, middle, values in zip(Load._fields, measured.medians(), zip(*measured.found))
    ]
    about = (
        f"{measured.corpus}, texts of at most {WORDS} words; {CLIENTS} connections, batches of {BATCH}; latencies at "
        f"{RATE} single texts a second; medians of {measured.repeats}, the server on one core"
    )
    return f"{format_table(['measured', 'unit', 'median', 'range'], rows, '<<>>')}\n{about}"


def shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
