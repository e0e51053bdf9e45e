"""The results of a Benchmark, of either device, as text, as JSON and as a picture."""

from pathlib import Path
from typing import Any

from engine.benchmark.machine import describe_device, describe_machine
from engine.report.figures import Panel, write_line_plot
from engine.support.text import format_table
from layers.experiments.benchmark.contestants import peer_version
from layers.experiments.benchmark.harness import Benchmark, Row
from layers.experiments.benchmark.parts import StepLimit

NAMES = {"ours": "ours", "peer": "PyTorch"}
HEADINGS = ["measured", "unit", "ours", "PyTorch", "times better", "of the limit", "in products"]
LIMIT_HEADINGS = ["least of a step", "GFLOP", "MB", "products ms", "memory ms", "both ms"]


def as_table(benchmark: Benchmark) -> str:
    """The rows and the rates they are held against, limits, growth, where the time goes, and what was left out."""
    sections = ["\n".join([rows_table(benchmark.rows), *rate_lines(benchmark)])]
    if benchmark.limits:
        sections.append(limit_table(benchmark.limits))
    sections += [growth_table(quantity, growth) for quantity, growth in benchmark.growth.items()]
    if benchmark.parts:
        sections.append(parts_table(benchmark.parts))
    return "\n".join(["\n\n".join(sections), *(f"note: {note}" for note in benchmark.notes)])


def rows_table(rows: list[Row]) -> str:
    """A line for each Row."""
    cells = [
        (
            row.name,
            row.unit,
            number(row.ours, row.unit),
            number(row.peer, row.unit),
            number(row.ratio, "ratio"),
            share(row.share_of_limit),
            share(row.share_in_products),
        )
        for row in rows
    ]
    return format_table(HEADINGS, cells, align="<<>>>>>")


def number(value: float | None, unit: str) -> str:
    """A number with the digits that its unit asks for."""
    if value is None:
        return "-"
    if unit == "bytes":
        return f"{value / 2**20:,.0f} MiB"
    return {"tokens/s": f"{value:,.0f}", "ratio": f"{value:.1f}"}.get(unit, f"{value:.2f}")


def share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def rate_lines(benchmark: Benchmark) -> list[str]:
    """What the device reached in this run: the rates of its products and, beside limits, of a copy."""
    lines = [rate_line(**product) for product in benchmark.products()]
    if benchmark.limits:
        lines.append(f"copy: {benchmark.bandwidth / 1e9:,.0f} GB/s read and written")
    return lines


def rate_line(flops_per_second: float, precision: str = "", rows: int = 0, dimension: int = 0) -> str:
    """A line for a square product of some precision, or for one of that many rows."""
    if precision:
        return f"matrix products in {precision}: {flops_per_second / 1e12:,.2f} TFLOP/s"
    d = dimension
    return f"matrix products of {rows:,} × {d} by {d} × {d}: {flops_per_second / 1e9:,.0f} GFLOP/s"


def limit_table(limits: dict[tuple[int, str], StepLimit]) -> str:
    """A line for each batch and precision: what a step multiplies and moves, and the milliseconds it takes at least."""
    rows = [
        (
            f"{size} {precision}",
            f"{limit.flops / 1e9:,.1f}",
            f"{limit.bytes / 1e6:,.0f}",
            *(f"{1e3 * seconds:.2f}" for seconds in (limit.product_seconds, limit.memory_seconds, limit.seconds)),
        )
        for (size, precision), limit in limits.items()
    ]
    return format_table(LIMIT_HEADINGS, rows)


def growth_table(quantity: str, growth: dict[str, Any]) -> str:
    """Milliseconds of a training step by size."""
    headings = [f"ms by {quantity}", *(f"{size:,}" for size in growth["sizes"])]
    return format_table(
        headings, [(NAMES[kind], *(f"{1e3 * s:.1f}" for s in seconds)) for kind, seconds in growth["seconds"].items()]
    )


def parts_table(parts: dict[str, dict[str, float]]) -> str:
    """Milliseconds per step of ours by part and workload."""
    names = [*dict.fromkeys(part for seconds in parts.values() for part in seconds if part != "other"), "other"]
    cells = [
        (name, *(f"{1e3 * seconds[name]:.2f}" if name in seconds else "" for seconds in parts.values()))
        for name in names
    ]
    total = ("all", *(f"{1e3 * sum(seconds.values()):.2f}" for seconds in parts.values()))
    return format_table(["ms per step of ours", *parts], [*cells, total])


def as_json_object(benchmark: Benchmark) -> dict[str, Any]:
    """{"machine", "settings", "results", "products", "bandwidth", "limits", "growth", "parts", "notes"}, plain values.

    What is not measured on a device is empty, or None.
    """
    limits = [
        {"texts": size, "precision": precision, **limit._asdict()}
        for (size, precision), limit in benchmark.limits.items()
    ]
    machine = {**describe_machine(), **describe_device(benchmark.device), "peer": peer_version(benchmark.kinds)}
    return {
        "machine": machine,
        "settings": benchmark.settings(),
        "results": [row._asdict() for row in benchmark.rows],
        "products": benchmark.products(),
        "bandwidth": {"bytes_per_second": benchmark.bandwidth} if limits else None,
        "limits": limits,
        "growth": benchmark.growth,
        "parts": benchmark.parts,
        "notes": benchmark.notes,
    }


def write_figure(path: str | Path, benchmark: Benchmark) -> None:
    """Draw seconds of a training step against length of texts and size of a batch, both axes logarithmic."""
    titles = {"length": "16 texts, by tokens of each", "batch": "texts of 64 tokens, by their number"}
    panels = [
        Panel(titles[quantity], {NAMES[kind]: seconds for kind, seconds in growth["seconds"].items()}, growth["sizes"])
        for quantity, growth in benchmark.growth.items()
    ]
    write_line_plot(path, None, panels, "tokens or texts", "seconds of a training step, d = 128")
