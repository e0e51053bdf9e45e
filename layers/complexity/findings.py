"""What follows from the measurements: exponents of growth with the length of a text, and reductions."""

import statistics
from typing import NamedTuple

from engine.benchmark.timing import growth_exponent
from layers.complexity.models import is_wave

# Of modulation against BERT base: Zhang & Sheng, arXiv 2411.06989.
PAPER = {("modulation", "bert-base"): {"memory": 0.7734, "time": 0.8562}}


class Exponents(NamedTuple):
    """Slopes of log quantity over log length by least squares over `lengths`; None where fewer than two are known.

    mixing: of the part in which tokens see one another.
    """

    model: str
    lengths: list
    operations: float | None
    mixing_operations: float | None
    seconds: float | None
    mixing_seconds: float | None


class Reduction(NamedTuple):
    """By how much `model` needs less than `against`: 1 − the ratio of the medians. spread: (least, largest) of the repeats.

    operations, kept: counted; memory: peak; paper: {"memory", "time"} as published, or None. None where a model was not measured.
    """

    model: str
    against: str
    operations: float
    kept: float | None
    memory: float | None
    memory_spread: tuple | None
    time: float | None
    time_spread: tuple | None
    paper: dict | None


def exponents(rows):
    """Exponents over the upper half of a model's Measurements of ascending lengths, and two of them at least."""
    upper = rows[-max(2, (len(rows) + 1) // 2) :]

    def of(quantity):
        known = [(row.length, quantity(row)) for row in upper if quantity(row)]
        return growth_exponent(*zip(*known)) if len(known) > 1 else None

    quantities = (lambda r: r.operations, lambda r: r.mixing, lambda r: r.update_seconds, lambda r: r.mixing_seconds)
    return Exponents(rows[0].model, [row.length for row in upper], *map(of, quantities))


def reductions(rounds):
    """A Reduction of every wave network against every Transformer. rounds: {model: [Measurement of each repeat]}."""
    waves, others = ([model for model in rounds if is_wave(model) == kind] for kind in (True, False))
    return [reduction(rounds[model], rounds[against]) for against in others for model in waves]


def reduction(rows, others):
    memory, memory_spread = share_saved([r.peak_bytes for r in rows], [r.peak_bytes for r in others])
    time, time_spread = share_saved([r.update_seconds for r in rows], [r.update_seconds for r in others])
    first, other = rows[0], others[0]
    kept = 1 - first.kept_bytes / other.kept_bytes if first.kept_bytes and other.kept_bytes else None
    names = first.model, other.model
    return Reduction(*names, 1 - first.operations / other.operations, kept, memory, memory_spread, time, time_spread, PAPER.get(names))


def share_saved(numbers, others):
    """(1 − ratio of the medians, (least, largest) of the repeats, each with that of the same round); None for both if one is missing."""
    if None in numbers or None in others:
        return None, None
    of_rounds = [1 - number / other for number, other in zip(numbers, others)]
    return 1 - statistics.median(numbers) / statistics.median(others), (min(of_rounds), max(of_rounds))
