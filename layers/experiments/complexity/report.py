"""The results of a Complexity as text, as JSON and as a picture.

What follows from the measurements are exponents of growth with the length of a text, and savings: by how much a Wave
Network needs less than a Transformer.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from engine.benchmark.timing import growth_exponent
from engine.report.line_plot import Panel, write_line_plot
from engine.support.text import format_table
from layers.experiments.complexity import is_wave
from layers.experiments.complexity.measure import Measurement
from layers.experiments.complexity.run import GROWTH_TEXTS, Complexity

# Of modulation against BERT base: Zhang & Sheng, arXiv 2411.06989.
PAPER = {("modulation", "bert-base"): {"memory": 0.7734, "time": 0.8562}}
COSTS = ["parameters", "GFLOP forward", "backward", "MiB kept", "MiB peak", "s an update", "GFLOP/s"]
TOKENS_IN_WORDS = {
    "distinct": "no token twice in a text, the most work for a wave network",
    "words": "tokens with the frequencies of words",
}
ByModel: TypeAlias = Mapping[str, Sequence[Measurement]]
Range: TypeAlias = tuple[float, float]


class Exponents(NamedTuple):
    """Slopes of log quantity over log length by least squares over `lengths`; None where fewer than two are known.

    mixing: of the part in which tokens see one another.
    """

    model: str
    lengths: list[int]
    operations: float | None
    mixing_operations: float | None
    seconds: float | None
    mixing_seconds: float | None


class Saving(NamedTuple):
    """By how much `model` needs less than `against`: 1 − the ratio of the medians. spread: (least, largest) of repeats.

    operations, kept: counted; memory: peak; paper: {"memory", "time"} as published, or None. None where a model was not
    measured.
    """

    model: str
    against: str
    operations: float
    kept: float | None
    memory: float | None
    memory_spread: Range | None
    time: float | None
    time_spread: Range | None
    paper: dict[str, float] | None


def exponents(rows: Sequence[Measurement]) -> Exponents:
    """Exponents over the upper half of a model's Measurements of ascending lengths, and two of them at least."""
    upper = rows[-max(2, (len(rows) + 1) // 2) :]

    def exponent(quantity: Callable[[Measurement], float | None]) -> float | None:
        known = [(row.length, value) for row in upper if (value := quantity(row))]
        if len(known) < 2:
            return None
        lengths, values = zip(*known)
        return growth_exponent(lengths, values)

    return Exponents(
        rows[0].model,
        [row.length for row in upper],
        exponent(lambda row: row.operations),
        exponent(lambda row: row.mixing),
        exponent(lambda row: row.update_seconds),
        exponent(lambda row: row.mixing_seconds),
    )


def savings(batch: ByModel) -> list[Saving]:
    """The Saving of every wave network against every Transformer. batch: {model: [Measurement of each repeat]}."""
    waves, others = ([model for model in batch if is_wave(model) == kind] for kind in (True, False))
    return [saving(batch[model], batch[against]) for against in others for model in waves]


def saving(rows: Sequence[Measurement], others: Sequence[Measurement]) -> Saving:
    """The Saving of one model against another, from the Measurements of each repeat."""
    memory, memory_spread = share_saved([row.peak_bytes for row in rows], [row.peak_bytes for row in others])
    time, time_spread = share_saved([row.update_seconds for row in rows], [row.update_seconds for row in others])
    first, other = rows[0], others[0]
    return Saving(
        first.model,
        other.model,
        1 - first.operations / other.operations,
        1 - first.kept_bytes / other.kept_bytes if first.kept_bytes and other.kept_bytes else None,
        memory,
        memory_spread,
        time,
        time_spread,
        PAPER.get((first.model, other.model)),
    )


def share_saved(
    numbers: Sequence[float | None], others: Sequence[float | None]
) -> tuple[float, Range] | tuple[None, None]:
    """(1 − ratio of the medians, (least, largest) of the repeats, each with the same repeat of the other).

    None for both if a number is missing.
    """
    known, known_others = ([number for number in values if number is not None] for values in (numbers, others))
    if len(known) < len(numbers) or len(known_others) < len(others):
        return None, None
    shares = [1 - number / other for number, other in zip(known, known_others)]
    return 1 - statistics.median(known) / statistics.median(known_others), (min(shares), max(shares))


def as_table(complexity: Complexity) -> str:
    """The measurements of growth and of savings, and the conditions under which they were taken."""
    parts = []
    if complexity.growth:
        parts += [growth_table(complexity.growth), exponent_table(complexity.growth)]
    if complexity.batch:
        parts += [batch_table(complexity), savings_table(complexity.batch)]
    return "\n\n".join([*parts, conditions(complexity)])


def growth_table(growth: ByModel) -> str:
    """A line for each model and length."""
    cells = [(row.model, f"{row.length:,}", *costs(row), note(row)) for rows in growth.values() for row in rows]
    return format_table(["model", "length", *COSTS, ""], cells, align="<" + ">" * 8 + "<")


def costs(row: Measurement, spread: str = "") -> tuple[str, ...]:
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


def gigas(count: float) -> str:
    """A number in units of 10⁹."""
    return f"{count / 1e9:,.2f}"


def mebibytes(count: int | None) -> str:
    """Bytes in MiB."""
    return "-" if count is None else f"{count / 2**20:,.1f}" if count < 100 * 2**20 else f"{count / 2**20:,.0f}"


def note(row: Measurement) -> str:
    return "" if row.why_not is None else f"not measured: {row.why_not}"


def exponent_table(growth: ByModel) -> str:
    """A line for each model: how a quantity grows with length."""
    found = [exponents(rows) for rows in growth.values()]
    headings = ["exponent of", "operations", "of the mixing", "seconds", "of the mixing"]
    cells = [(row.model, *("-" if value is None else f"{value:.2f}" for value in row[2:])) for row in found]
    lengths = f"{min(found[0].lengths):,} to {max(found[0].lengths):,} tokens"
    mixing = "mixing: where tokens see one another, attention or waves"
    return f"{format_table(headings, cells)}\nleast squares over {lengths}, as far as measured; {mixing}"


def batch_table(complexity: Complexity) -> str:
    """A line for each model at the batch of the savings, medians of the repeats."""
    cells = [(model, *costs(*median_of(rows)), note(rows[0])) for model, rows in complexity.batch.items()]
    title = f"{complexity.texts} texts of {complexity.length:,} tokens"
    return format_table([title, *COSTS, ""], cells, align="<" + ">" * 7 + "<")


def median_of(rows: Sequence[Measurement]) -> tuple[Measurement, str]:
    """(a Measurement with the medians of the repeats, their spread in words)."""
    seconds = [row.update_seconds for row in rows if row.update_seconds is not None]
    peaks = [row.peak_bytes for row in rows if row.peak_bytes is not None]
    if not seconds:
        return rows[0], ""
    row = rows[0]._replace(seconds=seconds, peak_bytes=int(statistics.median(peaks)))
    return row, f" ({min(seconds):.3f} … {max(seconds):.3f})"


def savings_table(batch: ByModel) -> str:
    """A line for each pair of a wave network and a Transformer."""
    headings = ["less than", "model", "operations", "kept", "peak memory", "paper", "time", "paper"]
    cells = []
    for row in savings(batch):
        published = row.paper or {}
        cells.append(
            (
                row.against,
                row.model,
                percentage(row.operations),
                percentage(row.kept),
                percentage(row.memory, row.memory_spread),
                percentage(published.get("memory")),
                percentage(row.time, row.time_spread),
                percentage(published.get("time")),
            )
        )
    return format_table(headings, cells, align="<<" + ">" * 6)


def percentage(share: float | None, spread: Range | None = None) -> str:
    """A saving as −90.12 %, with the least and the largest of the repeats."""
    if share is None:
        return "-"
    around = f" ({-100 * spread[0]:.2f} … {-100 * spread[1]:.2f})" if spread else ""
    return f"{-100 * share:.2f} %{around}".replace("-", "−")


def conditions(complexity: Complexity) -> str:
    """What was measured, where, and how."""
    setup, machine = complexity.setup, complexity.machine
    on_host = setup.device == "cpu"
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['blas']}" if on_host else machine["device"]
    memory = "the process" if on_host else "arrays on the device"
    lines = [
        f"measured on {setup.device}: {where}; one matrix product: {setup.rate / 1e9:,.0f} GFLOP/s",
        f"growth: {GROWTH_TEXTS} text in a batch; {TOKENS_IN_WORDS[setup.tokens]}; "
        "kept, where nothing was measured: from shorter lengths, exactly",
        f"peak: of {memory}, with the optimizer's state of all rows of the table",
        "update: forward, backward, clipping, AdamW, in float32 without dropout; "
        "the median after one that does not count",
    ]
    return "\n".join(lines)


def as_json_object(complexity: Complexity) -> dict[str, Any]:
    """{"machine", "settings", "growth", "exponents", "batch", "savings"}, plain values only."""
    return {
        "machine": complexity.machine,
        "settings": {
            **complexity.setup._asdict(),
            "texts": complexity.texts,
            "length": complexity.length,
            "repeats": complexity.repeats,
            "growth_texts": GROWTH_TEXTS,
        },
        "growth": [row._asdict() for rows in complexity.growth.values() for row in rows],
        "exponents": [exponents(rows)._asdict() for rows in complexity.growth.values()],
        "batch": [row._asdict() for rows in complexity.batch.values() for row in rows],
        "savings": [row._asdict() for row in savings(complexity.batch)],
    }


def write_figure(path: str | Path, complexity: Complexity) -> None:
    """Draw operations, bytes kept, peak memory and seconds of an update against length, all axes logarithmic."""
    panels = [
        panel(complexity, "operations of an update", "operations", lambda row: row.operations),
        panel(complexity, "kept for backward", "bytes", lambda row: row.kept_bytes),
        panel(complexity, f"peak memory, {complexity.device}", "bytes", lambda row: row.peak_bytes),
        panel(complexity, f"time of an update, {complexity.device}", "seconds", lambda row: row.update_seconds),
    ]
    write_line_plot(path, complexity.lengths, panels, "tokens of a text", "", x_ticks=complexity.lengths[::2])


def panel(complexity: Complexity, title: str, unit: str, quantity: Callable[[Measurement], float | None]) -> Panel:
    """A line for each model up to the first length that is missing: what was not measured are the longest texts."""
    lines: dict[str, Any] = {}
    for model, rows in complexity.growth.items():
        values = [quantity(row) for row in rows]
        lines[model] = values[: values.index(None)] if None in values else values
    return Panel(title, lines, y_label=unit)
