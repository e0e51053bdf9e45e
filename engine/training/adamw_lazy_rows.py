"""The AdamW steps that a row of a table misses while no batch holds it, taken all at once.

Without a gradient, step i moves a row that was last touched at step s by

    ηᵢ·sqrt(1 − β₂ⁱ)/(1 − β₁ⁱ) · β₁ⁱ⁻ˢm / sqrt(β₂ⁱ⁻ˢv)

All rows of one s thus share a factor. The record of a table keeps its running sum, and that of the decay:

    missed[s] = Σ_{s<i≤t} ηᵢ·sqrt(1 − β₂ⁱ)/(1 − β₁ⁱ)·rⁱ⁻ˢ,   r = β₁/sqrt(β₂) < 1
    shrunk[t] = Σ_{i≤t} log(1 − ηᵢλ)

The powers of r fade, so a step adds only to the newest entries. Both are float64 arrays (on the host, or where kernels
update the table), of which the first t + 1 entries are in use: they grow by doubling, so that a step costs the same
however long the run is.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.types import Floats1d, Floats2d, Ints2d

FADED = 1e-17  # powers of r below this no longer count


def record_step(state: dict[str, Any], learning_rate: float, decay: float, beta1: float, beta2: float) -> None:
    """Add step state["t"] to the record of a table, after the rows of that step have been updated."""
    t = int(state["t"])
    missed, shrunk = state["missed"], state["shrunk"] = with_room(state["missed"], t), with_room(state["shrunk"], t)
    reach, factor, ratio = reach_of(t, learning_rate, beta1, beta2)
    if reach:
        missed[t - reach : t] += factor * array_module(missed).asarray(powers(ratio, reach + 1)[reach:0:-1])
    shrunk[t] = shrunk[t - 1] + np.log1p(-learning_rate * decay)


def reach_of(t: int, learning_rate: float, beta1: float, beta2: float) -> tuple[int, float, float]:
    """(number of entries that step t adds to, its factor ηₜ·sqrt(1 − β₂ᵗ)/(1 − β₁ᵗ), r)."""
    ratio = beta1 / math.sqrt(beta2)
    reach = min(t, math.ceil(math.log(FADED) / math.log(ratio))) if ratio else 0
    return reach, learning_rate * math.sqrt(1 - beta2**t) / (1 - beta1**t), ratio


def with_room(record: Floats1d, t: int) -> Floats1d:
    """The same record with room for entry t."""
    xp = array_module(record)
    while len(record) <= t:
        record = xp.concatenate([record, xp.zeros_like(record)])
    return record


class Rest(NamedTuple):
    """The effect of the steps that rows missed: factors (R, 1) in the dtype of the table.

    θ ← θ·shrink − move·m/(sqrt(v) + epsilon), m ← m·of_m, v ← v·of_v.
    """

    shrink: Floats2d
    move: Floats2d
    epsilon: Floats2d
    of_m: Floats2d
    of_v: Floats2d

    def of(self, rows: slice) -> "Rest":
        return Rest(*(factor[rows] for factor in self))


def rest_of(
    last: Ints2d,
    until: int,
    state: dict[str, Any],
    beta1: float,
    beta2: float,
    epsilon: float,
    dtype: Any,
    ahead: int = 0,
) -> Rest:
    """The Rest of the steps last < i ≤ until. last: (R, 1), the step at which each row was last touched.

    state: that of the table, with its record. ahead: m and v fade by so many steps more.
    """
    xp = array_module(last)
    missed, shrink = xp.asarray(state["missed"]), shrink_of(last, until, state)
    # ε weighs as much as in the first step missed: sqrt(v/(1 − β₂ⁱ)) + ε = (sqrt(v) + ε·sqrt(1 − β₂ⁱ))/sqrt(1 − β₂ⁱ).
    weighed = epsilon * xp.sqrt(1 - xp.asarray(powers(beta2, until + 2))[last + 1])
    absent = until + ahead - last
    of_m, of_v = (xp.asarray(powers(beta, until + ahead + 1))[absent] for beta in (beta1, beta2))
    return Rest(*(factor.astype(dtype) for factor in (shrink, missed[last], weighed, of_m, of_v)))


def shrink_of(last: Ints2d, until: int, state: dict[str, Any]) -> Floats2d:
    """The product of 1 − ηᵢλ over the steps last < i ≤ until, in float64."""
    xp = array_module(last)
    shrunk = xp.asarray(state["shrunk"])
    shrink: Floats2d = xp.exp(float(shrunk[until]) - shrunk[last])
    return shrink


def powers(base: float, count: int) -> Floats1d:
    """base^0 … base^(count − 1), in float64: powers of single steps take longer than to look them up."""
    table = _powers.get(base)
    if table is None or len(table) < count:
        table = _powers[base] = base ** np.arange(2.0 * count)
    return table[:count]


_powers: dict[float, Floats1d] = {}


def take_missed_steps(value: Floats2d, m: Floats2d, v: Floats2d, rest: Rest) -> None:
    """Move the rows `value` (R, d) by the steps that they missed, in place; m and v stay as they were."""
    xp = array_module(value)
    move = xp.sqrt(v)
    move += rest.epsilon
    xp.divide(m, move, out=move)
    move *= rest.move
    value *= rest.shrink
    value -= move
