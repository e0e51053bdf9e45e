"""The figures of a Complexity as text, as JSON and as a picture.

What follows from the measurements: exponents of growth with the length of a text, and reductions.
"""

import statistics
from typing import NamedTuple

from engine.benchmark.timing import growth_exponent
from engine.report.figures import Panel, write_line_plot
from engine.support.text import format_table
from layers.experiments.complexity.models import is_wave
from layers.experiments.complexity.run import GROWTH_TEXTS

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
    return Reduction(
        *names,
        1 - first.operations / other.operations,
        kept,
        memory,
        memory_spread,
        time,
        time_spread,
        PAPER.get(names),
    )


def share_saved(numbers, others):
    """(1 − ratio of the medians, (least, largest) of the repeats, each with that of the same round); None for both if one is missing."""
    if None in numbers or None in others:
        return None, None
    of_rounds = [1 - number / other for number, other in zip(numbers, others)]
    return 1 - statistics.median(numbers) / statistics.median(others), (min(of_rounds), max(of_rounds))


COSTS = ["parameters", "GFLOP forward", "backward", "MiB kept", "MiB peak", "s an update", "GFLOP/s"]


def as_table(complexity):
    """What was measured of growth and reductions, and on what."""
    parts = []
    if complexity.growth:
        parts += [growth_table(complexity.growth), exponent_table(complexity.growth)]
    if complexity.rounds:
        parts += [batch_table(complexity), reduction_table(complexity.rounds)]
    return "\n\n".join([*parts, conditions(complexity)])


def growth_table(growth):
    rows = [row for of_model in growth.values() for row in of_model]
    headings = ["model", "length", *COSTS, ""]
    return format_table(
        headings, [(row.model, f"{row.length:,}", *costs(row), note(row)) for row in rows], align="<" + ">" * 8 + "<"
    )


def costs(row, spread=""):
    """The cells of a Measurement below COSTS."""
    seconds = row.update_seconds
    measured = (f"{seconds:.3f}{spread}", f"{row.operations / seconds / 1e9:,.1f}") if seconds else ("-", "-")
    return (
        f"{row.parameters:,}",
        gigas(row.forward),
        gigas(row.backward),
        mebibytes(row.kept_bytes),
        mebibytes(row.peak_bytes),
        *measured,
    )


def gigas(count):
    return f"{count / 1e9:,.2f}"


def mebibytes(count):
    return "-" if count is None else f"{count / 2**20:,.1f}" if count < 100 * 2**20 else f"{count / 2**20:,.0f}"


def note(row):
    return "" if row.why_not is None else f"not measured: {row.why_not}"


def exponent_table(growth):
    """One line for each model: how a quantity grows with length."""
    found = [exponents(rows) for rows in growth.values()]
    headings = ["exponent of", "operations", "of the mixing", "seconds", "of the mixing"]
    cells = [(row.model, *(format_or_dash(value, ".2f") for value in row[2:])) for row in found]
    lengths = f"{min(found[0].lengths):,} to {max(found[0].lengths):,} tokens"
    mixing = "mixing: where tokens see one another, attention or waves"
    return format_table(headings, cells) + f"\nleast squares over {lengths}, as far as measured; {mixing}"


def format_or_dash(value, form):
    return "-" if value is None else format(value, form)


def batch_table(complexity):
    """One line for each model at the batch of the reductions, medians of the repeats."""
    cells = [(model, *costs(*median_of(rows)), note(rows[0])) for model, rows in complexity.rounds.items()]
    title = f"{complexity.texts} texts of {complexity.length:,} tokens"
    return format_table([title, *COSTS, ""], cells, align="<" + ">" * 7 + "<")


def median_of(rows):
    """(a Measurement with the medians of the repeats, their spread in words)."""
    if rows[0].seconds is None:
        return rows[0], ""
    seconds = [row.update_seconds for row in rows]
    peak = int(statistics.median(row.peak_bytes for row in rows))
    return rows[0]._replace(seconds=seconds, peak_bytes=peak), f" ({min(seconds):.3f} … {max(seconds):.3f})"


def reduction_table(rounds):
    headings = ["less than", "model", "operations", "kept", "peak memory", "paper", "time", "paper"]
    cells = []
    for row in reductions(rounds):
        published = row.paper or {"memory": None, "time": None}
        measured = (
            saved(row.memory, row.memory_spread),
            saved(published["memory"]),
            saved(row.time, row.time_spread),
            saved(published["time"]),
        )
        cells.append((row.against, row.model, saved(row.operations), saved(row.kept), *measured))
    return format_table(headings, cells, align="<<" + ">" * 6)


def saved(share, spread=None):
    """−90.12 %, with the least and the largest of the repeats."""
    if share is None:
        return "-"
    around = f" ({-100 * spread[0]:.2f} … {-100 * spread[1]:.2f})" if spread else ""
    return f"{-100 * share:.2f} %{around}".replace("-", "−")


def conditions(complexity):
    """What was measured, where, and how."""
    setup, machine = complexity.setup, complexity.machine
    where = (
        machine["device"]
        if setup.device == "cuda"
        else f"{machine['processor']}, {machine['cores']} cores, {machine['blas']}"
    )
    words = {
        "distinct": "no token twice in a text, the most work for a wave network",
        "words": "tokens with the frequencies of words",
    }
    memory = "the process" if setup.device == "cpu" else "arrays on the device"
    return "\n".join([
        f"measured on {setup.device}: {where}; one matrix product: {setup.rate / 1e9:,.0f} GFLOP/s",
        f"growth: {GROWTH_TEXTS} text in a batch; {words[setup.tokens]}; kept, where nothing was measured: from shorter lengths, exactly",
        f"peak: of {memory}, with the optimizer's state of all rows of the table",
        "update: forward, backward, clipping, AdamW, in float32 without dropout; the median after one that does not count",
    ])  # fmt: skip


def as_json_object(complexity):
    """{"machine", "settings", "growth", "exponents", "batch", "reductions"}, plain values only."""
    settings = {
        **complexity.setup._asdict(),
        "texts": complexity.texts,
        "length": complexity.length,
        "repeats": complexity.repeats,
    }
    return {
        "machine": complexity.machine,
        "settings": {**settings, "growth_texts": GROWTH_TEXTS},
        "growth": [row._asdict() for rows in complexity.growth.values() for row in rows],
        "exponents": [exponents(rows)._asdict() for rows in complexity.growth.values()],
        "batch": [row._asdict() for rows in complexity.rounds.values() for row in rows],
        "reductions": [row._asdict() for row in reductions(complexity.rounds)],
    }


def write_figure(path, complexity):
    """Operations, bytes kept, peak memory and seconds of an update against the length of a text, all axes logarithmic."""
    quantities = {
        "operations of an update": ("operations", lambda row: row.operations),
        "kept for backward": ("bytes", lambda row: row.kept_bytes),
        f"peak memory, {complexity.device}": ("bytes", lambda row: row.peak_bytes),
        f"time of an update, {complexity.device}": ("seconds", lambda row: row.update_seconds),
    }
    panels = [
        Panel(title, {model: known(rows, value) for model, rows in complexity.growth.items()}, y_label=unit)
        for title, (unit, value) in quantities.items()
    ]
    write_line_plot(path, complexity.lengths, panels, "tokens of a text", "", x_ticks=complexity.lengths[::2])


def known(rows, value):
    """The values up to the first that is missing: what was not measured are the longest texts."""
    values = [value(row) for row in rows]
    return values[: values.index(None)] if None in values else values
