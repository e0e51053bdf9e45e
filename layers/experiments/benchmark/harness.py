"""The common part of the benchmarks of CPU and GPU: figures by name, contestants that take turns, rows, notes."""

import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from engine.arrays.ragged import RaggedBatch
from engine.benchmark.machine import copy_bandwidth
from engine.benchmark.timing import Clock, take_turns
from engine.support.errors import UserError
from layers.experiments.benchmark.contestants import FORMS, Training, equal_contestants, why_no_peer
from layers.experiments.benchmark.parts import StepLimit
from layers.networks import PlannedWaveNetwork as WaveNetwork

REMEDIES = {"cpu": "run pip install -e '.[bench]'", "cuda": "install a PyTorch that fits"}


class Row(NamedTuple):
    """A line of the benchmark. ours, peer: medians in `unit`; ratio: how many times better ours is.

    share_of_limit: on a CPU, ours over what the products with the weights alone would allow, each computed for every
    token: above 1 where products are saved; on a GPU, the StepLimit over the seconds of ours. share_in_products: the
    time that the products which ours does compute would take at the rate measured, over the time of all. spread:
    {"ours": (least, largest), "peer": …} of the repeats. None where something does not apply or was not measured.
    """

    name: str
    ours: float
    peer: float | None
    ratio: float | None
    share_of_limit: float | None
    unit: str
    share_in_products: float | None = None
    spread: dict[str, tuple[float, float]] | None = None


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
        self, network: WaveNetwork, batches: Sequence[RaggedBatch], label: str, precision: str = "float32"
    ) -> dict[str, Training]:
        """{kind: contestant} with the parameters of the network, after an update with each batch in which all agree."""
        made, notes = equal_contestants(self.kinds, network, self.device, batches, precision, label, self.remedy)
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
        """Append a Row of the medians of values[kind] beside the peer, and "…_compiled" beside a compiled one."""
        medians = {kind: statistics.median(numbers) for kind, numbers in values.items()}
        spread = {kind: (min(numbers), max(numbers)) for kind, numbers in values.items()}
        ours, shown = medians["ours"], {"ours": spread["ours"]}
        for kind in FORMS:
            peer = medians.get(kind)
            if peer is None and kind != "peer":
                continue
            ratio = None if peer is None else ours / peer if more_is_better else peer / ours
            both = shown if peer is None else {**shown, "peer": spread[kind]}
            ending = "" if kind == "peer" else f"_{kind}"
            self.rows.append(Row(name + ending, ours, peer, ratio, share_of_limit, unit, share_in_products, both))
