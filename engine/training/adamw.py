"""AdamW: Adam with decoupled weight decay.

    m ← β₁m + (1 − β₁)g            v ← β₂v + (1 − β₂)g²
    θ ← θ − η·(m/(1 − β₁ᵗ) / (sqrt(v/(1 − β₂ᵗ)) + ε) + λθ)

Source: Loshchilov & Hutter, arXiv 1711.05101, with the decay multiplied by η as PyTorch does.

A RowSparse gradient (of an embedding table) is handled in one of two ways:
- "dense": the equation to the letter. Rows without a gradient count as g = 0: their m and v decay, their weights move
  on by what m still holds, and weight decay pulls them too. Time proportional to the whole table.
- "lazy": only the rows of the batch are touched, in time proportional to them. A row that was last touched at step s
  first takes the steps s < i < t that it missed, all at once. With g = 0 these are known in closed form,

      m ← β₁ᵏm          v ← β₂ᵏv          r = β₁/sqrt(β₂)
      θ ← θ·Π(1 − ηᵢλ) − Σᵢ ηᵢ·sqrt(1 − β₂ⁱ)/(1 − β₁ⁱ)·rⁱ⁻ˢ · m/(sqrt(v) + ε′)

  (k missed steps, ε′ = ε·sqrt(1 − β₂ˢ⁺¹); the sum is the same for all rows of one s, see adamw_lazy_rows.py).
  catch_up() does this for all rows, before the table is evaluated. So for given gradients "lazy" ends where "dense"
  does, but for λ at second order and for ε at first in ε/sqrt(v): where gradients are not far above ε, a row that
  occurs seldom moves by some per cent more or less. It differs in that a row, when the forward pass reads it, has not
  yet taken the steps it missed: its gradient is of an older value.
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import array_module, to_device
from engine.arrays.checks import check_choice
from engine.arrays.ragged import gather_rows, put_rows, row_blocks
from engine.cuda.graphs import GradientGraphs
from engine.cuda.kernels import uses_kernels
from engine.layer import Parameter, RowSparse
from engine.support.implementation import current
from engine.training import adamw_c, adamw_cuda
from engine.training.adamw_lazy_rows import Rest, record_step, rest_of, take_missed_steps
from engine.training.config import EMBEDDING_UPDATES
from engine.types import Array, Floats, Floats1d, Floats2d, Ints1d

# State that load_arrays() leaves on the host; kernels move the last two to the device at first use.
HOST_STATE = ("t", "missed", "shrunk")


class Factors(NamedTuple):
    """The numbers of one step, multiplied with one another first, which takes fewer passes over the arrays.

    g′ = of_grad·g (scale·sqrt(1 − β₂)), then v ← β₂v + g′², m ← β₁m + of_scaled·g′, and
    θ ← kept·θ − rate·m/(sqrt(v) + epsilon), since sqrt(v/(1 − β₂ᵗ)) + ε is (sqrt(v) + epsilon)/sqrt(1 − β₂ᵗ).
    """

    of_grad: float
    of_scaled: float
    epsilon: float
    rate: float
    kept: float


class AdamW:
    """The optimizer: trains parameters in place.

    state, by name of the parameter: m and v (its shape), t (the number of its steps), and for a lazily updated table
    last (rows, 1), the step at which each row was last touched, with missed and shrunk, the record of all steps
    (adamw_lazy_rows.py). control, graphs: only on a device, see adamw_cuda.py and engine/cuda/graphs.py.
    """

    def __init__(
        self,
        parameters: dict[str, Parameter],
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        embedding_update: str = "lazy",
    ) -> None:
        check_choice("embedding_update", embedding_update, EMBEDDING_UPDATES)
        if embedding_update == "lazy" and beta1 >= math.sqrt(beta2):
            raise ValueError(f"beta1: must be below sqrt(beta2) = {math.sqrt(beta2):.4g} for lazy updates, got {beta1}")
        self.parameters = parameters
        self.beta1, self.beta2, self.epsilon, self.weight_decay = beta1, beta2, epsilon, weight_decay
        self.lazy = embedding_update == "lazy"
        self.state: dict[str, dict[str, Any]] = {}
        self.control: Floats1d | None = None
        self.graphs: GradientGraphs | None = None

    def step(self, learning_rate: float, scale: float = 1.0, control: Floats1d | None = None) -> None:
        """Update every parameter that has a gradient; `scale` multiplies gradients (for clipping without a copy).

        control: of adamw_cuda.measure(), which then says on the device what the scale is and whether to update at all.
        """
        if control is not None:
            step = adamw_cuda.checked_step if current() == "check" else adamw_cuda.step
            return step(self, learning_rate, control)
        dense: list[tuple[Floats, Floats, Floats, Floats]] = []
        factors: list[Factors] = []
        factors_of: dict[tuple[int, float], Factors] = {}
        for name, parameter in self.parameters.items():
            grad = parameter.grad
            if grad is None:
                continue
            decay = self.weight_decay if parameter.decay else 0.0
            sparse = grad if self.lazy and isinstance(grad, RowSparse) else None
            state = self.state_of(name, parameter, sparse is not None)
            state["t"] += 1
            if sparse is not None:
                self.update_rows(parameter, sparse, state, learning_rate, scale, decay)
                continue
            arrays = (parameter.value, state["m"], state["v"], parameter.dense_grad())
            key = int(state["t"]), decay
            of_array = factors_of[key] = factors_of.get(key) or self.factors(key[0], learning_rate, scale, decay)
            if isinstance(grad, RowSparse):  # at once: a table's dense gradient is large
                self.update_arrays([arrays], [of_array])
            else:
                dense.append(arrays)
                factors.append(of_array)
        self.update_arrays(dense, factors)

    def update_arrays(self, dense: list[tuple[Floats, Floats, Floats, Floats]], factors: list[Factors]) -> None:
        """Update arrays, each given with its m, v and gradient, in place."""
        if adamw_c.is_usable(*itertools.chain(*dense)):
            adamw_c.update(dense, (self.beta1, self.beta2), factors)
            return
        for arrays, of_array in zip(dense, factors):
            value, m, v, g = arrays if arrays[0].ndim else (array[None] for array in arrays)  # views
            for rows in row_blocks(value):
                self.update(value[rows], m[rows], v[rows], g[rows], of_array)

    def update_rows(
        self,
        parameter: Parameter,
        grad: RowSparse,
        state: dict[str, Any],
        learning_rate: float,
        scale: float,
        decay: float,
    ) -> None:
        """Update the rows of a RowSparse gradient, which are unique, after the steps that they missed."""
        t, rows, tables = int(state["t"]), grad.rows, (parameter.value, state["m"], state["v"])
        betas = self.beta1, self.beta2
        factors = self.factors(t, learning_rate, scale, decay)
        if adamw_c.is_usable(*tables, grad.values):
            adamw_c.update_rows(tables, rows, grad.values, state, betas, self.epsilon, factors)
        else:
            last = gather_rows(state["last"], rows)
            rest = rest_of(last, t - 1, state, *betas, self.epsilon, parameter.value.dtype, 1)
            self.update_gathered(tables, rows, grad.values, rest, factors)
            state["last"][rows] = t  # as the function in C does
        record_step(state, learning_rate, decay, *betas)

    def update_gathered(
        self,
        tables: tuple[Floats2d, Floats2d, Floats2d],
        rows: Ints1d,
        grad: Floats2d,
        rest: Rest,
        factors: Factors,
    ) -> None:
        """Update some rows of the tables (value, m, v): gather, catch up, update, write back."""
        for block in row_blocks(grad):
            value, m, v = (gather_rows(table, rows[block]) for table in tables)
            of_block = rest.of(block)
            take_missed_steps(value, m, v, of_block)
            self.update(value, m, v, grad[block], factors, (of_block.of_m, of_block.of_v))
            for table, part in zip(tables, (value, m, v)):
                put_rows(table, rows[block], part)

    def catch_up(self) -> None:
        """Let every row of lazily updated tables take the steps it missed; to be called before tables are read."""
        for name, state in self.state.items():
            if (frozen := self.parameters[name].frozen) is not None:
                state["last"][frozen] = int(state["t"])  # they have missed nothing: no step, no decay
            if "last" in state and uses_kernels(self.parameters[name].value):
                adamw_cuda.catch_up(self, self.parameters[name], state)
            elif "last" in state:
                value, t, last = self.parameters[name].value, int(state["t"]), state["last"]
                for rows in row_blocks(value):
                    m, v = state["m"][rows], state["v"][rows]
                    rest = rest_of(last[rows], t, state, self.beta1, self.beta2, self.epsilon, value.dtype)
                    take_missed_steps(value[rows], m, v, rest)
                    m *= rest.of_m
                    v *= rest.of_v
                last[...] = t

    def factors(self, t: int, learning_rate: float, scale: float, decay: float) -> Factors:
        """The Factors of step number t."""
        root, correction = math.sqrt(1 - self.beta2), math.sqrt(1 - self.beta2**t)
        return Factors(
            scale * root,
            (1 - self.beta1) / root,
            self.epsilon * correction,
            learning_rate * correction / (1 - self.beta1**t),
            1 - learning_rate * decay,
        )

    def update(
        self,
        value: Floats,
        m: Floats,
        v: Floats,
        grad: Floats,
        factors: Factors,
        fading: tuple[Any, Any] | None = None,
    ) -> None:
        """The equation, in place on value, m and v. fading: the factors of m and v in place of β₁ and β₂."""
        xp, real = array_module(value), value.dtype.type
        of_m, of_v = (real(self.beta1), real(self.beta2)) if fading is None else fading
        scaled = grad * real(factors.of_grad)
        v *= of_v
        square = xp.multiply(scaled, scaled)
        v += square
        scaled *= real(factors.of_scaled)
        m *= of_m
        m += scaled
        move = xp.sqrt(v, out=square)
        move += real(factors.epsilon)
        xp.divide(m, move, out=move)
        move *= real(factors.rate)
        if factors.kept != 1:
            value *= real(factors.kept)
        value -= move

    def state_of(self, name: str, parameter: Parameter, lazy: bool) -> dict[str, Any]:
        """The state of a parameter, zeros at first.

        Raises ValueError where its gradient was row-sparse before and is not now, or the other way.
        """
        if name not in self.state:
            self.state[name] = self.new_state(parameter, lazy)
        if lazy != ("last" in self.state[name]):
            raise ValueError(
                f"parameter {name}: its gradients are row-sparse at some steps only; "
                'train it with embedding_update="dense"'
            )
        return self.state[name]

    def new_state(self, parameter: Parameter, lazy: bool) -> dict[str, Any]:
        """The state before the first step."""
        xp = array_module(parameter.value)
        # zeros, not zeros_like: memory of rows that are never touched is then never taken.
        m, v = (xp.zeros(parameter.value.shape, parameter.value.dtype) for _ in range(2))
        state = {"m": m, "v": v, "t": np.zeros((), np.int64)}
        if lazy:
            state.update(last=xp.zeros((len(m), 1), np.int32), missed=np.zeros(1), shrunk=np.zeros(1))
        return state

    def arrays(self) -> dict[str, Array]:
        """The state as a flat dict of arrays, named "parameter:m" and so on, for a checkpoint."""
        return {f"{name}:{key}": array for name, state in self.state.items() for key, array in state.items()}

    def load_arrays(self, arrays: dict[str, Array], device: str = "cpu") -> None:
        """Take back what arrays() gave (NumPy arrays); all but HOST_STATE go to the device.

        ValueError where that is no state of these parameters.
        """
        saved: dict[str, dict[str, Array]] = {}
        for full, array in arrays.items():
            name, _, key = full.rpartition(":")
            saved.setdefault(name, {})[key] = array
        self.state = {}
        for name, found in saved.items():
            self.check_state(name, found)
            self.state[name] = {
                key: array if key in HOST_STATE else to_device(array, device) for key, array in found.items()
            }

    def check_state(self, name: str, found: dict[str, Array]) -> None:
        """Raise ValueError unless arrays can be the state of the parameter of that name."""
        if name not in self.parameters:
            raise ValueError(f"no parameter is called {name}")
        lazy = "last" in found
        wanted = self.new_state(self.parameters[name], lazy)
        of_steps = ("missed", "shrunk")  # as long as there were steps, or longer
        for key in {**wanted, **found}:
            if key not in wanted or key not in found:
                raise ValueError(f"{name}:{key} is {'missing' if key in wanted else 'of no use'}")
            shape = wanted[key].shape if key not in of_steps else (max(1, found[key].size),)
            if found[key].shape != shape or found[key].dtype != wanted[key].dtype:
                raise ValueError(f"{name}:{key} has shape {found[key].shape} ({found[key].dtype})")
        steps = int(found["t"])
        if steps < 0 or lazy and not (0 <= found["last"].min(initial=0) <= found["last"].max(initial=0) <= steps):
            raise ValueError(f"{name}: its steps cannot be counted")
        if lazy and not steps < min(len(found[key]) for key in of_steps):
            raise ValueError(f"{name}: it has fewer factors than steps")
