"""Argument checks shared by all function pairs: a ValueError names the argument, what it was and what it must be."""

from collections.abc import Iterable
from typing import Any

import numpy as np

REAL = (np.dtype(np.float32), np.dtype(np.float64))
COMPLEX_STEP = np.dtype(np.complex128)  # admitted so that analytic functions can be differentiated by complex step
ACCEPTED = (*REAL, COMPLEX_STEP)


def check_floats(name: str, x: Any, shape: tuple[int | str | None, ...], like: Any = None) -> None:
    """Raise ValueError unless `x` is a float array of the given shape.

    shape: a tuple of sizes, of strings for free sizes (used in the message) and of None; `like`: an array, or a cache
    with a dtype, whose dtype must be shared. complex128 passes for complex-step differentiation.
    """
    try:
        dtype, found = x.dtype, x.shape
    except AttributeError:
        raise ValueError(
            f"{name}: expected a float array of shape {shown_shape(shape)}, got {type(x).__name__}"
        ) from None
    if dtype not in ACCEPTED:
        raise ValueError(f"{name}: expected dtype float32 or float64, got {dtype}")
    if like is not None and dtype != like.dtype and COMPLEX_STEP not in (dtype, like.dtype):
        raise ValueError(f"{name}: expected dtype {like.dtype} like the other inputs, got {dtype}")
    fits = len(found) == len(shape)
    if fits and found != shape:
        for wanted, size in zip(shape, found):  # no any(): a network asks a dozen times for one text
            fits = fits and (wanted == size or not isinstance(wanted, (int, np.integer)))
    if not fits:
        raise ValueError(f"{name}: expected shape {shown_shape(shape)}, got {found}")


def shown_shape(shape: tuple[int | str | None, ...]) -> str:
    """A wanted shape as messages show it."""
    return "(" + ", ".join("?" if s is None else str(s) for s in shape) + ("," if len(shape) == 1 else "") + ")"


def check_offsets(offsets: Any, rows: int, name: str = "offsets") -> None:
    """Raise ValueError, which calls them `name`, unless `offsets` cut `rows` flat rows into texts.

    They must be int64, (B + 1,), run from 0 to rows and never fall. Only host arrays are looked into: reading a device
    array would stall the stream.
    """
    if not hasattr(offsets, "dtype") or offsets.dtype != np.int64 or offsets.ndim != 1 or len(offsets) < 1:
        found = f"{offsets.dtype} of shape {offsets.shape}" if hasattr(offsets, "dtype") else type(offsets).__name__
        raise ValueError(f"{name}: expected an int64 array of shape (B + 1,), got {found}")
    if not isinstance(offsets, np.ndarray):
        return
    if offsets[0] != 0 or offsets[-1] != rows:
        raise ValueError(f"{name}: must run from 0 to the number of rows {rows}, got {offsets[0]} to {offsets[-1]}")
    falls = offsets[1:] < offsets[:-1]
    if falls.any():
        t = int(falls.argmax())
        raise ValueError(
            f"{name}: must not fall, got {name}[{t}] = {offsets[t]} and {name}[{t + 1}] = {offsets[t + 1]}"
        )


def check_ids(ids: Any, rows: int, name: str = "ids") -> None:
    """Raise ValueError, which calls them `name`, unless `ids` is a (T,) array of integers in [0, rows).

    Only host arrays are looked into.
    """
    if not hasattr(ids, "dtype"):
        raise ValueError(f"{name}: expected an integer array of shape (T,), got {type(ids).__name__}")
    if ids.dtype.kind not in "iu" or ids.ndim != 1:
        raise ValueError(f"{name}: expected an integer array of shape (T,), got {ids.dtype} of shape {ids.shape}")
    if isinstance(ids, np.ndarray) and ids.size and not (0 <= ids.min() and ids.max() < rows):
        worst = ids.min() if ids.min() < 0 else ids.max()
        raise ValueError(f"{name}: must lie in [0, {rows}), got {worst}")


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {value!r}")
