"""The contract between networks and everything that runs, checks or trains them: Parameter, Constant, RowSparse, Layer.

    y, cache = layer.forward(x, ...)       changes nothing
    dx = layer.backward(dy, cache)         pure but for one thing: it adds to parameter.grad

`dX` is the gradient of the loss with respect to X, with the shape and dtype of X. Arrays that are handed on may alias;
whoever receives one does not write into it. What trains and measures a network asks of it, beside being a Layer:

    loss, cache = network.loss_forward(batch, train, rng)      loss: 0-d; cache.logits (B, C), cache.labels
    network.loss_backward(cache)                               adds to every parameter's gradient
    network.probabilities(batch)                               (B, C)
    network.embedding_table()                                  where it has one: the Parameter (V, d) whose row i
                                                               is that of token id i; word vectors may initialise it
    network.prepared(batch, rng)                               where it has one: what loss_forward takes in place of a
                                                               batch, made ahead in a thread; draws from rng what is
                                                               drawn before parameters are read
    network.learn_counts(texts, counted)                       where it has one: called once, before the first step,
                                                               with all training texts; fills its Constants. Token ids
                                                               from `counted` on, character n-grams, do not count
    network.class_weights, network.temperature                 which the training sets: weights of classes in the
                                                               training loss (training/class_weights.py), and T by
                                                               which probabilities() divides the logits

batch: a RaggedBatch on the host, wherever the parameters are: the network sends to its device what it needs.
"""

from typing import NamedTuple, TypeVar

import numpy as np

from engine.arrays import ragged_c
from engine.arrays.backend import accumulator_dtype, array_module, to_device
from engine.arrays.ragged import row_blocks, segment_sum
from engine.types import Array, Floats, Floats2d, Ints1d

LayerType = TypeVar("LayerType", bound="Layer")


class RowSparse(NamedTuple):
    """The gradient of a table of which only some rows were used: `rows` sorted and unique, `values` already summed.

    rows: (R,) int64. values: (R, d). Norms and clipping of this pair equal those of the dense gradient exactly.
    """

    rows: Ints1d
    values: Floats2d

    def dense(self, row_count: int) -> Floats2d:
        """The same gradient as a dense array (row_count, d)."""
        full: Floats2d = array_module(self.values).zeros((row_count, *self.values.shape[1:]), self.values.dtype)
        full[self.rows] = self.values
        return full


Gradient = Floats | RowSparse


def sum_rows(rows: Ints1d, values: Floats2d) -> RowSparse:
    """RowSparse from (N,) row numbers with repeats and their (N, d) values: equal rows summed, in order of appearance.

    Sorting by row and summing runs replaces a scatter-add, whose atomics would make the order of float sums a matter of
    chance on a GPU. float32 is summed in float64.
    """
    xp = array_module(values)
    if xp is np and (rows[1:] > rows[:-1]).all():  # each once and in order already
        return RowSparse(rows.astype(np.int64, copy=False), values)
    order = xp.argsort(rows, kind="stable")
    ordered = rows[order]
    first = xp.ones(len(ordered), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    starts = xp.flatnonzero(first)
    offsets = xp.append(starts, xp.asarray(len(ordered))).astype(np.int64)
    if ragged_c.is_usable(values):
        return RowSparse(ordered[starts].astype(np.int64), ragged_c.segment_sums(values, offsets, order))
    return RowSparse(ordered[starts].astype(np.int64), segment_sum(values[order], offsets))


class Parameter:
    """A trainable array and its gradient.

    value: float32 or float64 array. grad: None after zero_grad(), else an array like value or a RowSparse.
    decay: whether weight decay applies (matrices yes; biases and norm gains no). frozen: None, or of a table with
    row-sparse gradients (V,) booleans: rows that are never updated; no gradient of theirs is kept.
    """

    def __init__(self, value: Floats, decay: bool = True) -> None:
        self.value = value
        self.grad: Gradient | None = None
        self.decay = decay
        self.frozen: Array | None = None

    def accumulate(self, grad: Gradient) -> None:
        """Add a gradient to what earlier backward passes left here."""
        if self.frozen is not None:
            if not isinstance(grad, RowSparse):
                raise ValueError("grad: must be row-sparse where rows are frozen")
            learning = ~self.frozen[grad.rows]
            grad = RowSparse(grad.rows[learning], grad.values[learning])
        if self.grad is None:
            self.grad = grad
        elif isinstance(grad, RowSparse) and isinstance(self.grad, RowSparse):
            xp, former = array_module(grad.values), self.grad
            rows, values = xp.concatenate([former.rows, grad.rows]), xp.concatenate([former.values, grad.values])
            self.grad = sum_rows(rows, values)
        elif isinstance(grad, RowSparse) or isinstance(self.grad, RowSparse):  # a table that is a matrix elsewhere
            self.grad = self.as_dense(self.grad) + self.as_dense(grad)
        else:
            self.grad = self.grad + grad  # a new array: the old one may be shared with whoever handed it over

    def as_dense(self, grad: Gradient) -> Floats:
        """A gradient of this parameter as an array of value's shape."""
        return grad.dense(len(self.value)) if isinstance(grad, RowSparse) else grad

    def dense_grad(self) -> Floats:
        """The gradient as an array of value's shape; zeros where there was none."""
        if self.grad is None:
            zeros: Floats = array_module(self.value).zeros_like(self.value)
            return zeros
        return self.as_dense(self.grad)

    def grad_array(self) -> Floats | None:
        """The stored numbers of the gradient (a RowSparse's values), for norms and scaling; None if there is none."""
        return self.grad.values if isinstance(self.grad, RowSparse) else self.grad

    def __repr__(self) -> str:
        return f"Parameter(shape={self.value.shape}, dtype={self.value.dtype}, decay={self.decay})"


class Constant:
    """An array that a network computes with and does not train, kept in checkpoints beside its parameters."""

    def __init__(self, value: Array) -> None:
        self.value = value


Kind = TypeVar("Kind", Parameter, Constant)


class Layer:
    """Anything with parameters, a forward and a backward.

    Attributes that are Parameters, Constants or Layers are found by name.
    """

    def parameters(self) -> dict[str, Parameter]:
        """The parameters by name, in order of definition; those of an inner layer are called "inner.name"."""
        return self.found(Parameter)

    def state(self) -> dict[str, Parameter | Constant]:
        """Parameters and constants by name: all that a checkpoint keeps."""
        return {**self.parameters(), **self.found(Constant)}

    def found(self, kind: type[Kind]) -> dict[str, Kind]:
        """The Parameters or Constants by name."""
        found: dict[str, Kind] = {}
        for name, part in vars(self).items():
            if isinstance(part, kind):
                found[name] = part
            elif isinstance(part, Layer):
                found.update({f"{name}.{inner}": p for inner, p in part.found(kind).items()})
            elif isinstance(part, (list, tuple)):
                for i, item in enumerate(part):
                    if isinstance(item, Layer):
                        found.update({f"{name}.{i}.{inner}": p for inner, p in item.found(kind).items()})
        return found

    def parameter_count(self) -> int:
        """Number of trainable numbers."""
        return sum(p.value.size for p in self.parameters().values())

    def zero_grad(self) -> None:
        """Forget all parameter gradients."""
        for parameter in self.parameters().values():
            parameter.grad = None

    def to(self: LayerType, device: str) -> LayerType:
        """Move all parameters and constants to "cpu" or "cuda"; returns self."""
        self.zero_grad()
        for array in self.state().values():
            array.value = to_device(array.value, device)
        for parameter in self.parameters().values():
            if parameter.frozen is not None:
                parameter.frozen = to_device(parameter.frozen, device)
        return self


def squared_norm(x: Array) -> Floats:
    """Sum of the squares of an array as a 0-d array of the accumulator dtype (float64 for float32), on its device."""
    xp, total = array_module(x), accumulator_dtype(x.dtype)
    whole: Floats = xp.zeros((), total)
    for rows in row_blocks(x) if x.ndim else [...]:  # a block at a time: its copy in float64 stays in cache
        flat = x[rows].ravel().astype(total, copy=False)
        whole = whole + xp.vdot(flat, flat)
    return whole
