"""The figures of a Benchmark as text, as JSON and as a picture.

The figures of a GpuBenchmark as text and as JSON, in the form of the CPU's.
"""

import importlib.metadata

from engine.benchmark.machine import describe_device, describe_machine
from engine.report.figures import Panel, write_line_plot
from engine.support.text import format_table
from layers.experiments.benchmark import gpu
from layers.experiments.benchmark.contestants import NETWORK

HEADINGS = ["measured", "unit", "ours", "PyTorch", "times better", "of the limit", "in products"]


def as_table(benchmark):
    """The rows, the limits, and where the time goes."""
    lines = [rows_table(benchmark.rows)]
    lines += [
        f"matrix products of {n:,} × {d} by {d} × {d}: {rate / 1e9:,.0f} GFLOP/s"
        for (n, d), rate in sorted(benchmark.rates.items())
    ]
    lines += [
        "",
        *(growth_lines(what, growth) for what, growth in benchmark.growth.items()),
        parts_table(benchmark.parts),
    ]
    return "\n".join(lines).rstrip()


def rows_table(rows):
    """A line for each Row."""
    cells = [
        (
            row.name, row.unit, number(row.ours, row.unit), number(row.peer, row.unit), number(row.ratio, "ratio"),
            share(row.share_of_limit), share(row.share_in_products),
        )
        for row in rows
    ]  # fmt: skip
    return format_table(HEADINGS, cells, align="<<>>>>>")


def number(value, unit):
    if value is None:
        return "-"
    if unit == "bytes":
        return f"{value / 2**20:,.0f} MiB"
    return {"tokens/s": f"{value:,.0f}", "ratio": f"{value:.1f}"}.get(unit, f"{value:.2f}")


def share(value):
    return "" if value is None else f"{100 * value:.0f} %"


def growth_lines(what, growth):
    """Milliseconds of a training step by size."""
    headings = [f"ms by {what}", *(f"{size:,}" for size in growth["sizes"])]
    names = {"ours": "ours", "peer": "PyTorch"}
    return (
        format_table(
            headings,
            [
                (names[engine], *(f"{1e3 * s:.1f}" for s in of_engine))
                for engine, of_engine in growth["seconds"].items()
            ],
        )
        + "\n"
    )


def parts_table(parts):
    """Milliseconds per step of ours by part and network."""
    if not parts:
        return ""
    names = list(dict.fromkeys(part for of_network in parts.values() for part in of_network if part != "other")) + [
        "other"
    ]
    cells = [
        (name, *(f"{1e3 * of_network[name]:.2f}" if name in of_network else "" for of_network in parts.values()))
        for name in names
    ]
    total = ("all", *(f"{1e3 * sum(of_network.values()):.2f}" for of_network in parts.values()))
    return format_table(["ms per step of ours", *parts], [*cells, total])


def as_json_object(benchmark):
    """{"machine", "settings", "results", "products", "growth", "parts"}, plain values only."""
    return {
        "machine": {**describe_machine(), "peer": benchmark.peer_version()},
        "settings": {"corpus": benchmark.corpus, "repeats": benchmark.repeats, "threads": benchmark.threads},
        "results": [row._asdict() for row in benchmark.rows],
        "products": [
            {"rows": n, "dimension": d, "flops_per_second": rate} for (n, d), rate in sorted(benchmark.rates.items())
        ],
        "growth": benchmark.growth,
        "parts": benchmark.parts,
    }


def write_figure(path, benchmark):
    """Seconds of a training step against the length of texts and the size of a batch, both axes logarithmic."""
    titles = {"length": "16 texts, by tokens of each", "batch": "texts of 64 tokens, by their number"}
    names = {"ours": "ours", "peer": "PyTorch"}
    panels = [
        Panel(
            titles[what], {names[engine]: of_engine for engine, of_engine in growth["seconds"].items()}, growth["sizes"]
        )
        for what, growth in benchmark.growth.items()
    ]
    write_line_plot(path, None, panels, "tokens or texts", "seconds of a training step, d = 128")


LIMIT_HEADINGS = ["least of a step", "GFLOP", "MB", "products ms", "memory ms", "both ms"]


def gpu_table(benchmark):
    """The rows, what the device can do, the least time of a step, where the time goes, and what was left out."""
    lines = [rows_table(benchmark.rows), *rate_lines(benchmark)]
    if benchmark.limits:
        lines += ["", limit_table(benchmark.limits), "", parts_table(benchmark.parts)]
    return "\n".join([*lines, *(f"note: {note}" for note in benchmark.notes)])


def rate_lines(benchmark):
    """What the device reached in this run; nothing where no step was measured."""
    lines = [
        f"matrix products in {precision}: {rate / 1e12:,.2f} TFLOP/s" for precision, rate in benchmark.rates.items()
    ]
    return [*lines, f"copy: {benchmark.bandwidth / 1e9:,.0f} GB/s read and written"] if lines else []


def limit_table(limits):
    """A row for each batch and precision: what a step multiplies and moves, and the milliseconds that this takes at least."""
    rows = [
        (
            f"{size} {precision}", f"{limit.flops / 1e9:,.1f}", f"{limit.bytes / 1e6:,.0f}",
            *(f"{1e3 * seconds:.2f}" for seconds in (limit.product_seconds, limit.memory_seconds, limit.seconds)),
        )
        for (size, precision), limit in limits.items()
    ]  # fmt: skip
    return format_table(LIMIT_HEADINGS, rows)


def gpu_json_object(benchmark):
    """{"machine", "settings", "results", "products", "bandwidth", "limits", "parts", "notes"}, plain values only."""
    peer = f"PyTorch {importlib.metadata.version('torch')}, eager and compiled" if benchmark.with_peer else None
    return {
        "machine": {**describe_machine(), **describe_device(benchmark.device), "peer": peer},
        "settings": {
            "device": benchmark.device, "network": NETWORK, "texts": "random, of AG News' lengths", "repeats": benchmark.repeats,
            "steps_of_a_repeat": gpu.STEPS, "epochs": gpu.EPOCHS, "epoch_texts": gpu.EPOCH_TEXTS,
        },
        "results": [row._asdict() for row in benchmark.rows],
        "products": [{"precision": precision, "flops_per_second": rate} for precision, rate in benchmark.rates.items()],
        "bandwidth": {"bytes_per_second": benchmark.bandwidth} if benchmark.rates else None,
        "limits": [{"texts": size, "precision": precision, **limit._asdict()} for (size, precision), limit in benchmark.limits.items()],
        "parts": benchmark.parts,
        "notes": benchmark.notes,
    }  # fmt: skip
