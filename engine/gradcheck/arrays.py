"""Where arrays live, random streams and checked choices: what this package needs beside NumPy."""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from engine.gradcheck.types import Array


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
