"""Parts of networks: parameters together with the function pairs that use them. No mathematics of their own.

A part computes with the Functions in `functions`: the equations, unless its network was made to use others.
"""

from typing import Any, TypeVar

import numpy as np

from engine.arrays.backend import random_generator, to_device
from engine.arrays.ragged import row_blocks
from engine.implementation import Functions
from engine.layer import Layer, Parameter, RowSparse
from engine.types import Floats1d, Floats2d, Ints1d
from layers.equations import EQUATIONS, with_compositions
from layers.standard.dropout import dropout_mask
from layers.standard.layer_norm import EPSILON
from layers.standard.position_encoding import sinusoids
from layers.wave import Wave


class Part(Layer):
    """A layer that computes with interchangeable functions."""

    functions: Functions = with_compositions(EQUATIONS)

    def use(self, functions: Functions) -> None:
        """Compute with other functions from now on, in all inner parts too."""
        self.functions = functions
        for value in vars(self).values():
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, Part):
                    part.use(functions)


PartType = TypeVar("PartType", bound=Part)


def twin(part: Part, functions: Functions, kind: type[PartType]) -> PartType:
    """A part of the class `kind` with the same parameter values (not copies of them) and other functions.

    Its gradients are its own.
    """
    made = kind.__new__(kind)
    for name, value in vars(part).items():
        setattr(made, name, twin_of(value, functions))
    made.functions = functions
    return made


def twin_of(value: Any, functions: Functions) -> Any:
    if isinstance(value, Part):
        return twin(value, functions, type(value))
    if isinstance(value, list):
        return [twin_of(item, functions) for item in value]
    if isinstance(value, Parameter):
        made = Parameter(value.value, value.decay)
        made.frozen = value.frozen
        return made
    return value


INITIAL_VALUES = 0  # the random stream of the initial parameters


def initial_generator(seed: int | None) -> "np.random.Generator | None":
    """The generator of the initial parameters; None for parameters without values, which are then loaded."""
    return None if seed is None else random_generator(seed, INITIAL_VALUES)


def normal(
    rng: "np.random.Generator | None", shape: tuple[int, int], dtype: Any, scale: float = 1.0, divisor: Any = 1.0
) -> Floats2d:
    """(n, m) numbers of N(0, 1)·scale/divisor, drawn in float64 a block of rows at a time; zeros that take no memory
    and cannot be written to without rng.
    """
    if rng is None:
        return np.broadcast_to(np.zeros((), dtype), shape)
    values = np.empty(shape, dtype)
    for rows in row_blocks(values):
        values[rows] = rng.standard_normal(values[rows].shape) * scale / divisor
    return values


class Embedding(Part):
    """A table of V rows of d numbers drawn from N(0, scale²). The row of padding does not exist: nothing is padded."""

    def __init__(self, rows: int, dimension: int, rng: Any, dtype: Any = np.float32, scale: float = 1.0):
        self.table = Parameter(normal(rng, (rows, dimension), dtype, scale))

    def forward(self, ids: Ints1d) -> tuple[Floats2d, Any]:
        y, cache = self.functions.embedding_forward(ids, self.table.value)
        return y, cache

    def backward(self, dy: Floats2d, cache: Any) -> None:
        self.table.accumulate(self.functions.embedding_backward(dy, cache))


class Linear(Part):
    """y = x·W + b with W: (m, h) drawn from N(0, 1/m), so that y has the scale of x, and b = 0 (or none)."""

    def __init__(self, inputs: int, outputs: int, rng: Any, dtype: Any = np.float32, bias: bool = True):
        self.weight = Parameter(normal(rng, (inputs, outputs), dtype, divisor=np.sqrt(inputs)))
        self.bias = Parameter(np.zeros(outputs, dtype), decay=False) if bias else None

    def values(self) -> tuple[Floats2d, Floats1d | None]:
        """W and b."""
        return self.weight.value, None if self.bias is None else self.bias.value

    def forward(self, x: Floats2d, fuse_bias: bool = False) -> tuple[Floats2d, Any]:
        """fuse_bias: leave b to the function that takes y."""
        weight, bias = self.values()
        y, cache = self.functions.linear_forward(x, weight, None if fuse_bias else bias)
        return y, cache

    def backward(self, dy: Floats2d, cache: Any, accumulate: Floats2d | None = None) -> Floats2d:
        """accumulate: another share of the gradient of x, added to it."""
        more = () if accumulate is None else (accumulate,)
        dx: Floats2d
        dx, dweight, dbias = self.functions.linear_backward(dy, cache, *more)
        self.accumulate(dweight, dbias)
        return dx

    def accumulate(self, dweight: Floats2d, dbias: Floats1d) -> None:
        """Add to the gradients of the parameters."""
        self.weight.accumulate(dweight)
        if self.bias is not None:
            self.bias.accumulate(dbias)

    def wave_forward(self, z: Wave) -> tuple[Wave, Any]:
        """z·W + b of a wave, with real W and b: z.re·W + b and z.im·W."""
        weight, bias = self.values()
        re, of_re = self.functions.linear_forward(z.re, weight, bias)
        im, of_im = self.functions.linear_forward(z.im, weight)
        return Wave(re, im), Wave(of_re, of_im)

    def wave_backward(self, dy: Wave, cache: Any) -> Wave:
        """dy: Wave of (T, h) → dz: Wave of (T, m)."""
        dre, dweight, dbias = self.functions.linear_backward(dy.re, cache[0])
        dim, dweight_of_im, _ = self.functions.linear_backward(dy.im, cache[1])
        self.accumulate(dweight + dweight_of_im, dbias)
        return Wave(dre, dim)


class PositionEncoding(Part):
    """x = w + p of the place of each token: sinusoids, or a table of parameters drawn from N(0, scale²)."""

    def __init__(self, kind: str, positions: int, dimension: int, scale: float, rng: Any, dtype: Any = np.float32):
        self.table: Parameter | None = None
        self.constant: Floats2d | None = None
        if kind == "learned":
            self.table = Parameter(normal(rng, (positions, dimension), dtype, scale))
        else:
            self.constant = sinusoids(positions, dimension, scale).astype(dtype)

    def values(self, like: Floats2d) -> Floats2d:
        """p: (positions, d), where `like` is and in its dtype."""
        if self.table is not None:
            return self.table.value
        assert self.constant is not None
        self.constant = to_device(self.constant, "cpu" if isinstance(like, np.ndarray) else "cuda")  # moves once
        table: Floats2d = self.constant.astype(like.dtype, copy=False)
        return table

    def forward(self, w: Floats2d, places: Ints1d) -> tuple[Floats2d, Any]:
        """w: (T, d), places: (T,) → x: (T, d), and the cache."""
        x, cache = self.functions.position_encoding_forward(w, places, self.values(w))
        return x, cache

    def backward(self, dx: Floats2d, cache: Any) -> Floats2d:
        """dx: (T, d) → dw: (T, d)."""
        dw: Floats2d
        dw, dtable = self.functions.position_encoding_backward(dx, cache)
        self.accumulate(dtable)
        return dw

    def accumulate(self, dtable: RowSparse) -> None:
        """Add to the gradient of the table, where that is one of parameters: dense, since most places occur."""
        if self.table is not None:
            self.table.accumulate(dtable.dense(len(self.table.value)))


class LayerNorm(Part):
    """Layer norm over d features, with gain 1 and bias 0 at the start."""

    def __init__(self, dimension: int, dtype: Any = np.float32, epsilon: float = EPSILON):
        self.epsilon = epsilon
        self.gain = Parameter(np.ones(dimension, dtype), decay=False)
        self.bias = Parameter(np.zeros(dimension, dtype), decay=False)

    def forward(
        self,
        x: Floats2d,
        residual: Floats2d | None = None,
        x_rows: Ints1d | None = None,
        residual_rows: Ints1d | None = None,
    ) -> tuple[Floats2d, Any]:
        """The layer norm of x, or of x + residual; *_rows: see layer_norm_sum in layers/equations.py."""
        rows, gain, bias = (x_rows, residual_rows), self.gain.value, self.bias.value
        y, cache = self.functions.layer_norm_sum_forward(x, gain, bias, self.epsilon, residual, *rows)
        return y, cache

    def backward(self, dy: Floats2d, cache: Any) -> Floats2d:
        """The gradient of each row that was normalised: of a sum that of both of its parts."""
        dx: Floats2d
        dx, dgain, dbias = self.functions.layer_norm_sum_backward(dy, cache)
        self.gain.accumulate(dgain)
        self.bias.accumulate(dbias)
        return dx


class FeedForward(Part):
    """z = dropout(act(x·U₁ + c₁))·U₂ + c₂. x, z: (T, d); U₁: (d, hidden), U₂: (hidden, d)."""

    def __init__(self, dimension: int, hidden: int, activation: str, dropout: float, rng: Any, dtype: Any = np.float32):
        self.expand = Linear(dimension, hidden, rng, dtype)
        self.contract = Linear(hidden, dimension, rng, dtype)
        self.activation, self.dropout = activation, dropout

    def forward(self, x: Floats2d, rng: Any = None) -> tuple[Floats2d, Any]:
        """x: (T, d); rng: dropout's generator, None to predict → z: (T, d), and the cache."""
        mask = dropout_mask(x, (len(x), self.expand.weight.value.shape[1]), self.dropout, rng)
        weights = (*self.expand.values(), *self.contract.values())
        z, cache = self.functions.feed_forward_forward(x, *weights, self.activation, mask)
        return z, cache

    def backward(self, dz: Floats2d, cache: Any) -> Floats2d:
        """dz: (T, d) → dx: (T, d)."""
        dx: Floats2d
        dx, dexpand, dexpand_bias, dcontract, dcontract_bias = self.functions.feed_forward_backward(dz, cache)
        self.expand.accumulate(dexpand, dexpand_bias)
        self.contract.accumulate(dcontract, dcontract_bias)
        return dx
