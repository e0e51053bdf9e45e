"""The error of a training whose numbers are not finite any more: where it began, and what to do."""

import math
from typing import Any

from engine.layer import Parameter
from engine.support.errors import UserError
from engine.training.evaluation import first_nonfinite
from engine.training.run_directory import RunDirectory
from engine.training.shards import ShardedBatch


def diverged(parameters: dict[str, Parameter], run: RunDirectory, step: int, what: str, where: str | None) -> UserError:
    """The error of a run whose numbers stopped being finite: names the step, the layer and the parameter.

    what: the number that is not finite; where: its place in the forward pass, if it is known.
    """
    bad_values = [name for name, p in parameters.items() if first_nonfinite(p.value) is not None]
    bad_grads = [
        name for name, p in parameters.items() if p.grad is not None and first_nonfinite(p.grad_array()) is not None
    ]
    if bad_values:
        where = f"in the value of parameter {bad_values[0]} (layer {bad_values[0].rpartition('.')[0]})"
    elif bad_grads:
        # Backward runs from the last layer to the first, so the last parameter is where it began.
        where = f"in the gradient of parameter {bad_grads[-1]} (layer {bad_grads[-1].rpartition('.')[0]})"
    else:
        where = (
            f"first in {where} of the forward pass; all parameters are finite"
            if where
            else "but every part of it is finite"
        )
    saved = f"the last good state is in {run.last}" if run.has_checkpoint() else "nothing had been saved yet"
    return UserError(f"step {step}: {what}, {where}; lower --learning-rate, {saved}")


def place_again(network: Any, batch: Any, rng: Any, device: str) -> str | None:
    """The place of the first number that is not finite in a step on a device, which is taken again to find it.

    Nothing was updated since. batch: a RaggedBatch, whose generator rng is, or a ShardedBatch.
    """
    network.zero_grad()  # of a later step
    own = batch.texts_again(device) if isinstance(batch, ShardedBatch) else [(batch, rng)]
    for texts, generator in own:
        loss, cache = network.loss_forward(texts, train=True, rng=generator)
        if not math.isfinite(float(loss)):
            return first_nonfinite(cache)
        network.loss_backward(cache)
    return None
