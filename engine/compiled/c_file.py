"""Functions in C: .c files beside the Python files that call them, compiled at first use.

They are optional. Where there is no C compiler, or WAVE_C=off says so, NumPy code beside them computes the same. The
library of a file is kept in the user's cache folder under a digest of all that decides what it does.
"""

import contextlib
import ctypes
import functools
import hashlib
import importlib.util
import os
import platform
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.support import cache_folder
from engine.support.errors import UserError, first_line
from engine.support.implementation import current

VARIABLE, MODES = "WAVE_C", ("on", "off")
COMPILERS = ("cc", "gcc", "clang")
# Products and sums are rounded one by one, as NumPy does it, whatever the processor can do at once.
FLAGS = (
    "-std=c11",
    "-O3",
    "-march=native",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fPIC",
    "-shared",
)
COMPILED = "compiled"
SECONDS = 120  # for a compilation, then the compiler counts as missing
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
# The letters of a signature: numbers, and arrays (or None for a null pointer) of a dtype.
NUMBERS = {"i": ctypes.c_int64, "r": ctypes.c_float}
ARRAYS = {"F": np.dtype(np.float32), "D": np.dtype(np.float64), "I": np.dtype(np.int64)}


files: "list[CFile]" = []  # every .c file whose Python file has been imported


class NoLibrary(Exception):
    """The functions of a .c file cannot be had; the text says why."""


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


def pointer(x: np.ndarray, kind: str) -> int:
    """The address of an array in C order; ValueError for another one, which C would read wrongly."""
    if x.dtype != ARRAYS[kind] or not x.flags.c_contiguous:
        raise ValueError(
            f"functions in C take {ARRAYS[kind]} in C order, got {x.dtype} of shape {x.shape} and strides {x.strides}"
        )
    address: int = x.__array_interface__["data"][0]
    return address


@functools.cache
def library(file: CFile) -> "ctypes.CDLL | str":
    """The loaded library of a file, or why there is none."""
    try:
        loaded = load(file)
    except NoLibrary as reason:
        return str(reason)
    for name, parameters in file.signatures.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = [NUMBERS.get(kind, ctypes.c_void_p) for kind in parameters], None
    return loaded


def load(file: CFile) -> ctypes.CDLL:
    """Load the library of a file, compiled before if it has not been yet, or has been damaged. Raises NoLibrary."""
    compiler, source = find_compiler(), file.path.read_bytes()
    folder = Path(cache_folder.user_folder()) / "compiled"
    path = folder / f"{file.path.stem}-{key_of(compiler, source)}{SUFFIX}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not cache_folder.is_own(folder):
            raise NoLibrary(f"{folder}: others may write there")
        with contextlib.suppress(OSError):
            if cache_folder.is_own(path):
                return ctypes.CDLL(str(path))
        compile_file(compiler, file.path, path)
        return ctypes.CDLL(str(path))
    except (OSError, subprocess.SubprocessError) as error:
        raise NoLibrary(f"{file.path.name} cannot be compiled into {folder} ({first_line(error)})") from None


class Compiler(NamedTuple):
    """command: its first words. program: the file that decides what it does."""

    command: tuple[str, ...]
    program: str


def find_compiler() -> Compiler:
    """The C compiler: CC of the environment, one on PATH, or that of the extra `compiled`. Raises NoLibrary."""
    given = os.environ.get("CC")
    for name in [given] if given else COMPILERS:
        if path := shutil.which(name):
            return Compiler((path,), path)
    if given:
        raise NoLibrary(f"no program is called {given}, which CC names")
    if (zig := importlib.util.find_spec("ziglang")) and zig.origin:
        return Compiler((sys.executable, "-m", "ziglang", "cc"), zig.origin)
    raise NoLibrary("there is no C compiler")


def key_of(compiler: Compiler, source: bytes) -> str:
    """A digest of what decides what a library does: source, flags, compiler, and processor."""
    program = os.stat(compiler.program)
    parts = (*FLAGS, *compiler.command, program.st_size, program.st_mtime_ns, platform.machine(), processor())
    return hashlib.sha256(source + "\0".join(map(str, parts)).encode(errors="surrogateescape")).hexdigest()[:16]


def processor() -> str:
    """What tells processors with other instructions apart, as far as the system says it."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            return next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        return platform.processor()


def compile_file(compiler: Compiler, source: Path, path: Path) -> None:
    """Compile a .c file to a library, which is whole or absent. Raises NoLibrary where the compiler refuses it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    command = [*compiler.command, *FLAGS, "-o", str(temporary), str(source)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
        )
        if done.returncode:
            message = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[0]
            raise NoLibrary(f"{' '.join(compiler.command)} refuses {source.name} ({message})")
        os.chmod(temporary, 0o700)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def verdicts() -> dict[str, str]:
    """{name of a .c file: COMPILED, or why not} of the files whose Python files have been imported."""
    found = {file.path.name: library(file) for file in files}
    return {name: verdict if isinstance(verdict, str) else COMPILED for name, verdict in found.items()}
