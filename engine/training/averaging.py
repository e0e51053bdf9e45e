"""The mean of the weights over the last part of a training.

With θ₁ … θₙ the weights at the validations in the last `averaging` share of all steps,

    θ̄ₙ = (θ₁ + … + θₙ)/n            θ̄ₙ = θ̄ₙ₋₁ + (θₙ − θ̄ₙ₋₁)/n

The second follows from n·θ̄ₙ = (n − 1)·θ̄ₙ₋₁ + θₙ, and needs one copy of the weights. Before a validation all rows of
lazily updated tables take the steps that they missed (AdamW.catch_up), so that θᵢ of a row is what AdamW has made of it
by then, however long no batch has held it; and the table is read as a whole there anyway, so that the mean costs no
step anything. Weights of neighbouring steps differ little: a mean over more points than this adds next to nothing.

Source: Izmailov et al., arXiv 1803.05407, without their learning rate; Polyak & Juditsky, doi 10.1137/0330046.
"""

import contextlib
from collections.abc import Iterator

from engine.arrays.backend import array_module, to_device
from engine.arrays.ragged import row_blocks
from engine.layer import Parameter
from engine.types import Array


class WeightAverage:
    """The mean of the weights of parameters at some points of a training. mean: by name, empty before the first."""

    def __init__(self, parameters: dict[str, Parameter]) -> None:
        self.parameters = parameters
        self.mean: dict[str, Array] = {}

    def add(self, n: int) -> None:
        """Take in the weights as they are now, the n-th ones; n = 1 begins anew."""
        for name, parameter in self.parameters.items():
            if n == 1:
                self.mean[name] = parameter.value.copy()
                continue
            xp = array_module(parameter.value)
            value, mean = map(xp.atleast_1d, (parameter.value, self.mean[name]))  # views: a 0-d one has a row, too
            for rows in row_blocks(value):
                move = value[rows] - mean[rows]
                move *= value.dtype.type(1 / n)
                mean[rows] += move

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Within this context the parameters have the mean as their values."""
        own = {name: parameter.value for name, parameter in self.parameters.items()}
        try:
            self.assign(self.mean)
            yield
        finally:
            self.assign(own)

    def assign(self, values: dict[str, Array]) -> None:
        for name, parameter in self.parameters.items():
            parameter.value = values[name]

    def load_arrays(self, arrays: dict[str, Array], device: str) -> None:
        """Take back a mean that a checkpoint holds (NumPy arrays). ValueError where it is of other parameters."""
        for name in {**self.parameters, **arrays}:
            found, parameter = arrays.get(name), self.parameters.get(name)
            if found is None or parameter is None or found.shape != parameter.value.shape:
                raise ValueError(f"the mean of {name} is missing, of no use or of another shape")
        self.mean = {name: to_device(array, device) for name, array in arrays.items()}
