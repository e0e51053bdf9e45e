"""The planned Wave Network, held against the readable one once a step (implementation=check)."""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import same_stream
from engine.arrays.ragged import RaggedBatch
from engine.implementation import compare
from engine.types import Array, Floats, Floats2d
from layers.fast import FUNCTIONS
from layers.networks.parts import twin
from layers.networks.planned_wave_network import PlannedWaveNetwork
from layers.networks.wave_network import WaveNetwork

TOLERANCE = 1e-10  # of loss and gradients in float64, ‖difference‖/‖readable‖


class CheckedCache(NamedTuple):
    """A LossCache, and what is needed to compute the same step again."""

    network: Any
    logits: Floats2d
    labels: Array
    loss: Any
    step: tuple[RaggedBatch, bool, Any]  # the batch, train, the random stream


class CheckedWaveNetwork(PlannedWaveNetwork):
    """A PlannedWaveNetwork that recomputes each call of an implementation by its equation, each step by WaveNetwork.

    The step is compared in float64, where planned and readable network must agree to TOLERANCE; float32 is compared
    call by call. Raises ImplementationError where they differ.
    """

    planned: type[WaveNetwork] = PlannedWaveNetwork
    readable: type[WaveNetwork] = WaveNetwork

    def prepared(self, batch: RaggedBatch, rng: Any) -> RaggedBatch:
        """The batch itself, which the readable network takes too."""
        return batch

    def loss_forward(  # type: ignore[override]
        self, batch: RaggedBatch, train: bool = False, rng: Any = None
    ) -> tuple[Floats, CheckedCache]:
        stream = same_stream(rng)
        loss, cache = super().loss_forward(batch, train, rng)
        return loss, CheckedCache(*cache, (batch, train, stream))

    def loss_backward(self, cache: Any, dloss: float = 1.0) -> None:
        super().loss_backward(cache, dloss)
        planned = self.step_in_float64(self.planned, "fast", cache.step)
        readable = self.step_in_float64(self.readable, "equations", cache.step)
        for name, expected in readable.items():
            compare(f"network: {name}", planned[name], expected, TOLERANCE)

    def step_in_float64(
        self, kind: type[WaveNetwork], implementation: str, step: tuple[RaggedBatch, bool, Any]
    ) -> dict[str, Floats]:
        """Loss and gradients by name of a network of that kind with the same parameters."""
        network = twin(self, FUNCTIONS[implementation], kind)
        for parameter in network.parameters().values():
            parameter.value = parameter.value.astype(np.float64)
        batch, train, stream = step
        loss, cache = network.loss_forward(batch, train, same_stream(stream))
        network.loss_backward(cache)
        return {"loss": loss, **{f"gradient of {n}": p.dense_grad() for n, p in network.parameters().items()}}
