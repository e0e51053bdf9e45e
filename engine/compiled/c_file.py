"""Functions in C: .c files beside the Python files that call them, compiled at first use.

They are optional. Where there is no C compiler, or WAVE_C=off says so, NumPy code beside them computes the same. The
library of a file is kept in the user's cache folder under a digest of all that decides what it does.
"""

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

from engine.compiled.compiler import NoLibrary, load
from engine.support.errors import UserError
from engine.support.implementation import current

VARIABLE, MODES = "WAVE_C", ("on", "off")
COMPILED = "compiled"
# The letters of a signature: numbers, and arrays (or None for a null pointer) of a dtype; small ones are written to.
NUMBERS = {"i": ctypes.c_int64, "r": ctypes.c_float, "R": ctypes.c_double}
KINDS = (("Ff", "f4"), ("Dd", "f8"), ("Il", "i8"), ("Nn", "i4"))
ARRAYS = {letter: np.dtype(kind) for letters, kind in KINDS for letter in letters}
FLOAT32 = np.dtype(np.float32)
NOTHING = ctypes.c_char * 0

files: "list[CFile]" = []  # every .c file whose Python file has been imported


class CFile:
    """The functions of one .c file, which lies beside the given .py file of the same name."""

    def __init__(self, python_file: str | Path, **signatures: str) -> None:
        """signatures: by the name of a function the letters of its parameters, see NUMBERS and ARRAYS."""
        self.path = Path(python_file).resolve().with_suffix(".c")
        self.signatures = signatures
        files.append(self)

    def is_usable(self) -> bool:
        """Whether its functions can be called and are wanted. UserError where WAVE_C has no such value."""
        return mode() == "on" and current() != "equations" and not isinstance(library(self), str)

    def takes(self, *arrays: Any) -> bool:
        """Whether they are usable, and these are arrays of NumPy in float32 and C order; None is none."""
        for x in arrays:
            if x is not None and not (isinstance(x, np.ndarray) and x.dtype == FLOAT32 and x.flags.c_contiguous):
                return False
        return self.is_usable()

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function; it returns nothing. ValueError for an array of another dtype or not in C order."""
        kinds = zip(self.signatures[name], arguments, strict=True)
        getattr(library(self), name)(*[pointer(x, kind) if isinstance(x, np.ndarray) else x for kind, x in kinds])


def mode() -> str:
    """The value of WAVE_C. UserError for one that does not exist."""
    chosen = os.environ.get(VARIABLE, "on")
    if chosen not in MODES:
        raise UserError(f"{VARIABLE}={chosen}: must be one of {', '.join(MODES)}")
    return chosen


def pointer(x: Any, kind: str) -> int:
    """The address of an array of NumPy in C order; ValueError for another one, which C would read or write wrongly."""
    if x.dtype == ARRAYS[kind] and x.flags.aligned:
        try:
            return ctypes.addressof(NOTHING.from_buffer(x))  # a quarter of the time of __array_interface__
        except TypeError:
            pass  # read-only, or not in C order
    if x.dtype != ARRAYS[kind] or not x.flags.c_contiguous or not x.flags.aligned:
        raise ValueError(
            f"functions in C take {ARRAYS[kind]} in C order, got {x.dtype} of shape {x.shape} and strides {x.strides}"
        )
    if kind.islower():
        raise ValueError(f"an array of shape {x.shape} is read-only and would be written to")
    address: int = x.__array_interface__["data"][0]
    return address


@functools.cache
def library(file: CFile) -> "ctypes.CDLL | str":
    """The loaded library of a file, or why there is none."""
    try:
        loaded = load(file.path)
    except NoLibrary as reason:
        return str(reason)
    for name, parameters in file.signatures.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = [NUMBERS.get(kind, ctypes.c_void_p) for kind in parameters], None
    return loaded


def verdicts() -> dict[str, str]:
    """{name of a .c file: COMPILED, or why not} of the files whose Python files have been imported."""
    found = {file.path.name: library(file) for file in files}
    return {name: verdict if isinstance(verdict, str) else COMPILED for name, verdict in found.items()}
