"""Adapters: what check_gradients takes, from gradients that are written in another form.

    report = check_gradients(*from_objective(fun, jac), (x,))

Here are those that need NumPy alone; frameworks.py has those for PyTorch, JAX and CuPy. Functions in the style of
CS231n (`out, cache = affine_forward(x, w, b)`, `dx, dw, db = affine_backward(dout, cache)`) need none: that is the form
of check_gradients.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .arrays import Array, Backward, Cache, Forward, Parameter, Tree, is_float_array, leaves, rebuild

PARAMETERS = ("parameters", "params")  # where a layer keeps its parameters …
GRADIENTS = ("gradients", "grads")  # … and their gradients


@dataclass
class Variable:
    """A trainable array that an adapter moves: an own copy, so that the user's object stays as it is."""

    value: Any
    grad: Any = None

    def dense_grad(self) -> Array:
        """Return the gradient; zeros where there is none."""
        gradient: Array = np.zeros_like(self.value) if self.grad is None else self.grad
        return gradient

    def grad_array(self) -> Array | None:
        """Return the stored gradient, None where there is none."""
        gradient: Array | None = self.grad
        return gradient


@dataclass(frozen=True)
class Pair:
    """A function pair as check_gradients takes it: check_gradients(*pair, inputs, parameters=pair.parameters).

    parameters: by name, empty where there are none. jvp: for check_jvp(pair.forward, pair.jvp, inputs), where the
    adapted function has a forward mode.
    """

    forward: Forward
    backward: Backward
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    jvp: Callable[[Any, Any], Any] | None = None

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter((self.forward, self.backward))


def map_leaves(change: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Return the tree with `change` applied to every leaf and what other trees have in its place, or None."""
    parts = [dict(leaves(other, "")) for other in others]
    return rebuild(tree, (change(leaf, *(part.get(name) for part in parts)) for name, leaf in leaves(tree, "")))


def from_loss(function: Callable[..., Any], *, args: Sequence[Any] = ()) -> Pair:
    """Return the pair of a loss that returns its gradient as well: loss, gradient = function(w, *args).

    Inputs of the check: (w,). Raises ValueError where the function returns anything else.
    """
    return from_objective(function, True, args=args)


def from_objective(fun: Callable[..., Any], jac: Callable[..., Any] | bool, *, args: Sequence[Any] = ()) -> Pair:
    """Return the pair of a function of scipy.optimize and its derivative.

    fun, jac: fun(x, *args) returns a number, or an array (m,) as for least_squares and root; jac(x, *args) the gradient
    in the shape of x, or the Jacobian (m, n), dense or sparse. jac=True: fun returns both. args: further arguments,
    which are not differentiated. Inputs of the check: (x,).

    The Hessian is the Jacobian of the gradient: from_objective(jac, hess). Raises ValueError for a jac that is neither,
    and for a Jacobian of another shape.
    """
    if jac is not True and not callable(jac):
        raise ValueError(f"jac: expected a function, or True where fun returns both, got {jac!r}")

    def both(x: Array) -> tuple[Any, Any]:
        if callable(jac):
            return fun(x, *args), jac(x, *args)
        returned = fun(x, *args)
        if not isinstance(returned, (tuple, list)) or len(returned) != 2:
            raise ValueError(f"fun: expected (value, gradient), got {described(returned)}")
        return returned[0], returned[1]

    def forward(x: Array) -> tuple[Array, Cache]:
        return np.asarray(fun(x, *args) if callable(jac) else both(x)[0]), x

    def backward(dy: Array, x: Array) -> Any:
        y, derivative = both(x)
        if not hasattr(derivative, "shape"):
            derivative = np.asarray(derivative)
        if np.size(y) == 1 and derivative.shape == x.shape:
            return dy.item() * derivative
        if derivative.shape != (np.size(y), x.size):
            expected = f"{x.shape} or {(1, x.size)}" if np.size(y) == 1 else f"{(np.size(y), x.size)}"
            raise ValueError(f"jac: expected an array of shape {expected}, got {derivative.shape}")
        return np.asarray(derivative.T @ dy.ravel()).reshape(x.shape)

    return Pair(forward, backward)


def described(x: Any) -> str:
    """Return in words what a function returned."""
    return f"{len(x)} results" if isinstance(x, (tuple, list)) else f"one {type(x).__name__}"


def from_layer(layer: Any, *, gradients: Mapping[str, str] | None = None) -> Pair:
    """Return the pair of a layer that keeps its state in itself: y = layer.forward(x), dx = layer.backward(dy).

    Parameters are found in layer.parameters or layer.params, their gradients in layer.gradients or layer.grads: dicts
    or lists of arrays, nested or not, or methods that return such. gradients: instead of these {attribute of a
    parameter: attribute of its gradient}, such as {"W": "dW"}; {} for none. Results may also be left in layer.output
    and layer.dinputs.

    Every call runs on a copy of the layer, with NumPy's global random numbers from the same state; the layer itself
    stays as it is. Raises ValueError for what is no such layer, for parameters that the layer has not made yet, and for
    gradients that nothing would check.
    """
    for name in ("forward", "backward"):
        if not callable(getattr(layer, name, None)):
            raise ValueError(f"layer: expected an object with forward(x) and backward(dy), got one without {name}")
    variables = {name: Variable(array.copy()) for name, array in layer_parameters(layer, gradients).items()}

    def moved_copy() -> Any:
        """Return a copy of the layer in which the variables' values stand wherever the layer refers to a parameter."""
        now = layer_parameters(layer, gradients)
        moved = copy.deepcopy(layer, {id(now[name]): variable.value for name, variable in variables.items()})
        if hasattr(moved, "flush_gradients"):  # else what numpy-ml keeps of earlier calls would count as well
            moved.flush_gradients()
        return moved

    def forward(*inputs: Any) -> tuple[Tree, Cache]:
        used = moved_copy()
        with fixed_random_numbers():
            y = used.forward(*inputs)
        return (used.output if y is None and hasattr(used, "output") else y), Kept(used)

    def backward(dy: Tree, kept: Kept) -> Tree:
        old = [(variables[n], g) for n, g in layer_gradients(kept.layer, gradients).items() if n in variables]
        used = copy.deepcopy(kept.layer, {id(g): np.zeros_like(g, dtype=variable.value.dtype) for variable, g in old})
        with fixed_random_numbers():
            dx = used.backward(dy)
        found = layer_gradients(used, gradients)
        if gradients is None:
            refuse_unchecked(used, variables)
        for name, variable in variables.items():
            variable.grad = found.get(name)
        return used.dinputs if dx is None and hasattr(used, "dinputs") else dx

    return Pair(forward, backward, variables)


@dataclass(frozen=True)
class Kept:
    """A layer after its forward: one object to the check, which looks into no part of it."""

    layer: Any


@contextlib.contextmanager
def fixed_random_numbers() -> Iterator[None]:
    """Let NumPy's global random numbers start anew, and go on afterwards as if none had been drawn."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)


def layer_parameters(layer: Any, gradients: Mapping[str, str] | None) -> dict[str, Array]:
    """Return the parameters of a layer by name."""
    if gradients is not None:
        missing = [name for name in gradients if not is_float_array(getattr(layer, name, None))]
        if missing:
            raise ValueError(f"gradients: layer.{missing[0]} is no float array")
        return {name: getattr(layer, name) for name in gradients}
    found: dict[str, Any] = dict(named_leaves(attribute(layer, PARAMETERS)))
    unset = [name for name, value in found.items() if value is None]
    if unset:
        raise ValueError(f"layer: its parameters {', '.join(unset)} are None: call layer.forward once, to set them")
    return {name: value for name, value in found.items() if is_float_array(value)}


def layer_gradients(layer: Any, gradients: Mapping[str, str] | None) -> dict[str, Array]:
    """Return the gradients that a layer holds at present, by the names of their parameters."""
    found: dict[str, Any] = dict(named_leaves(attribute(layer, GRADIENTS)))
    if gradients is not None:
        found = {name: getattr(layer, gradient, None) for name, gradient in gradients.items()}
    return {name: gradient for name, gradient in found.items() if is_float_array(gradient)}


def attribute(layer: Any, names: Sequence[str]) -> Any:
    """Return the first attribute of these names, or what it returns if it is a method; {} if there is none."""
    found: Any = next((getattr(layer, name) for name in names if hasattr(layer, name)), None)
    found = found() if callable(found) else found
    return {} if found is None else found


def named_leaves(container: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (name, leaf) of nested dicts and lists: "W", "cell.W", "0". A single leaf counts as a list of one."""
    if not isinstance(container, (Mapping, list, tuple)):
        container = [container]
    for key, value in container.items() if isinstance(container, Mapping) else enumerate(container):
        if isinstance(value, (Mapping, list, tuple)):
            yield from named_leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def refuse_unchecked(layer: Any, checked: Mapping[str, Variable]) -> None:
    """Raise ValueError where a layer after its backward keeps gradients that nobody told of, or none at all."""
    if checked and not any(hasattr(layer, name) for name in GRADIENTS):
        raise ValueError("layer: it has parameters, but neither layer.gradients nor layer.grads: give gradients={…}")
    own = getattr(layer, "__dict__", {})
    found = {name: f"d{name}" for name in own if is_float_array(own[name]) and is_float_array(own.get(f"d{name}"))}
    if found and not checked:
        raise ValueError(f"layer: nothing would check its gradients: give gradients={found}, or {{}} to leave them out")
