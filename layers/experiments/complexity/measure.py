"""What updates of one model take at several lengths of text, in a process of its own that does nothing else.

    python -m layers.experiments.complexity.measure MODEL DEVICE TEXTS LENGTH… --rate FLOP/S [--budget S] [--threads N] [--tokens distinct|words]

prints a Measurement for each length, the shortest first, as a line of JSON. An update: forward, backward, clipping, AdamW.

What is known of a model at one length of text, and what that says about longer ones.
"""

import argparse
import contextlib
import functools
import json
import statistics
from typing import NamedTuple

from engine.arrays.backend import blas_threads, peak_memory_bytes, random_generator
from engine.benchmark.machine import describe_device, memory_bytes, restart_peak
from engine.benchmark.parts import PartTimer, arrays_in, kept_bytes
from engine.benchmark.timing import SynchronizedPartTimer, clock_of
from engine.training.step import update
from layers.costs import mixing_flops, step_flops
from layers.experiments.benchmark.contestants import CLIP_NORM, LEARNING_RATE, OurDeviceTraining
from layers.experiments.complexity.models import TOKENS, batch_of, build
from layers.networks import transformer_block, wave_block


class Measurement(NamedTuple):
    """A model at one length of text.

    forward, backward, mixing: operations, the last those in which tokens see one another, both ways; state_bytes: parameters and
    the optimizer's arrays; kept_bytes: what the forward pass keeps for backward; peak_bytes: of the process ("cpu") or of its arrays
    on the device. seconds: of each timed update; mixing_seconds: of the mixing in one. why_not: why nothing was measured, else None;
    kept_bytes then follows from shorter lengths where it can. None for what is not known.
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
    seconds: list | None = None
    mixing_seconds: float | None = None
    why_not: str | None = None

    @property
    def operations(self):
        return self.forward + self.backward

    @property
    def update_seconds(self):
        """The median; None if nothing was measured."""
        return self.seconds and statistics.median(self.seconds)


def predicted_seconds(operations, measured, rate):
    """Seconds of an update of so many operations: those of the longest measured, and the rest at the rate between the two longest.

    measured: Measurements; rate: FLOP/s of a product, taken where there are no two, or where the rate between them is higher.
    """
    if not measured:
        return operations / rate
    last = measured[-1]
    for before in measured[-2:-1]:
        longer = last.update_seconds - before.update_seconds
        rate = min(rate, (last.operations - before.operations) / longer) if longer > 0 else rate
    return last.update_seconds + (operations - last.operations) / rate


UPDATES, ENOUGH = 3, 20.0  # timed at each length, and seconds after which no further one is begun
MIXING = [
    (module, f"{pair}_{way}", "mixing")
    for module, pair in (
        (transformer_block, "attention"),
        (wave_block, "modulated_magnitude"),
        (wave_block, "wave_pair"),
    )
    for way in ("forward", "backward")
]


class Subject:
    """A model on its device with its optimizer. measured: its Measurements so far, of ascending lengths.

    rate: FLOP/s of a matrix product; budget: most seconds that an update may be expected to take.
    """

    def __init__(self, model, device, longest, rate, budget=60.0, tokens="distinct"):
        self.model, self.device, self.rate, self.budget, self.tokens = model, device, rate, budget, tokens
        self.training = OurDeviceTraining(build(model, longest), device)
        self.network, self.optimizer = self.training.network, self.training.optimizer
        self.measured = []

    def at(self, texts, length):
        """The Measurement of a batch of `texts` texts of `length` tokens each."""
        batch = batch_of(texts, length, self.tokens)
        counted, mixing = step_flops(self.network, batch), sum(mixing_flops(self.network, batch))
        row = Measurement(self.model, texts, length, self.network.parameter_count(), *counted, mixing)
        row = row._replace(kept_bytes=self.kept_at(length), why_not=self.obstacle(row))
        if row.why_not is None:
            try:
                row = self.trained(row, batch)
                self.measured.append(row)
            except MemoryError:
                row = row._replace(why_not="it does not fit into the memory")
        return row

    def obstacle(self, row):
        """Why the row should not be measured: in a few words, or None."""
        seconds = predicted_seconds(row.operations, self.measured, self.rate)
        if seconds > self.budget:
            return f"about {seconds:,.{0 if seconds >= 10 else 2}f} s an update"
        kept, memory = self.kept_at(row.length), memory_of(self.device)
        if kept and memory and kept + self.measured[-1].state_bytes > memory:
            return f"more than {kept / 2**30:,.0f} GiB of memory"
        return None

    def kept_at(self, length):
        """Bytes kept at a further length, from two that were measured; None where it is not known.

        Every array in a cache has a row for each token, for each text, or always the same number, if no token occurs twice.
        """
        if len(self.measured) < 2 or self.tokens != "distinct":
            return None
        (first, kept), (last, kept_last) = (
            (row.length, row.kept_bytes) for row in (self.measured[0], self.measured[-1])
        )
        return kept + (kept_last - kept) * (length - first) // (last - first)

    def trained(self, row, batch):
        """The row with what is measured: one update comes first and does not count. ArithmeticError for a number that is not finite."""
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

    def times(self, step):
        """([seconds of each update], seconds of the mixing in one)."""
        clock, seconds = clock_of(self.device), []
        on_host = self.device == "cpu"
        timer = PartTimer() if on_host else SynchronizedPartTimer(clock)
        with timer.timing(MIXING) if on_host else contextlib.nullcontext():
            while not seconds or (len(seconds) < UPDATES and sum(seconds) < ENOUGH):
                seconds.append(clock.seconds(step))
        if on_host:
            return seconds, timer.seconds["mixing"] / len(seconds)
        with timer.timing(MIXING):  # which waits for the device around each call: an update of its own
            step()
        return seconds, timer.seconds["mixing"]


def memory_of(device):
    """Bytes that the device has, or None."""
    return memory_bytes() if device == "cpu" else describe_device(device)["device_memory_bytes"]


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="layers.experiments.complexity.measure")
    for name, kind in (("model", str), ("device", str), ("texts", int)):
        parser.add_argument(name, type=kind)
    parser.add_argument("lengths", type=int, nargs="+")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--tokens", choices=TOKENS, default=TOKENS[0])
    chosen = parser.parse_args(arguments)
    with blas_threads(chosen.threads):
        subject = Subject(chosen.model, chosen.device, max(chosen.lengths), chosen.rate, chosen.budget, chosen.tokens)
        for length in sorted(chosen.lengths):
            print(json.dumps(subject.at(chosen.texts, length)._asdict()), flush=True)


if __name__ == "__main__":
    main()
