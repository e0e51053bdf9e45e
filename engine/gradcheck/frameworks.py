"""Adapters for functions of PyTorch, JAX and CuPy: NumPy arrays go in and come out."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .adapters import Pair, Variable, map_leaves
from .arrays import Backward, Cache, Forward, Tree, is_float_array, leaves, why_no_cuda
from .forms import which_inputs


def imported(name: str, adapter: str) -> Any:
    """Import a library that an adapter needs. Raises ImportError with one line that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{adapter}: {name} cannot be imported ({error}), try: pip install {name}") from None


class Graph:
    """The results of one forward that autograd needs, as one object, into which the check does not look."""

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

    def tracked(x: Any) -> Any:
        return tensor(x).requires_grad_() if is_float_array(x) else tensor_or_other(x)

    def run(arguments: Sequence[Any], values: dict[str, Any]) -> Any:
        with torch.random.fork_rng([device] if device.startswith("cuda") else []):
            torch.manual_seed(0)
            if not is_module:
                return function(*arguments)
            buffers = {name: buffer.clone() for name, buffer in function.named_buffers()}
            return torch.func.functional_call(function, {**buffers, **values}, tuple(arguments))

    def forward(*inputs: Any) -> tuple[Tree, Cache]:
        moving = which_inputs(inputs, wrt)
        sources = [map_leaves(tracked if i in moving else tensor_or_other, x) for i, x in enumerate(inputs)]
        values = {name: tracked(variable.value) for name, variable in variables.items()}
        # A function may change its arguments in place, but no leaf of the graph: so it gets copies of those.
        arguments = [map_leaves(lambda x: x.clone() if torch.is_tensor(x) else x, source) for source in sources]
        with torch.enable_grad():
            y = run(arguments, values)
        return map_leaves(tensor_to_numpy, y), Graph(y, [sources[i] for i in moving], values)

    def backward(dy: Tree, graph: Graph) -> Tree:
        cotangents = dict(leaves(dy, ""))
        named = [(name, y) for name, y in leaves(graph.y, "") if torch.is_tensor(y) and y.requires_grad]
        pairs = [(y, tensor(cotangents[name])) for name, y in named]
        sources = [leaf for _, leaf in leaves(graph.sources, "") if requires_grad(leaf)] + [*graph.values.values()]
        found: Sequence[Any] = [None] * len(sources)
        if pairs:
            outputs, weights = zip(*pairs)
            found = torch.autograd.grad(outputs, sources, weights, retain_graph=True, allow_unused=True)
        arrays = iter([tensor_to_numpy(torch.zeros_like(x) if g is None else g) for x, g in zip(sources, found)])
        gradients = tuple(map_leaves(lambda x: next(arrays) if requires_grad(x) else None, s) for s in graph.sources)
        for name, gradient in zip(graph.values, arrays):
            variables[name].grad = gradient
        return gradients

    def dual(x: Any, tangent: Any) -> Any:
        return x if tangent is None else torch.autograd.forward_ad.make_dual(x, tensor(tangent))

    def tangent_of(y: Any) -> Any:
        if float_or_none(tensor_to_numpy(y)) is None:
            return None
        dy = torch.autograd.forward_ad.unpack_dual(y).tangent
        return np.zeros_like(tensor_to_numpy(y)) if dy is None else tensor_to_numpy(dy)

    def jvp(inputs: Sequence[Any], tangents: Sequence[Any]) -> tuple[Tree, Tree]:
        values = {name: tensor(variable.value) for name, variable in variables.items()}
        arguments = [map_leaves(tensor_or_other, x) for x in inputs]
        with torch.autograd.forward_ad.dual_level():
            for i in which_inputs(inputs, wrt):
                arguments[i] = map_leaves(dual, arguments[i], tangents[i])
            y = run(arguments, values)
            return map_leaves(lambda x: float_or_none(tensor_to_numpy(x)), y), map_leaves(tangent_of, y)

    return Pair(forward, backward, variables, jvp)


def called(function: Any, torch: Any) -> Any:
    """Return what is called with the tensors. Raises ValueError for what is no function."""
    is_class = isinstance(function, type)
    if is_class and issubclass(function, torch.autograd.Function):
        return function.apply
    if is_class or not callable(function):
        what = f"the class {function.__name__}" if is_class else type(function).__name__
        raise ValueError(f"from_torch: expected a subclass of Function, a module or a function, got {what}")
    return function


def tensor_to_numpy(x: Any) -> Any:
    """Return a tensor as a NumPy array of its own; anything else as it is."""
    return x.detach().cpu().resolve_conj().resolve_neg().numpy().copy() if hasattr(x, "detach") else x


def requires_grad(x: Any) -> bool:
    """Tell whether x is a tensor that has a gradient."""
    return bool(getattr(x, "requires_grad", False))


def conj_or_none(x: Any) -> Any:
    """Return the conjugate of an array of floats; None for JAX's float0, the gradient of integers."""
    return np.conj(x) if is_float_array(x) else None


def float_or_none(x: Any) -> Any:
    """Return x if it is an array of floats; None, which stands for the tangent of anything else, if not."""
    return x if is_float_array(x) else None


def from_jax(function: Callable[..., Any], *, wrt: Sequence[int] | None = None) -> Pair:
    """Return the pair of a differentiable function of JAX, with a custom_vjp for example.

    Arrays become those of JAX, anything else is passed on. y comes from the function, the gradient from jax.vjp and the
    pair's jvp from jax.jvp. wrt: as given to the check.

    Raises ImportError without JAX, ValueError for what is no function; the pair raises ValueError where JAX turns
    float64 into float32.
    """
    jax = imported("jax", "from_jax")
    if not callable(function):
        raise ValueError(f"from_jax: expected a function, got {type(function).__name__}")

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
        moving = which_inputs(inputs, wrt)
        arguments = [map_leaves(array_or_other, x) for x in inputs]

        def of_moving(*values: Any) -> Any:
            at = dict(zip(moving, values))
            return function(*(at.get(i, x) for i, x in enumerate(arguments)))

        return moving, [arguments[i] for i in moving], of_moving

    def forward(*inputs: Any) -> tuple[Tree, Cache]:
        return map_leaves(np.array, function(*(map_leaves(array_or_other, x) for x in inputs))), inputs

    def tangent_like(x: Any, tangent: Any) -> Any:
        return np.zeros(np.shape(x), jax.dtypes.float0) if tangent is None else array(tangent)

    def cotangent(y: Any, d: Any) -> Any:
        # JAX pulls back by the transpose, where the gradient of a real loss needs the conjugate of it.
        return array(np.asarray(np.conj(d))) if y.dtype.kind in "fc" else np.zeros(y.shape, jax.dtypes.float0)

    def backward(dy: Tree, inputs: Sequence[Any]) -> Tree:
        _, values, of_moving = split(inputs)
        y, vjp = jax.vjp(of_moving, *values)
        return map_leaves(lambda gradient: conj_or_none(np.array(gradient)), vjp(map_leaves(cotangent, y, dy)))

    def jvp(inputs: Sequence[Any], tangents: Sequence[Any]) -> tuple[Tree, ...]:
        moving, values, of_moving = split(inputs)
        along = tuple(map_leaves(tangent_like, x, tangents[i]) for i, x in zip(moving, values))
        found = jax.jvp(of_moving, tuple(values), along)
        return tuple(map_leaves(lambda x: float_or_none(np.array(x)), tree) for tree in found)  # (y, tangent)

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
