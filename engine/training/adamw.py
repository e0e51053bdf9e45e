"""AdamW: Adam with decoupled weight decay.

    m ← β₁m + (1 − β₁)g            v ← β₂v + (1 − β₂)g²
    θ ← θ − η·(m/(1 − β₁ᵗ) / (sqrt(v/(1 − β₂ᵗ)) + ε) + λθ)

Source: Loshchilov & Hutter, arXiv 1711.05101, with the decay multiplied by η as PyTorch does.

A RowSparse gradient (of an embedding table) is handled in one of two ways:
- "dense": the equation to the letter. Rows without a gradient count as g = 0: their m and v decay, their weights move on
  by what m still holds, and weight decay pulls them too. Time proportional to the whole table.
- "lazy": only the rows of the batch are touched, in time proportional to them. Each row is trained as if AdamW saw only
  the steps in which the row occurs: t counts those steps, and between them m, v and θ rest. So it differs from "dense" in
  three ways: no movement by old momentum, no decay of m and v, and no weight decay while a row is absent.
"""

import numpy as np

from engine.arguments import check_choice
from engine.backend import array_module
from engine.layer import RowSparse
from engine.training.config import EMBEDDING_UPDATES


class AdamW:
    """Trains parameters (dict[str, Parameter]) in place. State per parameter: m, v (its shape) and t ((rows,) if lazy)."""

    def __init__(self, parameters, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, embedding_update="lazy"):
        check_choice("embedding_update", embedding_update, EMBEDDING_UPDATES)
        self.parameters = parameters
        self.beta1, self.beta2, self.epsilon, self.weight_decay = beta1, beta2, epsilon, weight_decay
        self.lazy = embedding_update == "lazy"
        self.state = {}

    def step(self, learning_rate, scale=1.0):
        """One update of every parameter that has a gradient; `scale` multiplies gradients (for clipping without a copy)."""
        for name, parameter in self.parameters.items():
            grad = parameter.grad
            if grad is None:
                continue
            decay = self.weight_decay if parameter.decay else 0.0
            if isinstance(grad, RowSparse) and self.lazy:
                self.update_rows(name, parameter, grad, learning_rate, scale, decay)
            else:
                state = self.state_of(name, parameter, ())
                self.update(parameter.value, parameter.dense_grad() * parameter.value.dtype.type(scale), state, learning_rate, decay)

    def update_rows(self, name, parameter, grad, learning_rate, scale, decay):
        """The equation on some rows: gathered, updated, put back. Rows are unique, so nothing is written twice."""
        state = self.state_of(name, parameter, (len(parameter.value), 1))
        rows = grad.rows
        gathered = {key: array[rows] for key, array in state.items()}
        value = parameter.value[rows]
        self.update(value, grad.values * value.dtype.type(scale), gathered, learning_rate, decay)
        parameter.value[rows] = value
        for key, array in gathered.items():
            state[key][rows] = array

    def update(self, value, grad, state, learning_rate, decay):
        """The equation, in place on value and state; `grad` is a fresh array and serves as scratch."""
        xp = array_module(value)
        real = value.dtype.type
        m, v, t = state["m"], state["v"], state["t"]
        t += 1
        # The step counts are float64: 1 − βᵗ would lose digits in float32.
        step_size = (learning_rate / (1 - self.beta1**t)).astype(value.dtype)
        root_scale = (1 / xp.sqrt(1 - self.beta2**t)).astype(value.dtype)
        m *= real(self.beta1)
        m += grad * real(1 - self.beta1)
        v *= real(self.beta2)
        grad *= grad
        grad *= real(1 - self.beta2)
        v += grad
        denominator = xp.sqrt(v, out=grad)
        denominator *= root_scale
        denominator += real(self.epsilon)
        if decay:
            value *= real(1 - learning_rate * decay)
        value -= step_size * m / denominator

    def state_of(self, name, parameter, count_shape):
        """m, v and t of a parameter, zeros at first."""
        if name not in self.state:
            xp = array_module(parameter.value)
            zeros = xp.zeros_like(parameter.value)
            self.state[name] = {"m": zeros, "v": zeros.copy(), "t": xp.zeros(count_shape, np.float64)}
        return self.state[name]

    def arrays(self):
        """The state as a flat dict of arrays, named "parameter:m" and so on, for a checkpoint."""
        return {f"{name}:{key}": array for name, state in self.state.items() for key, array in state.items()}

    def load_arrays(self, arrays):
        """Take back what arrays() gave, as arrays on the parameters' device."""
        self.state = {}
        for full, array in arrays.items():
            name, _, key = full.rpartition(":")
            self.state.setdefault(name, {})[key] = array
