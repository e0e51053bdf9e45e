"""One text's walk through the stages of a network and back. No mathematics of its own."""

from functools import reduce
from operator import add

import numpy as np

from engine.ragged import positions
from layers.trace.transformer_stages import transformer_stages
from layers.trace.wave_stages import wave_stages

STAGES = {"wave": wave_stages, "transformer": transformer_stages}
STEP = 1e-30  # of the complex step


def stages_of(network, batch):
    """The stages of a network of any kind for a RaggedBatch with labels, in the order of computation; "loss" is the last."""
    return STAGES[network.config.model](network, batch)


class Walk:
    """One batch through the stages of a network and back; its parameters' gradients are then those of this batch.

    values, gradients: dicts by the names of the stages; values also of "ids" and "places", the numbers of the tokens in their
    texts. A wave is a Wave, its gradient too.
    """

    def __init__(self, network, batch):
        self.stages = stages_of(network, batch)
        places = positions(batch.offsets, len(batch.ids))
        self.values, self.caches = {"ids": batch.ids, "places": places}, []
        for stage in self.stages:
            self.values[stage.name], cache = stage.forward(*self.inputs_of(stage, self.values))
            self.caches.append(cache)
        network.zero_grad()
        self.gradients = {"loss": self.values["loss"].dtype.type(1.0)}
        self.walk_back()

    def inputs_of(self, stage, values):
        return [values[name] for name in stage.inputs]

    def walk_back(self):
        """Fill `gradients`. Where a value is used more than once its shares add, in the order of use."""
        shares = {}
        for stage, cache in zip(reversed(self.stages), reversed(self.caches)):
            if stage.name in shares:
                self.gradients[stage.name] = reduce(add, shares[stage.name])
            for name, share in zip(stage.inputs, stage.backward(self.gradients[stage.name], cache)):
                shares[name] = [share, *shares.get(name, [])]

    def logits_with(self, name, value):
        """The logits when the value `name` is replaced and all that comes after it is computed anew."""
        first = 1 + next(i for i, stage in enumerate(self.stages) if stage.name == name)
        return self.rest({**self.values, name: value}, first)

    def logits_with_parameter(self, name, value):
        """The logits when a parameter is replaced; its own value is back in place afterwards."""
        first, parameter = next((i, s.parameters[name]) for i, s in enumerate(self.stages) if name in s.parameters)
        kept, parameter.value = parameter.value, value
        try:
            return self.rest(dict(self.values), first)
        finally:
            parameter.value = kept

    def rest(self, values, first):
        """The logits by the stages from number `first` on; `values` holds what comes before, and is filled."""
        for stage in self.stages[first:-1]:
            values[stage.name], _ = stage.forward(*self.inputs_of(stage, values))
        return values["classifier"]

    def logit_slopes(self):
        """(B, C): dL/dlogits by complex step, to rounding, from the forward of the loss alone."""
        logits, loss = self.values["classifier"], self.stages[-1]
        slopes = np.zeros_like(logits)
        for index in np.ndindex(*logits.shape):
            moved = logits.astype(np.complex128)
            moved[index] += 1j * STEP
            slopes[index] = loss.forward(moved)[0].imag / STEP
        return slopes
