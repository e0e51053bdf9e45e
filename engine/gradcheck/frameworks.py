"""Adapters for functions of PyTorch, JAX and CuPy: NumPy arrays go in and come out."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .adapters import Pair, Variable, map_leaves
from .arrays import Backward, Cache, Forward, Tree, is_differentiable, leaves, why_no_cuda


def imported(name: str, adapter: str) -> Any:
    """Import a library that an adapter needs. Raises ImportError with one line that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{adapter}: {name} cannot be imported ({error}), try: pip install {name}") from None


def differentiated(inputs: Sequence[Any], wrt: Sequence[int] | None) -> list[int]:
    """Return the indices of the inputs that have a gradient, as the check sees them."""
    return list(wrt) if wrt is not None else [i for i, x in enumerate(inputs) if is_differentiable(x, f"input {i}")]


class Graph:
    """What autograd needs of one forward, as one object to the check, which looks into no part of it."""

    def __init__(self, y: Tree, sources: list[Tree], values: dict[str, Any]) -> None:
        self.y, self.sources, self.values = y, sources, values

    def __deepcopy__(self, memo: Any) -> "Graph":
        return self  # tensors of a graph cannot be copied


def from_torch(function: Any, *, wrt: Sequence[int] | None = None, device: str = "cpu") -> Pair:
    """Return the pair of a torch.autograd.Function (the class), of a module, or of a function of tensors.

    Arrays become tensors on the device, anything else is passed on. The gradient is that of autograd; the pair's jvp is
    that of torch.autograd.forward_ad. wrt: as given to the check. Parameters of a module that require a gradient are
    the pair's parameters; the module itself, its buffers included, stays as it is. Dropout draws the same mask at every
    call. Inputs of type float64 need module.double().

    Raises ImportError without PyTorch, ValueError for what is no function.
    """
    torch = imported("torch", "from_torch")
    function = called(function, torch)
    is_module = isinstance(function, torch.nn.Module)
    trained = [(n, p) for n, p in function.named_parameters() if p.requires_grad] if is_module else []
    variables = {name: Variable(tensor_to_numpy(parameter)) for name, parameter in trained}

    def tensor(x: Any) -> Any:
        return torch.tensor(np.asarray(x), device=device)

    def tensor_or_other(x: Any) -> Any:
        return tensor(x) if isinstance(x, np.ndarray) else x

    def run(arguments: Sequence[Any], values: dict[str, Any]) -> Any:
        with torch.random.fork_rng([device] if device.startswith("cuda") else []):
            torch.manual_seed(0)
            if not is_module:
                return function(*arguments)
            buffers = {name: buffer.clone() for name, buffer in function.named_buffers()}
            return torch.func.functional_call(function, {**buffers, **values}, tuple(arguments))

    def forward(*inputs: Any) -> tuple[Tree, Cache]:
        moving = differentiated(inputs, wrt)
        sources = {i: map_leaves(lambda x: tensor(x).requires_grad_(), inputs[i]) for i in moving}
        values = {name: tensor(variable.value).requires_grad_() for name, variable in variables.items()}
        # A function may change its arguments in place, but no leaf of the graph: so it gets copies of those.
        arguments = [
            map_leaves(torch.clone, sources[i]) if i in sources else map_leaves(tensor_or_other, x)
            for i, x in enumerate(inputs)
        ]
        with torch.enable_grad():
            y = run(arguments, values)
        return map_leaves(tensor_to_numpy, y), Graph(y, [sources[i] for i in moving], values)

    def backward(dy: Tree, graph: Graph) -> Tree:
        pairs = [(y, d) for (_, y), (_, d) in zip(leaves(graph.y, ""), leaves(dy, ""))]
        pairs = [(y, tensor(d)) for y, d in pairs if torch.is_tensor(y) and y.requires_grad]
        sources = [leaf for _, leaf in leaves(graph.sources, "")] + list(graph.values.values())
        found: Sequence[Any] = [None] * len(sources)
        if pairs:
            outputs, cotangents = zip(*pairs)
            found = torch.autograd.grad(outputs, sources, cotangents, retain_graph=True, allow_unused=True)
        arrays = iter([tensor_to_numpy(torch.zeros_like(x) if g is None else g) for x, g in zip(sources, found)])
        gradients = tuple(map_leaves(lambda _: next(arrays), x) for x in graph.sources)
        for name, gradient in zip(graph.values, arrays):
            variables[name].grad = gradient
        return gradients

    def tangent_of(y: Any) -> Any:
        dy = torch.autograd.forward_ad.unpack_dual(y).tangent if torch.is_tensor(y) else None
        return np.zeros_like(tensor_to_numpy(y)) if dy is None else tensor_to_numpy(dy)

    def jvp(inputs: Sequence[Any], tangents: Sequence[Any]) -> tuple[Tree, Tree]:
        forward_ad = torch.autograd.forward_ad
        values = {name: tensor(variable.value) for name, variable in variables.items()}
        arguments = [map_leaves(tensor_or_other, x) for x in inputs]
        with forward_ad.dual_level():
            for i in differentiated(inputs, wrt):
                arguments[i] = map_leaves(lambda x, t: forward_ad.make_dual(x, tensor(t)), arguments[i], tangents[i])
            y = run(arguments, values)
            return map_leaves(tensor_to_numpy, y), map_leaves(tangent_of, y)

    return Pair(forward, backward, variables, jvp)


def called(function: Any, torch: Any) -> Any:
    """Return what is called with the tensors. Raises ValueError for what is no function."""
    if isinstance(function, type) and issubclass(function, torch.autograd.Function):
        return getattr(function, "apply")  # noqa: B009
    if isinstance(function, type) or not callable(function):
        kind = f"the class {function.__name__}" if isinstance(function, type) else f"a {type(function).__name__}"
        raise ValueError(f"from_torch: expected a subclass of Function, a module or a function, got {kind}")
    return function


def tensor_to_numpy(x: Any) -> Any:
    """Return a tensor as a NumPy array of its own; anything else as it is."""
    return x.detach().cpu().resolve_conj().resolve_neg().numpy().copy() if hasattr(x, "detach") else x


def from_jax(function: Callable[..., Any], *, wrt: Sequence[int] | None = None) -> Pair:
    """Return the pair of a differentiable function of JAX, with a custom_vjp for example.

    Arrays become those of JAX, anything else is passed on. y comes from the function, the gradient from jax.vjp and the
    pair's jvp from jax.jvp. wrt: as given to the check.

    Raises ImportError without JAX, ValueError for what is no function; the pair raises ValueError where JAX turns
    float64 into float32.
    """
    jax = imported("jax", "from_jax")
    if not callable(function):
        raise ValueError(f"from_jax: expected a function, got a {type(function).__name__}")

    def array(x: Any) -> Any:
        moved = jax.numpy.asarray(x)
        if moved.dtype != x.dtype and x.dtype.kind in "fc":
            wanted = 'jax.config.update("jax_enable_x64", True)'
            raise ValueError(f"from_jax: JAX makes {moved.dtype} of {x.dtype}: call {wanted} before the check")
        return moved

    def array_or_other(x: Any) -> Any:
        return array(x) if isinstance(x, np.ndarray) else x

    def split(inputs: Sequence[Any]) -> tuple[list[int], list[Any], Callable[..., Any]]:
        """Return (moving, their arrays, the function of these alone)."""
        moving = differentiated(inputs, wrt)
        arguments = [map_leaves(array_or_other, x) for x in inputs]

        def of_moving(*values: Any) -> Any:
            at = dict(zip(moving, values))
            return function(*(at.get(i, x) for i, x in enumerate(arguments)))

        return moving, [arguments[i] for i in moving], of_moving

    def forward(*inputs: Any) -> tuple[Tree, Cache]:
        return map_leaves(np.array, function(*(map_leaves(array_or_other, x) for x in inputs))), inputs

    def cotangent(y: Any, d: Any) -> Any:
        # JAX pulls back by the transpose, where the gradient of a real loss needs the conjugate of it.
        return array(np.asarray(np.conj(d))) if y.dtype.kind in "fc" else np.zeros(y.shape, jax.dtypes.float0)

    def backward(dy: Tree, inputs: Sequence[Any]) -> Tree:
        _, values, of_moving = split(inputs)
        y, vjp = jax.vjp(of_moving, *values)
        return map_leaves(lambda gradient: np.conj(np.array(gradient)), vjp(map_leaves(cotangent, y, dy)))

    def jvp(inputs: Sequence[Any], tangents: Sequence[Any]) -> tuple[Tree, Tree]:
        moving, values, of_moving = split(inputs)
        y, dy = jax.jvp(of_moving, tuple(values), tuple(map_leaves(array, tangents[i]) for i in moving))
        return map_leaves(np.array, y), map_leaves(np.array, dy)

    return Pair(forward, backward, jvp=jvp)


def from_cupy(forward: Forward, backward: Backward, *, real_only: bool = True) -> Pair:
    """Return a pair that moves NumPy arrays to the GPU, calls a pair of functions of CuPy arrays, and brings back.

    forward, backward: of CuPy arrays in C order, in the form of check_gradients; where a RawKernel does the work, they
    allocate its result and launch it. The cache stays on the device. real_only: refuse complex arrays, of which a
    RawKernel for real numbers would read the bytes as such: slopes then come from differences. False: forward takes
    complex arrays as well, so that complex step can be used.

    Raises ImportError without CuPy, ValueError without a usable GPU; forward raises TypeError for a complex array that
    is refused.
    """
    cupy = imported("cupy", "from_cupy")
    if reason := why_no_cuda():
        raise ValueError(f"from_cupy: {reason}; without one, emulate the kernels or check on another machine")

    def to_gpu(x: Any) -> Any:
        if not isinstance(x, np.ndarray):
            return x
        if real_only and x.dtype.kind == "c":
            raise TypeError("from_cupy: a complex array: give real_only=False if the functions take such")
        return cupy.asarray(np.asarray(x, order="C"))

    def to_host(x: Any) -> Any:
        return x.get() if isinstance(x, cupy.ndarray) else x

    def forward_from_host(*inputs: Any) -> tuple[Tree, Cache]:
        y, cache = forward(*(map_leaves(to_gpu, x) for x in inputs))
        return map_leaves(to_host, y), cache

    def backward_from_host(dy: Tree, cache: Cache) -> Tree:
        return map_leaves(to_host, backward(map_leaves(to_gpu, dy), cache))

    return Pair(forward_from_host, backward_from_host)
