"""The measurements of `python train.py complexity`: growth with the length of a text, and reductions at one batch.

Measuring a model in a process of its own, line by line as it goes.
"""

import json
import subprocess
import sys
import tempfile
from typing import NamedTuple

from engine.arrays.backend import blas_threads, resolve_device
from engine.benchmark.machine import describe_device, describe_machine, release_memory, square_product_rate
from engine.benchmark.timing import clock_of
from engine.support.errors import UserError
from layers.experiments.benchmark import workloads
from layers.experiments.benchmark.cpu import ROOT, failed
from layers.experiments.complexity.measure import Measurement
from layers.experiments.complexity.models import LENGTH, LENGTHS, MODELS, TEXTS, TOKENS, is_wave


class Setup(NamedTuple):
    """What all models are measured with. rate: FLOP/s of a matrix product; budget: most seconds of an update; threads: 0 for all."""

    device: str
    rate: float
    budget: float
    threads: int
    tokens: str


def measurements(model, texts, lengths, setup):
    """A Measurement for each length in ascending order, as soon as it is there. UserError where the process fails."""
    command = [
        sys.executable,
        "-m",
        "layers.experiments.complexity.measure",
        model,
        setup.device,
        str(texts),
        *map(str, lengths),
    ]
    for name in ("rate", "budget", "threads", "tokens"):
        command += [f"--{name}", str(getattr(setup, name))]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT) as child:
            try:
                for line in child.stdout:
                    yield Measurement(**json.loads(line))
            except BaseException:  # nobody reads on
                child.kill()
                raise
        if child.returncode:
            errors.seek(0)
            raise failed(model, subprocess.CompletedProcess(command, child.returncode, stderr=errors.read()))


GROWTH_TEXTS = 1  # in a batch, whose length grows
KINDS = ("growth", "reductions")


class Complexity:
    """growth: {model: [Measurement of each length]}; rounds: {model: [Measurement of each repeat]}, both as far as they were taken.

    machine: what it was measured on; setup.rate: FLOP/s of one matrix product there. Raises UserError for wrong models or lengths.
    """

    def __init__(
        self,
        device="cpu",
        models=tuple(MODELS),
        lengths=LENGTHS,
        texts=TEXTS,
        length=LENGTH,
        repeats=3,
        budget=60.0,
        threads=0,
        tokens=TOKENS[0],
    ):
        self.device = resolve_device(device)
        self.models, self.lengths = checked_models(models), checked_lengths(lengths)
        self.texts, self.length, self.repeats = texts, length, repeats
        self.growth, self.rounds = {}, {}
        with blas_threads(threads):
            self.machine = {**describe_machine(), **describe_device(self.device)}
            rate = square_product_rate(self.device, clock_of(self.device))
        release_memory(self.device)  # which the models need
        self.setup = Setup(self.device, rate, budget, threads, tokens)

    def count(self, kind):
        """How many Measurements a kind takes."""
        return len(self.models) * (len(self.lengths) if kind == "growth" else self.repeats)

    def measure(self, kind):
        """Take all Measurements of a kind; yields in words what has been measured."""
        return self.grow() if kind == "growth" else self.reduce()

    def grow(self):
        """Every model at every length, one text to a batch."""
        for model in self.models:
            for row in measurements(model, GROWTH_TEXTS, self.lengths, self.setup):
                self.growth.setdefault(model, []).append(row)
                yield f"{model}, {row.length:,} tokens"

    def reduce(self):
        """Every model at the batch of the reductions; the models take turns, so that what the machine does meanwhile meets all."""
        for repeat in range(self.repeats):
            for model in self.models:
                self.rounds.setdefault(model, []).extend(measurements(model, self.texts, [self.length], self.setup))
                yield f"{model}, {self.texts} × {self.length} tokens, repeat {repeat + 1}"


def checked_models(names):
    """The names without repeats. UserError for one that there is not."""
    for name in names:
        if name not in MODELS:
            raise UserError(f"--models {name}: is none of the models {', '.join(MODELS)}")
    return list(dict.fromkeys(names))


def checked_lengths(lengths):
    """Numbers, perhaps as text, in ascending order without repeats. UserError for what is none, or longer than the vocabulary."""
    longest = workloads.VOCABULARY
    for length in lengths:
        if not str(length).isdecimal() or not 1 <= int(length) <= longest:
            raise UserError(
                f"--lengths {length}: expected whole numbers from 1 to {longest:,} separated by commas, such as 16,64,256"
            )
    return sorted({int(length) for length in lengths})


def checked_kinds(only, models, figure=None):
    """The kinds of measurement that --only leaves. UserError where the models or the figure do not fit."""
    kinds = KINDS if only is None else (only,)
    if "reductions" in kinds and len({is_wave(model) for model in checked_models(models)}) == 1:
        raise UserError(
            f"--models {','.join(models)}: reductions hold a wave network against a Transformer; name one of each, or give --only growth"
        )
    if figure is not None and "growth" not in kinds:
        raise UserError(f"--figure {figure}: draws the growth; leave out --only {only}")
    return kinds
