"""One update of a network that keeps the contract: forward, backward, clipping, optimizer; learning rate, record.

The gradient is clipped by its global norm:

    ‖g‖ = sqrt(Σ over all parameters ‖g_p‖²)            g ← g · min(1, c/‖g‖)

Source: Pascanu et al., arXiv 1211.5063.

The learning rate over a run is a linear warm-up, then a linear decay:

    η(s) = η_max · s/W                                          for s ≤ W
    η(s) = η_max · (f + (1 − f)·(S − s + 1)/(S − W))            for W < s ≤ S

S steps in all, W of warm-up, f the share of the peak that the decay would reach one step after the last.
"""

import math
import time
from typing import Any, NamedTuple

from engine.arrays.backend import array_module, to_host
from engine.arrays.ragged import RaggedBatch
from engine.cuda import graphs
from engine.cuda.kernels import uses_kernels
from engine.implementation import compare
from engine.layer import Parameter, squared_norm
from engine.support.implementation import current
from engine.training import adamw_c, adamw_cuda
from engine.training.adamw import AdamW
from engine.training.evaluation import are_right
from engine.types import Array, Floats


def global_norm(parameters: dict[str, Parameter]) -> float:
    """‖g‖ of the gradients of all parameters; exact for RowSparse ones, whose rows are unique and summed."""
    grads = [grad for grad in (p.grad_array() for p in parameters.values()) if grad is not None]
    if grads and adamw_c.is_usable(*grads):
        return adamw_c.global_norm(grads)
    return math.sqrt(float(sum(map(squared_norm, grads)))) if grads else 0.0


def clip_scale(norm: float, limit: float) -> float:
    """The factor min(1, limit/norm) for the optimizer; 1 where limit is 0 (no clipping)."""
    return min(1.0, limit / norm) if limit and norm else 1.0


class Update(NamedTuple):
    """loss: 0-d; norm: of the whole gradient, before clipping; cache: that of loss_forward.

    On a device they hold until the next update, and the cache of a recorded step has only logits and labels.
    hits: the number of texts classified rightly, of a batch in shards (shards.py), which has no cache of the whole.
    """

    loss: Floats
    norm: float | Array
    cache: Any
    hits: Any = None


class NotFinite(ArithmeticError):
    """The loss or the gradient is NaN or infinite; nothing was updated.

    what: says which; cache: of the forward pass, or None.
    """

    def __init__(self, what: str, cache: Any) -> None:
        super().__init__(what)
        self.what, self.cache = what, cache


def update(
    network: Any, optimizer: AdamW, batch: RaggedBatch, rng: Any, learning_rate: float, clip_norm: float
) -> Update:
    """Train on one batch. Raises NotFinite; parameters and optimizer are then as they were.

    Where kernels run, nothing waits for the device: loss and norm stay there, and a number that is not finite raises
    nothing but stops all further updates (optimizer.control[2]). Networks that can be padded take their steps from CUDA
    graphs (graphs.py).
    """
    padded = graphs.padded_batch(network, batch, rng)
    if padded is not None:
        return update_by_graphs(network, optimizer, padded, rng, learning_rate, clip_norm)
    loss, cache = network.loss_forward(batch, train=True, rng=rng)
    if uses_kernels(loss):
        return update_on_device(network, optimizer, loss, cache, learning_rate, clip_norm)
    if not math.isfinite(loss):
        raise NotFinite(f"the loss is {float(loss)}", cache)
    for parameter in optimizer.parameters.values():  # zero_grad() would look for them again
        parameter.grad = None
    network.loss_backward(cache)
    norm = global_norm(optimizer.parameters)
    if not math.isfinite(norm):
        raise NotFinite(f"the norm of the gradient is {norm}", None)
    optimizer.step(learning_rate, clip_scale(norm, clip_norm))
    return Update(loss, norm, cache)


def update_by_graphs(
    network: Any, optimizer: AdamW, padded: Any, rng: Any, learning_rate: float, clip_norm: float
) -> Update:
    """update() by CUDA graphs; padded: what network.padded() gave."""
    if optimizer.control is None:
        optimizer.control = adamw_cuda.new_control(next(iter(optimizer.parameters.values())).value)
    if optimizer.graphs is None:
        optimizer.graphs = graphs.GradientGraphs(adamw_cuda.measure)
    loss, cache = optimizer.graphs.gradients(network, optimizer, padded, rng, clip_norm)
    optimizer.step(learning_rate, control=optimizer.control)
    return Update(loss, optimizer.control[:1], cache)


def update_on_device(
    network: Any, optimizer: AdamW, loss: Floats, cache: Any, learning_rate: float, clip_norm: float
) -> Update:
    """update() by kernels, after the forward pass."""
    if optimizer.control is None:
        optimizer.control = adamw_cuda.new_control(loss)
    network.zero_grad()
    network.loss_backward(cache)
    adamw_cuda.measure(optimizer.parameters, loss, clip_norm, optimizer.control)
    if current() == "check":
        expected = global_norm(optimizer.parameters)
        compare("global_norm", optimizer.control[:1], optimizer.control[:1] * 0 + expected)
    optimizer.step(learning_rate, control=optimizer.control)
    return Update(loss, optimizer.control[:1], cache)


def learning_rate(step: int, steps: int, peak: float, warmup: float = 0.0, final: float = 0.0) -> float:
    """η at `step` (from 1) of `steps`; warmup: share of all steps; final: f."""
    warmup_steps = round(warmup * steps)
    if step <= warmup_steps:
        return peak * step / warmup_steps
    return peak * (final + (1 - final) * (steps - step + 1) / (steps - warmup_steps))


STEPS = 50  # between two fetches


class Bad(NamedTuple):
    """The first step whose loss or gradient was not finite; what: names the number and its value."""

    step: int
    batch: Any
    what: str


class DeviceRecords:
    """Records of up to STEPS steps that are under way since `started` (perf_counter)."""

    def __init__(self, like: Array, started: float) -> None:
        self.values = array_module(like).zeros((STEPS, 3))  # loss, norm, number of hits
        self.steps: list[tuple[dict[str, Any], Any]] = []
        self.started = started

    def add(self, update: Any, control: Any, batch: Any, line: dict[str, Any]) -> None:
        """Record a step that update() has just queued.

        line: of metrics, whose loss and accuracy are not known yet; batch: a RaggedBatch on the host, or ShardedBatch.
        """
        into = self.values[len(self.steps)]
        if update.hits is not None:
            into[...] = array_module(control).stack([update.loss, control[0], update.hits])
        elif update.cache.labels.ndim == 2:
            hits = are_right(update.cache.logits, update.cache.labels).sum()
            into[0], into[1], into[2] = update.loss, control[0], hits
        else:
            adamw_cuda.record(update.loss, control, update.cache.logits, update.cache.labels, into)
        self.steps.append((line, batch))

    def is_full(self) -> bool:
        return len(self.steps) == STEPS

    def fetch(self) -> tuple[list[dict[str, Any]], Bad | None]:
        """Wait for all steps: (their finished lines of metrics, None).

        Where a step was not finite: (the lines before the first such step, a Bad).
        """
        values = to_host(self.values[: len(self.steps)]).tolist()
        speed = sum(batch.tokens for _, batch in self.steps) / (time.perf_counter() - self.started)
        lines: list[dict[str, Any]] = []
        for (line, batch), (loss, norm, hits) in zip(self.steps, values):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                what = f"the norm of the gradient is {norm}" if math.isfinite(loss) else f"the loss is {loss}"
                return lines, Bad(line["step"], batch, what)
            accuracy = hits / batch.texts
            measured = {"loss": loss, "accuracy": accuracy, "gradient_norm": norm, "tokens_per_second": speed}
            lines.append({**line, **measured})
        return lines, None
