"""One update of a network that keeps the contract: forward, backward, clipping, optimizer."""

import math
from typing import NamedTuple

from engine.training.clipping import clip_scale, global_norm


class Update(NamedTuple):
    """loss: 0-d; norm: of the whole gradient, before clipping; cache: that of loss_forward."""

    loss: object
    norm: float
    cache: object


class NotFinite(ArithmeticError):
    """The loss or the gradient is NaN or infinite; nothing was updated. what: says which; cache: of the forward pass, or None."""

    def __init__(self, what, cache):
        super().__init__(what)
        self.what, self.cache = what, cache


def update(network, optimizer, batch, rng, learning_rate, clip_norm):
    """Train on one batch. Raises NotFinite; parameters and optimizer are then as they were."""
    loss, cache = network.loss_forward(batch, train=True, rng=rng)
    if not math.isfinite(loss):
        raise NotFinite(f"the loss is {float(loss)}", cache)
    network.zero_grad()
    network.loss_backward(cache)
    norm = global_norm(optimizer.parameters)
    if not math.isfinite(norm):
        raise NotFinite(f"the norm of the gradient is {norm}", None)
    optimizer.step(learning_rate, clip_scale(norm, clip_norm))
    return Update(loss, norm, cache)
