"""NumPy or CuPy: which module owns an array, where arrays live, how much memory they take, and random streams.

Nothing here is a global switch: a function asks `xp = array_module(x)` and computes where its input already is.
CuPy is imported only when a device is asked for, so that a machine without it pays nothing. Integer arrays of the host
go to a device together (move_together): each copy has its price, however small it is.
"""

import contextlib
import copy
import functools
import sys
import weakref
from contextlib import AbstractContextManager
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from engine.support.command import command_name
from engine.support.errors import UserError, first_line
from engine.types import Array, Floats

KEPT_BYTES = 31 << 20
# Objects that hold memory of a device beside CuPy's own pool: they have pool_bytes().
private_pools: weakref.WeakSet[Any] = weakref.WeakSet()


def array_module(*arrays: Any) -> Any:
    """The module (numpy or cupy) that owns these arrays; anything that is no array is ignored.

    Raises ValueError when NumPy and CuPy arrays are mixed: copies between the two are always asked for by name.
    """
    cupy = sys.modules.get("cupy")
    if cupy is None:
        return np
    on_device = any(isinstance(a, cupy.ndarray) for a in arrays)
    on_host = any(isinstance(a, np.ndarray) for a in arrays)
    if on_device and on_host:
        raise ValueError(
            "arrays of NumPy and of CuPy in one call: move them to one device first (engine.arrays.backend.to_device)"
        )
    return cupy if on_device else np


def accumulator_dtype(dtype: npt.DTypeLike) -> np.dtype:
    """The dtype in which sums over many entries are taken: float64 for float32, otherwise the dtype itself."""
    return np.dtype(np.float64) if np.dtype(dtype) == np.float32 else np.dtype(dtype)


def resolve_device(name: str) -> str:
    """Turn "cpu", "cuda" or "auto" into "cpu" or "cuda". Raises UserError when "cuda" is asked for and not usable."""
    if name == "cpu":
        return "cpu"
    if name not in ("cuda", "auto"):
        raise UserError(f"device {name!r} is unknown: use cpu, cuda or auto")
    reason = why_no_cuda()
    if reason is None:
        return "cuda"
    if name == "cuda":
        raise UserError(f"--device cuda: {reason}; use --device cpu, or see what is missing: {command_name()} doctor")
    return "cpu"


def why_no_cuda() -> str | None:
    """None when a CUDA device can be used, otherwise the reason in a few words (never an exception)."""
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            return "CuPy is not installed"
        return f"CuPy cannot be imported ({first_line(error)})"
    except Exception as error:  # a broken CUDA installation can fail in any way at import
        return f"CuPy cannot be imported ({first_line(error)})"
    try:
        # The import succeeds without a driver; only touching the device tells.
        cupy.zeros(1).sum().item()
    except Exception as error:
        return f"no CUDA device is usable ({first_line(error)})"
    return None


def to_device(x: Array, device: str) -> Array:
    """The array on "cpu" (NumPy) or "cuda" (CuPy); the same object when it is already there."""
    if device == "cpu":
        on_host: Array = x if isinstance(x, np.ndarray) else x.get()
        return on_host
    import cupy

    on_device: Array = cupy.asarray(x)
    return on_device


def to_host(x: Array) -> Array:
    """The array as a NumPy array."""
    return to_device(x, "cpu")


def blas_threads(count: int) -> AbstractContextManager[Any]:
    """Context manager: matrix products of NumPy use `count` threads, or as many as BLAS chooses by itself for 0.

    Small products gain little from threads, and lose several times over where another program needs a core: BLAS's
    threads wait for each other in a loop. Where the BLAS cannot be told (Accelerate on a Mac), nothing changes.
    """
    blas = [library for library in known_blas().lib_controllers if library.user_api == "blas"]
    if not count or all(library.num_threads == count for library in blas):
        return contextlib.nullcontext()
    limits: AbstractContextManager[Any] = known_blas().limit(limits=count, user_api="blas")
    return limits


@functools.cache
def known_blas() -> ThreadpoolController:
    """The BLAS of this process; to look for it takes as long as labelling a text."""
    return ThreadpoolController()


@overload
def random_generator(seed: int, *stream: int) -> "np.random.Generator": ...
@overload
def random_generator(seed: int, *stream: int, device: str) -> "np.random.Generator | DeviceGenerator": ...
def random_generator(seed: int, *stream: int, device: str = "cpu") -> "np.random.Generator | DeviceGenerator":
    """A generator that depends on nothing but `seed` and the integers of `stream` (say: purpose, step).

    Streams that are keyed by the step need no saved state: a resumed run draws the same numbers as an uninterrupted
    one.
    """
    return np.random.default_rng([seed, *stream]) if device == "cpu" else DeviceGenerator(seed, stream)


class DeviceGenerator:
    """Random generator on a device, with `host`, the generator of the same stream for numbers drawn on the host.

    Both are made at their first use: many steps drop no entries, or nothing at all.
    """

    def __init__(self, seed: int, stream: tuple[int, ...]) -> None:
        self.key = (seed, *stream)
        self.generator: Any = None

    @functools.cached_property
    def host(self) -> "np.random.Generator":
        return np.random.default_rng(list(self.key))

    def random(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Floats:
        """Uniform numbers in [0, 1) on the device."""
        if self.generator is None:
            import cupy

            key = np.random.SeedSequence(self.key).generate_state(1, np.uint64)[0]
            self.generator = cupy.random.Generator(cupy.random.Philox4x3210(int(key)))
        numbers: Floats = self.generator.random(shape, dtype=dtype)
        return numbers


def same_stream(rng: Any) -> Any:
    """A generator that draws what `rng`, of which nothing was drawn yet, is going to draw. None stays None."""
    if not isinstance(rng, DeviceGenerator):
        return copy.deepcopy(rng)
    same = DeviceGenerator(rng.key[0], rng.key[1:])
    same.host = copy.deepcopy(rng.host)
    return same


def host_generator(rng: Any, like: Array) -> Any:
    """The generator for arrays on the side where `like` is: that of the host for host arrays. None stays None."""
    return rng.host if isinstance(rng, DeviceGenerator) and isinstance(like, np.ndarray) else rng


def peak_memory_bytes(device: str = "cpu") -> int:
    """Peak resident memory of this process in bytes ("cpu"), or the bytes held by CuPy's memory pools ("cuda").

    A pool keeps freed blocks, so its size is the largest that the arrays together have needed.
    """
    if device == "cuda":
        import cupy

        return int(cupy.get_default_memory_pool().total_bytes() + sum(pool.pool_bytes() for pool in private_pools))
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/status", encoding="utf-8", errors="replace") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024  # macOS reports bytes, the others KiB


def keep_freed_memory() -> None:
    """Let the C library keep freed blocks for the next arrays, where that is glibc's.

    It keeps blocks of up to the largest size that has been freed, 32 MiB at most; else it gives the temporaries of
    every batch back to the system, which clears the pages before it hands them out again.
    """
    np.empty(KEPT_BYTES, np.uint8)  # freed at once, and never touched


def move_together(tree: Any, like: Any) -> Any:
    """The arrays of a tree of tuples where `like` is, integers or booleans: those of the host go there in one copy.

    Each copy has its price, however small it is. An array that occurs several times is copied once.
    """
    if tree is None or isinstance(like, np.ndarray):
        return tree
    host = [leaf for leaf in arrays_of(tree) if isinstance(leaf, np.ndarray)]
    if not host:
        return tree
    packed = array_module(like).asarray(np.concatenate([leaf.astype(np.int64, copy=False).ravel() for leaf in host]))
    cuts = np.cumsum([0, *(leaf.size for leaf in host)]).tolist()
    moved = [packed[start:stop] for start, stop in zip(cuts, cuts[1:])]
    moved = [part.reshape(leaf.shape).astype(bool) if leaf.dtype == bool else part for part, leaf in zip(moved, host)]
    return replaced(tree, host, moved)


def arrays_of(tree: Any) -> list:
    """The arrays of a tree of tuples, each once, in order of appearance."""
    return list({id(leaf): leaf for leaf in leaves_of(tree)}.values())


def leaves_of(tree: Any) -> list:
    if isinstance(tree, tuple):
        return [leaf for part in tree for leaf in leaves_of(part)]
    return [] if tree is None else [tree]


def replaced(tree: Any, arrays: list, others: list) -> Any:
    """The tree of tuples with `others` in place of `arrays`."""
    known = {id(array): other for array, other in zip(arrays, others)}

    def rebuild(part: Any) -> Any:
        if not isinstance(part, tuple):
            return known.get(id(part), part)
        made = [rebuild(item) for item in part]
        return type(part)(*made) if hasattr(part, "_fields") else tuple(made)

    return rebuild(tree)
