"""Measure updates of one model at several lengths of text, in a process of its own that does nothing else.

    python -m layers.experiments.complexity.measure MODEL DEVICE TEXTS LENGTH… --rate FLOP/S
        [--budget S] [--threads N] [--tokens distinct|words]

prints a Measurement for each length, the shortest first, as a line of JSON. An update is forward, backward, clipping
and AdamW. What is known of shorter texts predicts whether a longer one can be measured, and how many bytes it keeps.
"""

import argparse
import contextlib
import functools
import json
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from engine.arrays.backend import blas_threads, peak_memory_bytes, random_generator
from engine.arrays.ragged import RaggedBatch
from engine.benchmark.machine import describe_device, memory_bytes, restart_peak
from engine.benchmark.parts import PartTimer, SynchronizedPartTimer, Target, arrays_in, kept_bytes
from engine.benchmark.timing import clock_of
from engine.training.step import update
from layers.experiments.benchmark.contestants import CLIP_NORM, LEARNING_RATE, OurTraining
from layers.experiments.complexity import TOKENS, batch_of, build
from layers.networks.costs import mixing_flops, step_flops

UPDATES, ENOUGH = 3, 20.0  # timed at each length, and seconds after which no further one is begun
MIXING = ("attention", "bag_magnitude", "wave_pair")  # function pairs in which tokens see one another


class Measurement(NamedTuple):
    """A model at one length of text.

    forward, backward, mixing: operations, the last those in which tokens see one another, both ways; state_bytes:
    parameters and the optimizer's arrays; kept_bytes: what the forward pass keeps for backward; peak_bytes: of the
    process ("cpu") or of its arrays on the device. seconds: of each timed update; mixing_seconds: of the mixing in one.
    why_not: why nothing was measured, else None; kept_bytes then follows from shorter lengths where it can. None for
    what is not known.
    """

    model: str
    texts: int
    length: int
    parameters: int
    forward: int
    backward: int
    mixing: int
    state_bytes: int | None = None
    kept_bytes: int | None = None
    peak_bytes: int | None = None
    seconds: list[float] | None = None
    mixing_seconds: float | None = None
    why_not: str | None = None

    @property
    def operations(self) -> int:
        return self.forward + self.backward

    @property
    def update_seconds(self) -> float | None:
        """The median; None if nothing was measured."""
        return statistics.median(self.seconds) if self.seconds else None


def predicted_seconds(operations: int, measured: Sequence[Measurement], rate: float) -> float:
    """Seconds of an update of so many operations: those of the longest measured, and the rest at the rate since.

    measured: Measurements with seconds. The rate is that between the two longest, but at most `rate`, FLOP/s of a
    product, which is also taken where there are no two.
    """
    if not measured:
        return operations / rate
    last = measured[-1]
    last_seconds = last.update_seconds or 0.0
    for before in measured[-2:-1]:
        longer = last_seconds - (before.update_seconds or 0.0)
        rate = min(rate, (last.operations - before.operations) / longer) if longer > 0 else rate
    return last_seconds + (operations - last.operations) / rate


class Subject:
    """A model on its device with its optimizer. measured: its Measurements so far, of ascending lengths.

    rate: FLOP/s of a matrix product; budget: most seconds that an update may be expected to take.
    """

    def __init__(
        self, model: str, device: str, longest: int, rate: float, budget: float = 60.0, tokens: str = "distinct"
    ) -> None:
        self.model, self.device, self.rate, self.budget, self.tokens = model, device, rate, budget, tokens
        self.network = build(model, longest)
        self.training = OurTraining(self.network, device)
        self.optimizer = self.training.optimizer
        self.measured: list[Measurement] = []

    def measure(self, texts: int, length: int) -> Measurement:
        """The Measurement of a batch of `texts` texts of `length` tokens each."""
        batch = batch_of(texts, length, self.tokens)
        forward, backward = step_flops(self.network, batch)
        mixing = sum(mixing_flops(self.network, batch))
        row = Measurement(self.model, texts, length, self.network.parameter_count(), forward, backward, mixing)
        row = row._replace(kept_bytes=self.saved_bytes_at(length), why_not=self.skip_reason(row))
        if row.why_not is None:
            try:
                row = self.measure_updates(row, batch)
                self.measured.append(row)
            except MemoryError:
                row = row._replace(why_not="it does not fit into the memory")
        return row

    def skip_reason(self, row: Measurement) -> str | None:
        """Why the row should not be measured: in a few words, or None."""
        seconds = predicted_seconds(row.operations, self.measured, self.rate)
        if seconds > self.budget:
            return f"about {seconds:,.{0 if seconds >= 10 else 2}f} s an update"
        kept, memory = self.saved_bytes_at(row.length), device_memory_bytes(self.device)
        if kept and memory and kept + (self.measured[-1].state_bytes or 0) > memory:
            return f"more than {kept / 2**30:,.0f} GiB of memory"
        return None

    def saved_bytes_at(self, length: int) -> int | None:
        """Bytes that the forward pass keeps at a further length, from two that were measured; None if not known.

        Every array in a cache has a row for each token, for each text, or always the same number, if no token occurs
        twice.
        """
        if len(self.measured) < 2 or self.tokens != "distinct":
            return None
        first, last = self.measured[0], self.measured[-1]
        kept, kept_last = first.kept_bytes or 0, last.kept_bytes or 0
        return kept + (kept_last - kept) * (length - first.length) // (last.length - first.length)

    def measure_updates(self, row: Measurement, batch: RaggedBatch) -> Measurement:
        """The row with what is measured: one update comes first and does not count.

        ArithmeticError for a number that is not finite.
        """
        restart_peak(self.device)
        rng = random_generator(0, row.length, device=self.device)
        step = functools.partial(update, self.network, self.optimizer, batch, rng, LEARNING_RATE, CLIP_NORM)
        values = [parameter.value for parameter in self.network.parameters().values()]
        kept = kept_bytes(step().cache, values)
        for array in arrays_in(self.optimizer.state):
            array += 0  # a system gives memory when it is first written: a long training has had all rows of the table
        seconds, mixing = self.times(step)
        if self.training.has_stopped():
            raise ArithmeticError(f"{self.model} came to a number that is not finite at {row.length} tokens")
        state, peak = kept_bytes((values, self.optimizer.state)), peak_memory_bytes(self.device)
        return row._replace(state_bytes=state, kept_bytes=kept, peak_bytes=peak, seconds=seconds, mixing_seconds=mixing)

    def times(self, step: Callable[[], Any]) -> tuple[list[float], float]:
        """([seconds of each update], seconds of the mixing in one)."""
        clock = clock_of(self.device)
        seconds: list[float] = []
        on_host = self.device == "cpu"
        timer = PartTimer() if on_host else SynchronizedPartTimer(clock)
        functions, ways = self.network.functions, ("forward", "backward")
        mixing: list[Target] = [(functions, f"{pair}_{way}", "mixing") for pair in MIXING for way in ways]
        with timer.timing(mixing) if on_host else contextlib.nullcontext():
            while not seconds or (len(seconds) < UPDATES and sum(seconds) < ENOUGH):
                seconds.append(clock.seconds(step))
        if on_host:
            return seconds, timer.seconds["mixing"] / len(seconds)
        with timer.timing(mixing):  # which waits for the device around each call: an update of its own
            step()
        return seconds, timer.seconds["mixing"]


def device_memory_bytes(device: str) -> int | None:
    """The size of the device's memory in bytes, or None where it is not known."""
    return memory_bytes() if device == "cpu" else describe_device(device)["device_memory_bytes"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the model and the lengths that the arguments name; print each Measurement as soon as it is taken."""
    parser = argparse.ArgumentParser(prog="layers.experiments.complexity.measure")
    parser.add_argument("model")
    parser.add_argument("device")
    parser.add_argument("texts", type=int)
    parser.add_argument("lengths", type=int, nargs="+")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--tokens", choices=TOKENS, default=TOKENS[0])
    chosen = parser.parse_args(arguments)
    with blas_threads(chosen.threads):
        subject = Subject(chosen.model, chosen.device, max(chosen.lengths), chosen.rate, chosen.budget, chosen.tokens)
        for length in sorted(chosen.lengths):
            print(json.dumps(subject.measure(chosen.texts, length)._asdict()), flush=True)


if __name__ == "__main__":
    main()
