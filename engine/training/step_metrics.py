"""The lines of metrics of a training's steps, from the step to metrics.jsonl and the observers."""

import time
from collections.abc import Sequence
from typing import Any

from engine.arrays.backend import to_host
from engine.training.evaluation import are_right
from engine.training.observers import Observer
from engine.training.reduce import Alone
from engine.training.run_directory import RunDirectory
from engine.training.shards import ShardedBatch
from engine.training.step import Bad, DeviceRecords


class StepMetrics:
    """Lines of metrics: those of steps under way on a device (records), and those not yet written (pending)."""

    def __init__(self, run: RunDirectory, ranks: Alone, observers: Sequence[Observer]) -> None:
        self.run, self.ranks, self.observers = run, ranks, observers
        self.pending: list[dict[str, Any]] = []
        self.records: DeviceRecords | None = None  # of steps on a device that have not been fetched yet

    def add(self, lines: list[dict[str, Any]]) -> None:
        """Make lines of metrics pending, and show them to the observers."""
        self.pending += lines
        for observer in self.observers:
            observer.steps(lines)

    def record(self, update: Any, control: Any, batch: Any, line: dict[str, Any], started: float) -> bool:
        """Record a step under way on a device, as DeviceRecords do; returns whether they should be fetched."""
        self.records = self.records or DeviceRecords(update.loss, started)
        self.records.add(update, control, batch, line)
        return self.records.is_full()

    def fetch(self) -> tuple[float, Bad | None]:
        """Wait for the steps under way on a device; their lines become pending.

        Returns the seconds that they took and the first step that was not finite.
        """
        records, self.records = self.records, None
        if records is None:
            return 0.0, None
        lines, bad = records.fetch()
        self.add(lines)
        return time.perf_counter() - records.started, bad

    def flush(self, keep: int = 0) -> None:
        """Write the pending lines, but for the newest `keep`."""
        cut = len(self.pending) - keep
        if cut > 0:
            if self.ranks.is_root:
                self.run.append_metrics(self.pending[:cut])
            self.pending = self.pending[cut:]


def measured_on_host(update: Any, batch: Any, started: float) -> tuple[float, dict[str, float]]:
    """(seconds since `started`, fields of the line of metrics) of a step on the host."""
    if isinstance(batch, ShardedBatch):
        accuracy = float(update.hits) / batch.texts
    else:
        accuracy = float(are_right(to_host(update.cache.logits), batch.labels).mean())
    seconds = time.perf_counter() - started
    fields = {"loss": float(update.loss), "accuracy": accuracy, "gradient_norm": update.norm}
    return seconds, {**fields, "tokens_per_second": batch.tokens / seconds}


def progress_text(line: dict[str, Any]) -> str:
    """Text of the progress bar for a line of metrics."""
    return f"loss {line['loss']:.3f}, accuracy {line['accuracy']:.3f}, {line['tokens_per_second']:,.0f} tokens/s"
