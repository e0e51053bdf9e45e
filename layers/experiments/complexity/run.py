"""The measurements of `python train.py complexity`: growth with the length of a text, and savings at one batch.

Each model is measured in a process of its own, and each measurement is there as soon as it was taken.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from engine.arrays.backend import blas_threads, resolve_device
from engine.benchmark.machine import describe_device, describe_machine, release_memory, square_product_rate
from engine.benchmark.timing import child_values, clock_of
from engine.support.errors import UserError
from layers.experiments.benchmark import workloads
from layers.experiments.complexity import LENGTH, LENGTHS, MODELS, TEXTS, TOKENS, is_wave
from layers.experiments.complexity.measure import Measurement

GROWTH_TEXTS = 1  # in a batch, whose length grows
KINDS = ("growth", "savings")
OLD_KINDS = {"reductions": "savings"}  # former names, which are still understood


class Setup(NamedTuple):
    """The settings that all models are measured with.

    rate: FLOP/s of a matrix product; budget: most seconds of an update; threads: 0 for all.
    """

    device: str
    rate: float
    budget: float
    threads: int
    tokens: str


def measurements(model: str, texts: int, lengths: Sequence[int], setup: Setup) -> Iterator[Measurement]:
    """Yield a Measurement for each length, ascending, as soon as it is taken. UserError where the process fails."""
    options = [part for name in ("rate", "budget", "threads", "tokens") for part in (f"--{name}", getattr(setup, name))]
    module = "layers.experiments.complexity.measure"
    for fields in child_values(model, module, model, setup.device, texts, *lengths, *options):
        yield Measurement(**fields)


class Complexity:
    """Measurements as far as they were taken. Raises UserError for wrong models or lengths.

    growth: {model: [Measurement of each length]}; batch: {model: [Measurement of each repeat]}; machine: what it was
    measured on; setup.rate: FLOP/s of one matrix product there.
    """

    def __init__(
        self,
        device: str = "cpu",
        models: Sequence[str] = tuple(MODELS),
        lengths: Sequence[int | str] = LENGTHS,
        texts: int = TEXTS,
        length: int = LENGTH,
        repeats: int = 3,
        budget: float = 60.0,
        threads: int = 0,
        tokens: str = TOKENS[0],
    ) -> None:
        self.device = resolve_device(device)
        self.models, self.lengths = checked_models(models), checked_lengths(lengths)
        self.texts, self.length, self.repeats = texts, length, repeats
        self.growth: dict[str, list[Measurement]] = {}
        self.batch: dict[str, list[Measurement]] = {}
        with blas_threads(threads):
            self.machine: dict[str, Any] = {**describe_machine(), **describe_device(self.device)}
            rate = square_product_rate(self.device, clock_of(self.device))
        release_memory(self.device)  # which the models need
        self.setup = Setup(self.device, rate, budget, threads, tokens)

    def count(self, kind: str) -> int:
        """The number of Measurements that a kind takes."""
        return len(self.models) * (len(self.lengths) if kind == "growth" else self.repeats)

    def measure(self, kind: str) -> Iterator[str]:
        """Take all Measurements of a kind; yield in words what has been measured."""
        return self.measure_growth() if kind == "growth" else self.measure_savings()

    def measure_growth(self) -> Iterator[str]:
        """Measure every model at every length, one text to a batch."""
        for model in self.models:
            for row in measurements(model, GROWTH_TEXTS, self.lengths, self.setup):
                self.growth.setdefault(model, []).append(row)
                yield f"{model}, {row.length:,} tokens"

    def measure_savings(self) -> Iterator[str]:
        """Measure every model at the batch of the savings.

        The models take turns, so that what the machine does meanwhile affects all of them.
        """
        for repeat in range(self.repeats):
            for model in self.models:
                self.batch.setdefault(model, []).extend(measurements(model, self.texts, [self.length], self.setup))
                yield f"{model}, {self.texts} × {self.length} tokens, repeat {repeat + 1}"


def checked_models(names: Iterable[str]) -> list[str]:
    """The names without repeats. UserError for one that does not exist."""
    for name in names:
        if name not in MODELS:
            raise UserError(f"--models {name}: is none of the models {', '.join(MODELS)}")
    return list(dict.fromkeys(names))


def checked_lengths(lengths: Iterable[int | str]) -> list[int]:
    """Numbers, perhaps as text, in ascending order without repeats.

    UserError for what is no number, or longer than the vocabulary.
    """
    longest = workloads.VOCABULARY
    for length in lengths:
        if not str(length).isdecimal() or not 1 <= int(length) <= longest:
            raise UserError(
                f"--lengths {length}: expected whole numbers from 1 to {longest:,} separated by commas, "
                "such as 16,64,256"
            )
    return sorted({int(length) for length in lengths})


def checked_kinds(only: str | None, models: Sequence[str], figure: str | None = None) -> tuple[str, ...]:
    """The kinds of measurement that --only leaves. UserError where the models or the figure do not fit."""
    kinds = KINDS if only is None else (OLD_KINDS.get(only, only),)
    if "savings" in kinds and len({is_wave(model) for model in checked_models(models)}) == 1:
        raise UserError(
            f"--models {','.join(models)}: savings compare a wave network with a Transformer; "
            "name one of each, or give --only growth"
        )
    if figure is not None and "growth" not in kinds:
        raise UserError(f"--figure {figure}: draws the growth; leave out --only {only}")
    return kinds
