"""Types of what is checked: arrays, trees of arrays, function pairs; the contract of parameters, layers and networks.

Arrays are NumPy's or CuPy's; their shapes stand in the docstrings.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Vector: TypeAlias = npt.NDArray[np.float64]  # on the host, one axis
Tree: TypeAlias = Any  # an array or a number, or a tuple, NamedTuple or list of trees
Cache: TypeAlias = Any  # whatever forward hands to backward
Direction: TypeAlias = list[Array]  # a host array for each block of a Point

Forward: TypeAlias = Callable[..., tuple[Tree, Cache]]
Backward: TypeAlias = Callable[[Tree, Cache], Tree]


class Parameter(Protocol):
    """A trainable array with its gradient. grad: None before a backward pass, then whatever it accumulates."""

    value: Any
    grad: Any

    def dense_grad(self) -> Array:
        """The gradient as an array like value; zeros where there is none."""

    def grad_array(self) -> Array | None:
        """The stored numbers of the gradient, which may be fewer than those of value; None where there is none."""


class Layer(Protocol):
    """A function pair with parameters; backward adds to their gradients."""

    @property
    def forward(self) -> Forward: ...

    @property
    def backward(self) -> Backward: ...

    def parameters(self) -> Mapping[str, Parameter]: ...


class Network(Protocol):
    """loss, cache = loss_forward(batch, train=…, rng=…); loss_backward(cache, dloss) adds to all gradients."""

    @property
    def loss_forward(self) -> Forward: ...

    @property
    def loss_backward(self) -> Callable[[Cache, Any], None]: ...

    def parameters(self) -> Mapping[str, Parameter]: ...
