"""Types, devices, random streams and trees of arrays: all that this package needs beside NumPy.

Arguments and results are trees: an array, or a tuple, NamedTuple or list of trees. Every leaf has a readable name.
Arrays are NumPy's or CuPy's; their shapes stand in the docstrings. A complex array counts as the pair of its real and
imaginary parts, so that all inner products and norms are those of real vectors: Re(conj(a)·b) = Re a·Re b + Im a·Im b.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
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


def array_module(*arrays: Any) -> Any:
    """Return the module (numpy or cupy) that owns these arrays; anything that is no array is ignored.

    Raises ValueError when NumPy and CuPy arrays are mixed.
    """
    cupy: ModuleType | None = sys.modules.get("cupy")
    if cupy is None or not any(isinstance(a, cupy.ndarray) for a in arrays):
        return np
    if any(isinstance(a, np.ndarray) for a in arrays):
        raise ValueError("arrays of NumPy and of CuPy in one call: move them to one device first")
    return cupy


def why_no_cuda() -> str | None:
    """Return None when a CUDA device can be used, otherwise the reason in a few words (never an exception)."""
    try:
        import cupy

        cupy.zeros(1).sum().item()  # the import succeeds without a driver; only touching the device tells
    except Exception as error:  # a broken CUDA installation can fail in any way
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            return "CuPy is not installed"
        return f"no CUDA device is usable ({(str(error).splitlines() or [type(error).__name__])[0]})"
    return None


def to_device(x: Any, device: str) -> Any:
    """Return the array on "cpu" (NumPy) or "cuda" (CuPy); the same object when it is already there."""
    if device == "cpu":
        return to_host_array(x)
    import cupy

    return cupy.asarray(x)


def to_host_array(x: Any) -> Array:
    """Return an array, NumPy scalar or Python number as a NumPy array."""
    if isinstance(x, np.ndarray):
        return x
    host: Array = np.asarray(x) if isinstance(x, (np.generic, float, complex, int)) else x.get()
    return host


def random_generator(seed: int, *stream: int) -> np.random.Generator:
    """Return a generator that depends on nothing but `seed` and the integers of `stream`."""
    return np.random.default_rng([seed, *stream])


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {value!r}")


FLOATS = tuple(map(np.dtype, ("float64", "complex128", "float32", "complex64", "float16")))


def leaves(tree: Tree, name: str) -> list[tuple[str, Any]]:
    """Return [(name, leaf)]: "input 1" for a leaf, "input 1.re" in a NamedTuple, "input 1[0]" in a tuple."""
    if not isinstance(tree, (tuple, list)):
        return [(name, tree)]
    fields = getattr(tree, "_fields", None)
    names = [f"{name}.{f}" for f in fields] if fields else [f"{name}[{i}]" for i in range(len(tree))]
    return [leaf for part, part_name in zip(tree, names) for leaf in leaves(part, part_name)]


def rebuild(tree: Tree, values: Iterator[Any]) -> Tree:
    """Return a tree of the same form whose leaves are taken from `values`, in the order of leaves()."""
    if not isinstance(tree, (tuple, list)):
        return next(values)
    return like_sequence(tree, [rebuild(part, values) for part in tree])


def like_sequence(tree: tuple[Any, ...] | list[Any], parts: list[Any]) -> Tree:
    """Return a tuple, NamedTuple or list like `tree` of other parts."""
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def rebuild_arrays(tree: Tree, change: Callable[[Array], Array]) -> Tree:
    """Return the tree with `change` applied to its float arrays."""
    return rebuild(tree, (change(leaf) if is_float_array(leaf) else leaf for _, leaf in leaves(tree, "")))


def is_float_array(x: Any) -> bool:
    """Tell whether x is an array of real or complex floats.

    NumPy's scalars are settings (an epsilon, say), not arrays.
    """
    return hasattr(x, "dtype") and hasattr(x, "shape") and not isinstance(x, np.generic) and x.dtype.kind in "fc"


def is_differentiable(tree: Tree, name: str) -> bool:
    """Tell whether all leaves are float arrays.

    Raises ValueError when only some are: such a gradient has no clear form.
    """
    floats = [is_float_array(leaf) for _, leaf in leaves(tree, name)]
    if any(floats) and not all(floats):
        raise ValueError(
            f"{name}: a tuple that mixes float arrays with other things; pass them apart, or leave it out by wrt="
        )
    return any(floats)


def jiggle(tree: Tree, rng: np.random.Generator) -> Tree:
    """Return a copy of a cache whose floats are changed by two units of their rounding."""
    if isinstance(tree, dict):
        return {key: jiggle(part, rng) for key, part in tree.items()}
    if isinstance(tree, (tuple, list)):
        return like_sequence(tree, [jiggle(part, rng) for part in tree])
    if not is_float_array(tree) or tree.dtype not in FLOATS:
        return tree
    factors = 1.0 + rng.choice([-2.0, 2.0], tree.shape) * float(np.finfo(tree.dtype).eps)
    return tree * array_module(tree).asarray(factors.astype(tree.real.dtype))


def real_vector(arrays: Iterable[Any]) -> Vector:
    """Return arrays of any shape, real or complex, on any device, as one flat float64 vector on the host."""
    parts = [real_parts(to_host_array(a)).ravel().astype(np.float64, copy=False) for a in arrays]
    return np.concatenate(parts) if parts else np.zeros(0)


def tree_vector(tree: Tree) -> Vector:
    """Return all leaves of a tree as one real vector."""
    return real_vector(leaf for _, leaf in leaves(tree, ""))


def inner(a: Any, b: Any) -> float:
    """Return the real inner product of two arrays of one shape: of real and imaginary parts alike."""
    a, b = to_host_array(a), to_host_array(b)
    if a.dtype.kind == "c" or b.dtype.kind == "c":
        return float(real_vector([a]) @ real_vector([b]))
    return float(a.ravel() @ b.ravel())


def real_parts(array: Array) -> Array:
    """Return a complex array as a real one with its two parts along a last axis; a real array as it is."""
    return np.stack([array.real, array.imag], axis=-1) if array.dtype.kind == "c" else array


def norm(vector: Vector) -> float:
    """Return the Euclidean norm, which neither over- nor underflows on the way."""
    largest = float(np.max(np.abs(vector), initial=0.0))
    if largest == 0.0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(np.sum((vector / largest) ** 2)))


def count_not_finite(x: Any) -> int:
    """Return how many entries are NaN or infinite."""
    return int(np.size(x) - np.count_nonzero(np.isfinite(x)))
