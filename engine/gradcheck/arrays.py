"""Types, devices, random streams and trees of arrays: all that this package needs beside NumPy.

Arguments and results are trees: an array, or a tuple, NamedTuple, list or dict of trees; None is a tree without leaves.
Every leaf has a readable name. Arrays are NumPy's or CuPy's; those of other libraries are read as NumPy's. Shapes stand
in the docstrings. A complex array counts as the pair of its real and imaginary parts, so that all inner products and
norms are those of real vectors: Re(conj(a)·b) = Re a·Re b + Im a·Im b.
"""

import copy
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Vector: TypeAlias = npt.NDArray[np.float64]  # on the host, one axis
Tree: TypeAlias = Any  # an array, a number or None, or a tuple, NamedTuple, list or dict of trees
Cache: TypeAlias = Any  # whatever forward hands to backward
Direction: TypeAlias = list[Array]  # a host array for each block of a Point
Problems: TypeAlias = list[tuple[str, str]]  # (name of a block, what is wrong with its gradient)

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
    """Return an array of any library, a sparse one too, a NumPy scalar or a Python number as a NumPy array.

    Raises TypeError for anything else; the library's own exceptions pass through.
    """
    if type(x) is np.ndarray:
        return x
    if isinstance(x, (np.ndarray, np.generic, float, complex, int)):
        return np.asarray(x)
    if is_torch(x):
        return to_host_array(x.detach().to_dense().numpy(force=True))
    if array_module(x) is not np:
        return to_host_array(x.get())
    if hasattr(x, "toarray"):
        return to_host_array(x.toarray())
    if hasattr(x, "__array__"):
        return np.asarray(x)
    if hasattr(x, "__dlpack__"):
        return np.from_dlpack(x)
    raise TypeError(f"a {type(x).__name__} is no array")


def is_torch(x: Any) -> bool:
    """Tell whether x is a tensor of PyTorch, which is not imported for it."""
    torch: ModuleType | None = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "Tensor") and isinstance(x, torch.Tensor)


def array_like(array: Array, like: Any) -> Any:
    """Return a NumPy array as what `like` is: a number, a NumPy scalar, or an array of another library.

    That is PyTorch, or one whose arrays name their module by the array API standard; NumPy's otherwise.
    """
    if isinstance(like, np.ndarray) or type(array) is not np.ndarray:
        return array
    if isinstance(like, np.generic):
        return array[()]
    if isinstance(like, (float, complex)):
        return array.item()
    if is_torch(like):
        return sys.modules["torch"].from_numpy(array).to(like.device)
    if hasattr(like, "__array_namespace__"):
        return like.__array_namespace__().asarray(array)
    return array


def random_generator(seed: int, *stream: int) -> np.random.Generator:
    """Return a generator that depends on nothing but `seed` and the integers of `stream`."""
    return np.random.default_rng([seed, *stream])


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {value!r}")


FLOATS = tuple(map(np.dtype, ("float64", "complex128", "float32", "complex64", "float16")))


def is_container(tree: Tree) -> bool:
    """Tell whether a tree has parts. A sparse array, which may be a tuple or a dict as well, has none."""
    if isinstance(tree, (tuple, list)):
        return not is_row_sparse(tree)
    return isinstance(tree, Mapping) and not hasattr(tree, "toarray")


def is_row_sparse(x: Any) -> bool:
    """Tell whether x holds some `rows` of an array, their `values`, and makes the array by dense(row_count)."""
    return hasattr(x, "dense") and hasattr(x, "rows") and hasattr(x, "values")


def parts_of(tree: Tree) -> list[tuple[str, Tree]]:
    """Return [(what to add to the name of a container, part)]: [0] in a tuple, .re in a NamedTuple, ['w'] in a dict."""
    if not isinstance(tree, (tuple, list)):
        return [(f"[{key!r}]", part) for key, part in tree.items()]
    fields = getattr(tree, "_fields", None)
    names = [f".{f}" for f in fields] if fields else [f"[{i}]" for i in range(len(tree))]
    return list(zip(names, tree))


def leaves(tree: Tree, name: str) -> list[tuple[str, Any]]:
    """Return [(name, leaf)]: "input 1" for a leaf, "input 1.re", "input 1[0]", "input 1['w']" for parts."""
    if tree is None:
        return []
    if type(tree) is np.ndarray or not is_container(tree):
        return [(name, tree)]
    return [leaf for added, part in parts_of(tree) for leaf in leaves(part, name + added)]


def rebuild(tree: Tree, values: Iterator[Any]) -> Tree:
    """Return a tree of the same form whose leaves are taken from `values`, in the order of leaves()."""
    if tree is None:
        return None
    if type(tree) is np.ndarray or not is_container(tree):
        return next(values)
    if isinstance(tree, (tuple, list)):
        return like_sequence(tree, [rebuild(part, values) for part in tree])
    return like_mapping(tree, {key: rebuild(part, values) for key, part in tree.items()})


def like_mapping(tree: Mapping[Any, Any], parts: dict[Any, Any]) -> Tree:
    """Return a dict or another mapping like `tree` of other parts under the same keys."""
    if not isinstance(tree, dict):
        kind: Any = type(tree)
        return kind(parts)
    changed = copy.copy(tree)  # keeps what a subclass adds, such as the factory of a defaultdict
    changed.update(parts)
    return changed


def like_sequence(tree: tuple[Any, ...] | list[Any], parts: list[Any]) -> Tree:
    """Return a tuple, NamedTuple or list like `tree` of other parts."""
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def rebuild_arrays(tree: Tree, change: Callable[[Array], Array]) -> Tree:
    """Return the tree with `change` applied to its float arrays."""
    return rebuild(tree, (change(leaf) if is_float_array(leaf) else leaf for _, leaf in leaves(tree, "")))


def is_float_array(x: Any) -> bool:
    """Tell whether x is a dense array of real or complex floats, of any library.

    NumPy's scalars are settings (an epsilon, say), not arrays; sparse arrays are data, not weights.
    """
    if not hasattr(x, "dtype") or not hasattr(x, "shape") or isinstance(x, np.generic) or hasattr(x, "toarray"):
        return False
    if is_torch(x):
        return bool(x.dtype.is_floating_point or x.dtype.is_complex)
    return getattr(x.dtype, "kind", "") in tuple("fc")


def jiggle(tree: Tree, rng: np.random.Generator) -> Tree:
    """Return a copy of a cache whose floats are changed by two units of their rounding."""
    if isinstance(tree, dict):
        return {key: jiggle(part, rng) for key, part in tree.items()}
    if isinstance(tree, (tuple, list)):
        return like_sequence(tree, [jiggle(part, rng) for part in tree])
    if not is_float_array(tree) or tree.dtype not in FLOATS:
        return tree
    factors = 1.0 + rng.choice([-2.0, 2.0], tree.shape) * float(np.finfo(tree.dtype).eps)
    xp = array_module(tree)
    return xp.asarray(tree * xp.asarray(factors.astype(tree.real.dtype)))


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
    with np.errstate(all="ignore"):
        square = float(vector @ vector)
    if 1e-250 < square < 1e250:
        return math.sqrt(square)
    largest = float(np.max(np.abs(vector), initial=0.0))
    if largest == 0.0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(np.sum((vector / largest) ** 2)))


def count_not_finite(x: Any) -> int:
    """Return how many entries are NaN or infinite."""
    return int(np.size(x) - np.count_nonzero(np.isfinite(x)))
