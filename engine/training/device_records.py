"""Metrics of training steps on a device: written there, fetched together, so that no step waits for the one before."""

import math
import time
from typing import NamedTuple

from engine.arrays.backend import array_module, to_host
from engine.training import adamw_cuda as adamw_fused

STEPS = 50  # between two fetches


class Bad(NamedTuple):
    """The first step whose loss or gradient was not finite; what: says which."""

    step: int
    batch: object
    what: str


class DeviceRecords:
    """Up to STEPS steps that are under way since `started` (perf_counter)."""

    def __init__(self, like, started):
        self.values = array_module(like).zeros((STEPS, 3))  # loss, norm, number of hits
        self.steps, self.started = [], started

    def add(self, update, control, batch, line):
        """Record a step that update() has just queued.

        line: of metrics, whose loss and accuracy are not known yet; batch: on the host.
        """
        adamw_fused.record(update.loss, control, update.cache.logits, update.cache.labels, self.values[len(self.steps)])
        self.steps.append((line, batch))

    def is_full(self):
        return len(self.steps) == STEPS

    def fetch(self):
        """Wait for all of them → (finished lines of metrics, None), or the lines before the first step that was not finite, and a Bad."""
        values = to_host(self.values[: len(self.steps)]).tolist()
        speed = sum(len(batch.ids) for _, batch in self.steps) / (time.perf_counter() - self.started)
        lines = []
        for (line, batch), (loss, norm, hits) in zip(self.steps, values):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                what = f"the norm of the gradient is {norm}" if math.isfinite(loss) else f"the loss is {loss}"
                return lines, Bad(line["step"], batch, what)
            lines.append(
                {
                    **line,
                    "loss": loss,
                    "accuracy": hits / len(batch.labels),
                    "gradient_norm": norm,
                    "tokens_per_second": speed,
                }
            )
        return lines, None
