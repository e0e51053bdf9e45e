"""The common part of the benchmarks of CPU and GPU: figures by name, contestants that take turns, rows, notes."""

import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engine.arrays.ragged import RaggedBatch
from engine.benchmark.machine import copy_bandwidth, describe_device, describe_machine
from engine.benchmark.timing import Clock, take_turns
from engine.report.line_plot import Panel, write_line_plot
from engine.support.command import install_extra
from engine.support.errors import UserError
from engine.support.text import format_table
from layers.experiments.benchmark.contestants import (
    FORMS,
    Training,
    equal_contestants,
    peer_version,
    why_no_peer,
    why_not_compiled,
)
from layers.experiments.benchmark.parts import StepLimit
from layers.networks import PlannedWaveNetwork as WaveNetwork

REMEDIES = {"cpu": f"run {install_extra('bench')}", "cuda": "install a PyTorch that fits"}


class Row(NamedTuple):
    """A line of the benchmark. ours, peer, compiled: medians in `unit`; ratio, compiled_ratio: ours is so much better.

    share_of_limit: on a CPU, ours over what the products with the weights alone would allow, each computed for every
    token: above 1 where products are saved; on a GPU, the StepLimit over the seconds of ours. share_in_products: the
    time that the products which ours does compute would take at the rate measured, over the time of all. spread:
    {"ours": (least, largest), "peer": …, "compiled": …} of the repeats. compiled: the peer by torch.compile. None where
    something does not apply or was not measured.
    """

    name: str
    ours: float
    peer: float | None
    ratio: float | None
    share_of_limit: float | None
    unit: str
    share_in_products: float | None = None
    spread: dict[str, tuple[float, float]] | None = None
    compiled: float | None = None
    compiled_ratio: float | None = None


class Benchmark:
    """Measurements on one device. Subclasses define the figures, and what is measured beside them.

    rows: what has been measured; parts: seconds per step of ours by workload and part; growth: seconds of a step by
    size; limits: {(texts, precision): StepLimit}; notes: what was left out, and why.
    """

    kinds: Sequence[str] = ("ours", "peer")
    remedy = "measure with --no-peer"  # where contestants do not learn alike
    uncounted = 0  # repeats that come first and are not timed

    def __init__(self, device: str, clock: Clock, repeats: int, with_peer: bool | None) -> None:
        """with_peer: None measures PyTorch where it can use the device, True raises UserError where it cannot."""
        self.device, self.clock, self.repeats = device, clock, repeats
        self.rows: list[Row] = []
        self.parts: dict[str, dict[str, float]] = {}
        self.growth: dict[str, dict[str, Any]] = {}
        self.limits: dict[tuple[int, str], StepLimit] = {}
        self.notes: list[str] = []
        missing = None if with_peer is False else why_no_peer(device)
        if missing and with_peer:
            raise UserError(f"--peer: {missing}; {REMEDIES[device]}, or leave --peer out")
        if missing:
            self.notes.append(f"no peer: {missing}")
        if with_peer is False or missing:
            self.kinds = ("ours",)
        reason = why_not_compiled(device) if "compiled" in self.kinds else None
        if reason:
            self.kinds = [kind for kind in self.kinds if kind != "compiled"]
            self.notes.append(f"no compiled peer: {reason}")

    @property
    def with_peer(self) -> bool:
        return len(self.kinds) > 1

    @property
    def pause(self) -> float:
        """Seconds before each timed call of several contestants."""
        return 0.0

    def figures(self) -> dict[str, Callable[[], None]]:
        """{name: function that measures the figure of that name and appends its rows}."""
        raise NotImplementedError

    def further_figures(self) -> dict[str, Callable[[], None]]:
        """Figures that are measured only where they are named."""
        return {}

    def settings(self) -> dict[str, Any]:
        """The choices of the measurements, as plain values."""
        raise NotImplementedError

    def products(self) -> list[dict[str, Any]]:
        """The matrix products whose rate was measured: which, and "flops_per_second"."""
        raise NotImplementedError

    @functools.cached_property
    def bandwidth(self) -> float:
        """Bytes per second of a copy on the device."""
        return copy_bandwidth(self.device, self.clock)

    def make_engines(
        self,
        network: WaveNetwork,
        batches: Sequence[RaggedBatch],
        label: str,
        precision: str = "float32",
        kinds: Sequence[str] | None = None,
    ) -> dict[str, Training]:
        """{kind: contestant} with the parameters of the network, after an update with each batch in which all agree.

        kinds: by default all of the benchmark.
        """
        chosen = self.kinds if kinds is None else kinds
        made, notes = equal_contestants(chosen, network, self.device, batches, precision, label, self.remedy)
        self.notes += [note for note in notes if note not in self.notes]
        return made

    def timed(
        self, contestants: Mapping[str, Training], run: Callable[[Training, int], object], repeats: int | None = None
    ) -> dict[str, list[float]]:
        """{kind: [seconds of run(contestant, repeat)]}: the contestants take turns, repeat after repeat."""
        runs = {kind: functools.partial(run, training) for kind, training in contestants.items()}
        return take_turns(runs, repeats or self.repeats, self.clock, self.pause, self.uncounted)

    def add(
        self,
        name: str,
        values: Mapping[str, Sequence[float]],
        unit: str,
        more_is_better: bool = False,
        share_of_limit: float | None = None,
        share_in_products: float | None = None,
    ) -> None:
        """Append a Row of the medians of values[kind] and of how many times better ours is."""
        medians = {kind: statistics.median(numbers) for kind, numbers in values.items()}
        spread = {kind: (min(numbers), max(numbers)) for kind, numbers in values.items()}
        ours = medians["ours"]
        peer, compiled = (medians.get(kind) for kind in FORMS)
        ratios = [None if x is None else ours / x if more_is_better else x / ours for x in (peer, compiled)]
        shares = share_of_limit, unit, share_in_products
        self.rows.append(Row(name, ours, peer, ratios[0], *shares, spread, compiled, ratios[1]))


NAMES = {"ours": "ours", "peer": "PyTorch"}
COMPILED = "compiled: PyTorch by torch.compile; the time of compiling is not counted"
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
    """A line for each Row; with columns of the compiled peer where it was measured."""
    with_compiled = any(row.compiled is not None for row in rows)
    headings = ["measured", "unit", "ours", "PyTorch", "times better"]
    headings += [*(["compiled", "times better"] if with_compiled else []), "of the limit", "in products"]
    cells = []
    for row in rows:
        compiled = [number(row.compiled, row.unit), number(row.compiled_ratio, "ratio")] if with_compiled else []
        peer = [number(row.peer, row.unit), number(row.ratio, "ratio"), *compiled]
        shares = share(row.share_of_limit), share(row.share_in_products)
        cells.append([row.name, row.unit, number(row.ours, row.unit), *peer, *shares])
    return format_table(headings, cells, align="<<" + ">" * (len(headings) - 2))


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
    """The rates that the device reached in this run: of its products and, beside limits, of a copy.

    Before them a line on the compiled peer, where it was measured.
    """
    lines = [COMPILED] if any(row.compiled is not None for row in benchmark.rows) else []
    lines += [rate_line(**product) for product in benchmark.products()]
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
    titles = {"length": "longer texts", "batch": "more texts"}
    x_labels = {"length": "tokens of each of 16 texts", "batch": "texts of 64 tokens in a batch"}
    panels = [
        Panel(
            titles[quantity],
            {NAMES[kind]: seconds for kind, seconds in growth["seconds"].items()},
            growth["sizes"],
            x_label=x_labels[quantity],
        )
        for quantity, growth in benchmark.growth.items()
    ]
    write_line_plot(path, None, panels, "", "seconds of a training step, d = 128")
