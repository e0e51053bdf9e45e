"""AdamW: Adam with decoupled weight decay.

    m ← β₁m + (1 − β₁)g            v ← β₂v + (1 − β₂)g²
    θ ← θ − η·(m/(1 − β₁ᵗ) / (sqrt(v/(1 − β₂ᵗ)) + ε) + λθ)

Source: Loshchilov & Hutter, arXiv 1711.05101, with the decay multiplied by η as PyTorch does.

A RowSparse gradient (of an embedding table) is handled in one of two ways:
- "dense": the equation to the letter. Rows without a gradient count as g = 0: their m and v decay, their weights move on
  by what m still holds, and weight decay pulls them too. Time proportional to the whole table.
- "lazy": only the rows of the batch are touched, in time proportional to them. A row that was last touched at step s first
  takes the steps s < i < t that it missed, all at once. With g = 0 these are known in closed form,

      m ← β₁ᵏm     v ← β₂ᵏv     θ ← θ·Π(1 − ηᵢλ) − Σᵢ ηᵢ·sqrt(1 − β₂ⁱ)/(1 − β₁ⁱ)·rⁱ⁻ˢ · m/(sqrt(v) + ε′),    r = β₁/sqrt(β₂)

  (k missed steps, ε′ = ε·sqrt(1 − β₂ˢ⁺¹); the sum is the same for all rows of one s, see missed_steps.py). settle() does this for all rows,
  before the table is evaluated. So for given gradients "lazy" ends where "dense" does, but for λ at second order and for ε at first in
  ε/sqrt(v): where gradients are not far above ε, a row that is seldom met coasts by some per cent more or less. It differs in that a row,
  when the forward pass reads it, has not yet taken the steps it missed: its gradient is of an older value.
"""

import math

import numpy as np

from engine.arrays.backend import array_module, to_device
from engine.arrays.checks import check_choice
from engine.arrays.ragged import row_blocks
from engine.cuda.kernels import uses_kernels
from engine.implementation import current
from engine.layer import RowSparse
from engine.training import adamw_cuda
from engine.training.adamw_lazy_rows import catch_up, record_step
from engine.training.config import EMBEDDING_UPDATES

HOST_STATE = (
    "t",
    "missed",
    "shrunk",
)  # of a checkpoint, kept on the host; kernels move the last two to the device at first use


class AdamW:
    """Trains parameters (dict[str, Parameter]) in place. State per parameter: m and v (its shape), t, and if lazy
    last (rows, 1), the step at which a row was touched, with the record of all steps (missed_steps.py)."""

    def __init__(self, parameters, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, embedding_update="lazy"):
        check_choice("embedding_update", embedding_update, EMBEDDING_UPDATES)
        if embedding_update == "lazy" and beta1 >= math.sqrt(beta2):
            raise ValueError(f"beta1: must be below sqrt(beta2) = {math.sqrt(beta2):.4g} for lazy updates, got {beta1}")
        self.parameters = parameters
        self.beta1, self.beta2, self.epsilon, self.weight_decay = beta1, beta2, epsilon, weight_decay
        self.lazy = embedding_update == "lazy"
        self.state = {}
        self.control = None  # on a device: see adamw_cuda
        self.graphs = None  # on a device: see graphs.py

    def step(self, learning_rate, scale=1.0, control=None):
        """One update of every parameter that has a gradient; `scale` multiplies gradients (for clipping without a copy).

        control: of adamw_cuda.measure(), which then says on the device what the scale is and whether to update at all.
        """
        if control is not None:
            return (adamw_cuda.checked_step if current() == "check" else adamw_cuda.step)(self, learning_rate, control)
        for name, parameter in self.parameters.items():
            grad = parameter.grad
            if grad is None:
                continue
            decay = self.weight_decay if parameter.decay else 0.0
            lazy = self.lazy and isinstance(grad, RowSparse)
            state = self.state_of(name, parameter, lazy)
            state["t"] += 1
            if lazy:
                self.update_rows(parameter, grad, state, learning_rate, scale, decay)
            else:
                t, scale_of = float(state["t"]), parameter.value.dtype.type(scale)
                arrays = parameter.value, parameter.dense_grad(), state["m"], state["v"]
                value, dense, m, v = map(
                    array_module(parameter.value).atleast_1d, arrays
                )  # views, so that a 0-d one has a row, too
                for rows in row_blocks(value):
                    self.update(value[rows], dense[rows] * scale_of, m[rows], v[rows], t, learning_rate, decay)

    def update_rows(self, parameter, grad, state, learning_rate, scale, decay):
        """The equation on some rows: gathered, brought up to date, updated, put back. Rows are unique: no write meets another."""
        t = float(state["t"])
        for block in row_blocks(grad.values):
            rows = grad.rows[block]
            value, m, v = parameter.value[rows], state["m"][rows], state["v"][rows]
            catch_up(
                value,
                m,
                v,
                state["last"][rows],
                t - 1,
                state["missed"],
                state["shrunk"],
                self.beta1,
                self.beta2,
                self.epsilon,
            )
            self.update(value, grad.values[block] * value.dtype.type(scale), m, v, t, learning_rate, decay)
            parameter.value[rows], state["m"][rows], state["v"][rows], state["last"][rows] = value, m, v, t
        record_step(state, learning_rate, decay, self.beta1, self.beta2)

    def settle(self):
        """Let every row of lazily trained tables take the steps it missed, so that the tables are what they stand for."""
        for name, state in self.state.items():
            if "last" in state and uses_kernels(self.parameters[name].value):
                adamw_cuda.settle(self, self.parameters[name], state)
            elif "last" in state:
                value, t, last = self.parameters[name].value, float(state["t"]), state["last"]
                for rows in row_blocks(value):
                    parts = value[rows], state["m"][rows], state["v"][rows]
                    catch_up(
                        *parts, last[rows], t, state["missed"], state["shrunk"], self.beta1, self.beta2, self.epsilon
                    )
                last[...] = t

    def update(self, value, grad, m, v, t, learning_rate, decay):
        """The equation, in place on value, m and v; `grad` is a fresh array and serves as scratch."""
        xp = array_module(value)
        real = value.dtype.type
        m *= real(self.beta1)
        m += grad * real(1 - self.beta1)
        v *= real(self.beta2)
        grad *= grad
        grad *= real(1 - self.beta2)
        v += grad
        denominator = xp.sqrt(v, out=grad)
        denominator *= real(1 / math.sqrt(1 - self.beta2**t))
        denominator += real(self.epsilon)
        if decay:
            value *= real(1 - learning_rate * decay)
        value -= real(learning_rate / (1 - self.beta1**t)) * m / denominator

    def state_of(self, name, parameter, lazy):
        """The state of a parameter, zeros at first. ValueError where its gradient was row-sparse before and is not now, or the other way."""
        if name not in self.state:
            xp = array_module(parameter.value)
            # zeros, not zeros_like: memory of rows that are never touched is then never taken.
            m, v = (xp.zeros(parameter.value.shape, parameter.value.dtype) for _ in range(2))
            state = {"m": m, "v": v, "t": np.zeros((), np.int64)}
            if lazy:
                state.update(last=xp.zeros((len(m), 1), np.int32), missed=np.zeros(1), shrunk=np.zeros(1))
            self.state[name] = state
        if lazy != ("last" in self.state[name]):
            raise ValueError(
                f'parameter {name}: its gradients are row-sparse at some steps only; train it with embedding_update="dense"'
            )
        return self.state[name]

    def arrays(self):
        """The state as a flat dict of arrays, named "parameter:m" and so on, for a checkpoint."""
        return {f"{name}:{key}": array for name, state in self.state.items() for key, array in state.items()}

    def load_arrays(self, arrays, device="cpu"):
        """Take back what arrays() gave (NumPy arrays); all but HOST_STATE go to the device."""
        self.state = {}
        for full, array in arrays.items():
            name, _, key = full.rpartition(":")
            self.state.setdefault(name, {})[key] = array if key in HOST_STATE else to_device(array, device)
