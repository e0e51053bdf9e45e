"""The planned network, held against the readable one once a step: implementation=check."""

from typing import Any, NamedTuple

from engine.arrays.backend import same_stream
from engine.arrays.ragged import RaggedBatch
from engine.implementation import compare
from engine.types import Floats, Floats2d, Ints1d
from layers.fast import FUNCTIONS
from layers.networks.parts import twin
from layers.networks.planned_wave_network import PlannedWaveNetwork
from layers.networks.wave_network import WaveNetwork


class CheckedCache(NamedTuple):
    """A LossCache, with what the readable network needs to compute the same step."""

    network: Any
    logits: Floats2d
    labels: Ints1d
    loss: Any
    step: tuple  # the batch, train, the random stream, and the loss


class CheckedWaveNetwork(PlannedWaveNetwork):
    """A PlannedWaveNetwork that recomputes each call of an implementation by its equation, and each step by WaveNetwork.

    Raises ImplementationError where they differ.
    """

    def loss_forward(  # type: ignore[override]
        self, batch: RaggedBatch, train: bool = False, rng: Any = None
    ) -> tuple[Floats, CheckedCache]:
        stream = same_stream(rng)
        loss, cache = super().loss_forward(batch, train, rng)
        return loss, CheckedCache(*cache, (batch, train, stream, loss))

    def loss_backward(self, cache: Any, dloss: float = 1.0) -> None:
        parameters = self.parameters()
        before = {name: parameter.grad for name, parameter in parameters.items()}
        self.zero_grad()
        super().loss_backward(cache, dloss)
        batch, train, stream, loss = cache.step
        readable = twin(self, FUNCTIONS["equations"], WaveNetwork)
        expected, readable_cache = readable.loss_forward(batch, train, stream)
        readable.loss_backward(readable_cache, dloss)
        compare("network forward", loss, expected)
        for name, parameter in readable.parameters().items():
            compare(f"gradient of {name}", parameters[name].dense_grad(), parameter.dense_grad())
        for name, grad in before.items():
            if grad is not None:
                parameters[name].accumulate(grad)
