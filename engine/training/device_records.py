"""Metrics of training steps on a device: written there, fetched together, so that no step waits for the one before."""

import math
import time
from typing import Any, NamedTuple

from engine.arrays.backend import array_module, to_host
from engine.arrays.ragged import RaggedBatch
from engine.training import adamw_cuda
from engine.types import Array

STEPS = 50  # between two fetches


class Bad(NamedTuple):
    """The first step whose loss or gradient was not finite; what: names the number and its value."""

    step: int
    batch: RaggedBatch
    what: str


class DeviceRecords:
    """Records of up to STEPS steps that are under way since `started` (perf_counter)."""

    def __init__(self, like: Array, started: float) -> None:
        self.values = array_module(like).zeros((STEPS, 3))  # loss, norm, number of hits
        self.steps: list[tuple[dict[str, Any], RaggedBatch]] = []
        self.started = started

    def add(self, update: Any, control: Any, batch: RaggedBatch, line: dict[str, Any]) -> None:
        """Record a step that update() has just queued.

        line: of metrics, whose loss and accuracy are not known yet; batch: on the host.
        """
        adamw_cuda.record(update.loss, control, update.cache.logits, update.cache.labels, self.values[len(self.steps)])
        self.steps.append((line, batch))

    def is_full(self) -> bool:
        return len(self.steps) == STEPS

    def fetch(self) -> tuple[list[dict[str, Any]], Bad | None]:
        """Wait for all steps: (their finished lines of metrics, None).

        Where a step was not finite: (the lines before the first such step, a Bad).
        """
        values = to_host(self.values[: len(self.steps)]).tolist()
        speed = sum(len(batch.ids) for _, batch in self.steps) / (time.perf_counter() - self.started)
        lines: list[dict[str, Any]] = []
        for (line, batch), (loss, norm, hits) in zip(self.steps, values):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                what = f"the norm of the gradient is {norm}" if math.isfinite(loss) else f"the loss is {loss}"
                return lines, Bad(line["step"], batch, what)
            accuracy = hits / (len(batch.offsets) - 1)
            measured = {"loss": loss, "accuracy": accuracy, "gradient_norm": norm, "tokens_per_second": speed}
            lines.append({**line, **measured})
        return lines, None
