"""AdamW, the norm of the gradient and the record of a step by kernels (adamw.cu): all parameters in a launch or two.

Nothing is fetched from the device: the factor of clipping, and whether to go on at all, are read there.
"""

import copy
import itertools
import math

import numpy as np

from engine.arrays.backend import array_module
from engine.cuda.kernels import KernelFile, blocks_of, contiguous
from engine.implementation import compare
from engine.layer import Parameter, RowSparse
from engine.training.adamw_lazy_rows import grown, reach_of

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


def new_control(like):
    """(3,) float64 on the device of `like`: the norm of the gradient, the factor of clipping, and 1 once a number was not finite."""
    return array_module(like).zeros(3)


def address(x):
    """Where the numbers of an array lie, as kernels take it."""
    contiguous(x)
    return x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr


def tables(rows):
    """[(Tensors by value, blocks)] of dicts with grad and perhaps value, m, v (arrays) and decays, MOST_TENSORS at a time."""
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


def known_tables(optimizer, kind, rows):
    """tables() of a step, made once for the gradients of each graph. kind: the dtype of all rows.

    Any other gradient is a new array at every step, which this would keep from being freed: without a graph, and a RowSparse made dense.
    """
    if optimizer.graphs is None or not all(id(row["grad"]) in optimizer.graphs.lasting for row in rows):
        return tables(rows)
    parts, key = (
        [part for row in rows for part in row.values()],
        (kind, id(rows[0]["grad"])),
    )  # each graph has gradients of its own
    before, found = optimizer.graphs.tables.get(key, ((), None))
    if len(before) != len(parts) or any(a is not b for a, b in zip(before, parts)):
        found = tables(rows)
        optimizer.graphs.tables[key] = parts, found
    return found


def measure(parameters, loss, limit, control):
    """Put the norm of the whole gradient and min(1, limit/norm) into control, and stop where it or the loss is not finite.

    parameters: dict[str, Parameter] of a device; loss: 0-d; limit: 0 does not clip.
    """
    grads = [p.grad_array() for p in parameters.values() if p.grad is not None]
    found = tables([{"grad": grad} for grad in grads if grad.size])
    total = sum(blocks for _, blocks in found)
    partial, first = array_module(loss).empty(max(1, total)), 0
    for table, blocks in found:
        KERNELS.launch("squared_norms", loss, (blocks,), (THREADS,), table, partial, first)
        first += blocks
    KERNELS.launch("finish_norm", loss, (1,), (THREADS,), partial, total, loss, float(limit), control)


def checked_step(optimizer, learning_rate, control):
    """step(), held against the plain body on copies of everything."""
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


def settings_of(optimizer, learning_rate, decay, step):
    """Settings by value, for step number `step`."""
    beta1, beta2 = optimizer.beta1, optimizer.beta2
    rate, root = learning_rate / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    return np.array([(learning_rate, beta1, beta2, optimizer.epsilon, decay, step, rate, root)], SETTINGS)


def step(optimizer, learning_rate, control):
    """One update of all parameters that have a gradient, those of one step count and dtype together."""
    groups = {}
    for name, parameter in optimizer.parameters.items():
        grad = parameter.grad
        if grad is None:
            continue
        lazy = optimizer.lazy and isinstance(grad, RowSparse)
        state = optimizer.state_of(name, parameter, lazy)
        state["t"] += 1
        if lazy:
            update_rows(optimizer, parameter, grad, state, learning_rate, control)
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


def update_rows(optimizer, parameter, grad, state, learning_rate, control):
    """The rows of a table: the steps they missed, then this one; and this step goes on record."""
    decay, value, t = optimizer.weight_decay if parameter.decay else 0.0, parameter.value, int(state["t"])
    move_record(state, value, t)
    settings = settings_of(optimizer, learning_rate, decay, t)
    arrays = (value, state["m"], state["v"], state["last"], grad.rows, grad.values, state["missed"], state["shrunk"])
    KERNELS.launch("adamw_rows", value, (len(grad.rows),), (ROW_THREADS,), *arrays, settings, control, value.shape[1])
    reach, factor, ratio = reach_of(t, learning_rate, optimizer.beta1, optimizer.beta2)
    shrinks = float(np.log1p(-learning_rate * decay))
    KERNELS.launch(
        "record_missed",
        value,
        (blocks_of(max(1, reach), THREADS),),
        (THREADS,),
        state["missed"],
        state["shrunk"],
        t,
        reach,
        factor,
        ratio,
        shrinks,
        control,
    )


def settle(optimizer, parameter, state):
    """Let all rows of a table take the steps they missed."""
    value, t = parameter.value, int(state["t"])
    move_record(state, value, t)
    settings = settings_of(optimizer, 0.0, 0.0, t)
    arrays = (value, state["m"], state["v"], state["last"], None, None, state["missed"], state["shrunk"])
    KERNELS.launch("adamw_rows", value, (len(value),), (ROW_THREADS,), *arrays, settings, None, value.shape[1])


def move_record(state, like, t):
    """The record of missed steps lies on the device, with room for step t."""
    for name in ("missed", "shrunk"):
        state[name] = grown(array_module(like).asarray(state[name]), t)


def record(loss, control, logits, labels, into):
    """Put the loss, the norm and the number of texts whose largest logit is that of their label into `into` (3,) float64."""
    KERNELS.launch("record_step", loss, (1,), (THREADS,), loss, control, logits, labels, into, *logits.shape)
