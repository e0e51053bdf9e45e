"""The figures of a GpuBenchmark as text and as JSON, in the form of the CPU's."""

import importlib.metadata

from engine.benchmark.device import describe_device
from engine.benchmark.machine import describe_machine
from engine.table import format_table
from layers.benchmark import gpu
from layers.benchmark.gpu_contestants import NETWORK
from layers.benchmark.report import parts_table, rows_table

LIMIT_HEADINGS = ["least of a step", "GFLOP", "MB", "products ms", "memory ms", "both ms"]


def as_table(benchmark):
    """The rows, what the device can do, the least time of a step, where the time goes, and what was left out."""
    lines = [rows_table(benchmark.rows), *rate_lines(benchmark)]
    if benchmark.limits:
        lines += ["", limit_table(benchmark.limits), "", parts_table(benchmark.parts)]
    return "\n".join([*lines, *(f"note: {note}" for note in benchmark.notes)])


def rate_lines(benchmark):
    """What the device reached in this run; nothing where no step was measured."""
    lines = [f"matrix products in {precision}: {rate / 1e12:,.2f} TFLOP/s" for precision, rate in benchmark.rates.items()]
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


def as_json_object(benchmark):
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
