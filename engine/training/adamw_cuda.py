"""AdamW, the norm of the gradient and the record of a step by kernels: all parameters in a launch or two.

Nothing is fetched from the device: the factor of clipping, and whether to go on at all, are read there.
"""

import copy
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.arrays.backend import array_module
from engine.cuda.kernels import KernelFile, blocks_of, contiguous
from engine.implementation import compare
from engine.layer import Parameter, RowSparse
from engine.training.adamw_lazy_rows import reach_of, with_room
from engine.types import Array, Floats, Floats1d, Floats2d, Ints1d

MOST_TENSORS, THREADS, PER_THREAD, ROW_THREADS = 64, 256, 16, 128
BLOCK_ENTRIES = THREADS * PER_THREAD
KERNELS = KernelFile(__file__, MOST_TENSORS=MOST_TENSORS, THREADS=THREADS, PER_THREAD=PER_THREAD)
TENSORS = np.dtype(
    [(name, np.int64, MOST_TENSORS) for name in ("value", "grad", "m", "v", "size", "first_block", "decays")]
    + [("count", np.int64)]
)
SETTINGS = np.dtype(
    [(name, np.float64) for name in ("learning_rate", "beta1", "beta2", "epsilon", "decay", "step", "rate", "root")]
)
Tables = list[tuple[Array, int]]  # structures Tensors, and the blocks of threads of each


def new_control(like: Array) -> Floats1d:
    """(3,) float64 on the device of `like`.

    Norm of the gradient, factor of clipping, and 1 once a number was not finite.
    """
    return array_module(like).zeros(3)


def address(x: Array) -> int:
    """The address of an array's numbers. Raises ValueError for an array that is not contiguous."""
    contiguous(x)
    return x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr


def tables(rows: Sequence[dict[str, Any]]) -> Tables:
    """Tables of dicts with grad and perhaps value, m, v (arrays) and decays, MOST_TENSORS at a time."""
    found = []
    for start in range(0, len(rows), MOST_TENSORS):
        some = rows[start : start + MOST_TENSORS]
        table, count, sizes = np.zeros(1, TENSORS), len(some), [row["grad"].size for row in some]
        for name in ("grad", "value", "m", "v"):
            if name in some[0]:
                table[name][0, :count] = [address(row[name]) for row in some]
        blocks = [0, *itertools.accumulate(blocks_of(size, BLOCK_ENTRIES) for size in sizes)]
        table["size"][0, :count], table["first_block"][0, :count], table["count"] = sizes, blocks[:-1], count
        table["decays"][0, :count] = [row.get("decays", False) for row in some]
        found.append((table, blocks[-1]))
    return found


def known_tables(optimizer: Any, kind: np.dtype, rows: Sequence[dict[str, Any]]) -> Tables:
    """tables() of a step, made once for the gradients of each graph. kind: the dtype of all rows.

    Any other gradient (without a graph, or a RowSparse made dense) is a new array at every step, which a table kept
    here would keep from being freed.
    """
    if optimizer.graphs is None or not all(id(row["grad"]) in optimizer.graphs.lasting for row in rows):
        return tables(rows)
    parts = [part for row in rows for part in row.values()]
    key = (kind, id(rows[0]["grad"]))  # each graph has gradients of its own
    before, found = optimizer.graphs.tables.get(key, ((), None))
    if len(before) != len(parts) or any(a is not b for a, b in zip(before, parts)):
        found = tables(rows)
        optimizer.graphs.tables[key] = parts, found
    return found


def measure(parameters: dict[str, Parameter], loss: Floats, limit: float, control: Floats1d) -> None:
    """Put the norm of the whole gradient and min(1, limit/norm) into control; stop where it or the loss is not finite.

    parameters: of a device; loss: 0-d; limit: 0 does not clip.
    """
    grads = [p.grad_array() for p in parameters.values()]
    found = tables([{"grad": grad} for grad in grads if grad is not None and grad.size])
    total = sum(blocks for _, blocks in found)
    partial, first = array_module(loss).empty(max(1, total)), 0
    for table, blocks in found:
        KERNELS.launch("squared_norms", loss, (blocks,), (THREADS,), table, partial, first)
        first += blocks
    KERNELS.launch("finish_norm", loss, (1,), (THREADS,), partial, total, loss, float(limit), control)


def checked_step(optimizer: Any, learning_rate: float, control: Floats1d) -> None:
    """step(), compared with the equation on copies of everything."""
    twin = copy.copy(optimizer)
    twin.parameters = {name: Parameter(p.value.copy(), p.decay) for name, p in optimizer.parameters.items()}
    twin.state = {name: {key: array.copy() for key, array in state.items()} for name, state in optimizer.state.items()}
    for name, parameter in optimizer.parameters.items():
        twin.parameters[name].grad = parameter.grad
    step(optimizer, learning_rate, control)
    if float(control[2]) == 0:
        twin.step(learning_rate, float(control[1]))
        both = [(optimizer.parameters[n].value, p.value) for n, p in twin.parameters.items()]
        both += [(optimizer.state[n][key], twin.state[n][key]) for n in twin.state for key in ("m", "v")]
        compare("adamw", tuple(one for one, _ in both), tuple(other for _, other in both))


def settings_of(optimizer: Any, learning_rate: float, decay: float, step: int) -> Array:
    """The structure Settings of step number `step`."""
    beta1, beta2 = optimizer.beta1, optimizer.beta2
    rate, root = learning_rate / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    return np.array([(learning_rate, beta1, beta2, optimizer.epsilon, decay, step, rate, root)], SETTINGS)


def step(optimizer: Any, learning_rate: float, control: Floats1d) -> None:
    """Update all parameters that have a gradient, those of one step count and dtype together."""
    groups: dict[tuple[int, np.dtype], list[dict[str, Any]]] = {}
    for name, parameter in optimizer.parameters.items():
        grad = parameter.grad
        if grad is None:
            continue
        sparse = grad if optimizer.lazy and isinstance(grad, RowSparse) else None
        state = optimizer.state_of(name, parameter, sparse is not None)
        state["t"] += 1
        if sparse is not None:
            update_rows(optimizer, parameter, sparse, state, learning_rate, control)
        else:
            row = {
                "value": parameter.value,
                "grad": parameter.dense_grad(),
                "m": state["m"],
                "v": state["v"],
                "decays": parameter.decay,
            }
            groups.setdefault((int(state["t"]), parameter.value.dtype), []).append(row)
    for (t, kind), rows in groups.items():
        for table, blocks in known_tables(optimizer, kind, rows):
            settings = settings_of(optimizer, learning_rate, optimizer.weight_decay, t)
            KERNELS.launch("adamw_tensors", rows[0]["value"], (blocks,), (THREADS,), table, settings, control)


def update_rows(
    optimizer: Any,
    parameter: Parameter,
    grad: RowSparse,
    state: dict[str, Any],
    learning_rate: float,
    control: Floats1d,
) -> None:
    """Update the rows of a RowSparse gradient, after the steps that they missed, and record this step."""
    decay, value, t = optimizer.weight_decay if parameter.decay else 0.0, parameter.value, int(state["t"])
    move_record(state, value, t)
    settings = settings_of(optimizer, learning_rate, decay, t)
    arrays = (value, state["m"], state["v"], state["last"], grad.rows, grad.values, state["missed"], state["shrunk"])
    KERNELS.launch("adamw_rows", value, (len(grad.rows),), (ROW_THREADS,), *arrays, settings, control, value.shape[1])
    reach, factor, ratio = reach_of(t, learning_rate, optimizer.beta1, optimizer.beta2)
    numbers = (t, reach, factor, ratio, float(np.log1p(-learning_rate * decay)))
    blocks = (blocks_of(max(1, reach), THREADS),)
    KERNELS.launch("record_missed", value, blocks, (THREADS,), state["missed"], state["shrunk"], *numbers, control)


def catch_up(optimizer: Any, parameter: Parameter, state: dict[str, Any]) -> None:
    """Let all rows of a table take the steps they missed."""
    value, t = parameter.value, int(state["t"])
    move_record(state, value, t)
    settings = settings_of(optimizer, 0.0, 0.0, t)
    arrays = (value, state["m"], state["v"], state["last"], None, None, state["missed"], state["shrunk"])
    KERNELS.launch("adamw_rows", value, (len(value),), (ROW_THREADS,), *arrays, settings, None, value.shape[1])


def move_record(state: dict[str, Any], like: Array, t: int) -> None:
    """Move the record of missed steps to the device of `like`, with room for step t."""
    for name in ("missed", "shrunk"):
        state[name] = with_room(array_module(like).asarray(state[name]), t)


def record(loss: Floats, control: Floats1d, logits: Floats2d, labels: Ints1d, into: Floats1d) -> None:
    """Put the loss, the norm and the number of rightly classified texts into `into` (3,) float64."""
    KERNELS.launch("record_step", loss, (1,), (THREADS,), loss, control, logits, labels, into, *logits.shape)
