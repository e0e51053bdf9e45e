"""The C compiler, and the libraries that it has made: kept in the user's cache folder, whole or absent."""

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import platform
import secrets
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from engine.support import cache_folder
from engine.support.errors import first_line
from engine.support.files import sha256_of

COMPILERS = ("cc", "gcc", "clang")
# Products and sums are rounded one by one, as NumPy does it, whatever the processor can do at once.
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
NATIVE = "-march=native"  # left out where a compiler does not know it
SECONDS = 60  # for a compilation, then the compiler counts as missing
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
NO_COMPILER = "there is no C compiler"
hanging: set[tuple[str, ...]] = set()  # commands of compilers that did not come back


class NoLibrary(Exception):
    """The functions of a .c file cannot be had; the text says why."""


class Compiler(NamedTuple):
    """command: its first words. program: the file that decides what it does."""

    command: tuple[str, ...]
    program: str


def find_compiler() -> Compiler:
    """The C compiler: CC of the environment, one on PATH, or that of the extra `compiled`. Raises NoLibrary."""
    given = os.environ.get("CC", "").strip()
    for words in [shlex.split(given)] if given else [[name] for name in COMPILERS]:
        if path := shutil.which(words[0]):
            return Compiler((path, *words[1:]), path)
    if given:
        raise NoLibrary(f"no program is called {given}, which CC names")
    if (zig := importlib.util.find_spec("ziglang")) and zig.origin:
        return Compiler((sys.executable, "-m", "ziglang", "cc"), zig.origin)
    raise NoLibrary(NO_COMPILER)


def load(source: Path) -> ctypes.CDLL:
    """Load the library of a .c file, compiled before if that has not been done, or the library is damaged.

    Raises NoLibrary.
    """
    try:
        compiler, folder = find_compiler(), Path(cache_folder.user_folder()) / "compiled"
        stem = f"{source.stem}-{key_of(compiler, source.read_bytes())}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not cache_folder.is_own(folder):
            raise NoLibrary(f"{folder}: others may write there")
        path = found(folder, stem) or compiled(compiler, source, folder, stem)
    except (OSError, ValueError, RuntimeError, subprocess.SubprocessError) as error:  # one: there is no home folder
        raise NoLibrary(f"{source.name} cannot be compiled ({first_line(error)})") from None
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise NoLibrary(f"{path} cannot be loaded ({first_line(error)})") from None


def found(folder: Path, stem: str) -> Path | None:
    """The library of a stem that is there, intact, and nobody else's; None where none is.

    Its name ends with the digest of its bytes: what is damaged may end the process that loads it.
    """
    for path in folder.glob(f"{stem}-*{SUFFIX}"):
        with contextlib.suppress(OSError):
            if cache_folder.is_own(path) and path.stem == named(stem, path):
                return path
    return None


def named(stem: str, path: Path) -> str:
    """The name, without its suffix, that a library of these bytes has."""
    return f"{stem}-{sha256_of(path)[:16]}"


def key_of(compiler: Compiler, source: bytes) -> str:
    """A digest of what decides what a library does: source, flags, compiler, and processor."""
    program = os.stat(compiler.program)
    parts = (*FLAGS, *compiler.command, program.st_size, program.st_mtime_ns, platform.machine(), processor())
    return hashlib.sha256(source + "\0".join(map(str, parts)).encode(errors="surrogateescape")).hexdigest()[:16]


def processor() -> str:
    """A text that tells processors with other instructions apart, as far as the system says it."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            return next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        return platform.processor()


def compiled(compiler: Compiler, source: Path, folder: Path, stem: str) -> Path:
    """Compile a .c file to a library in a folder. Raises NoLibrary where the compiler refuses it."""
    temporary = folder / f".{stem}.{secrets.token_hex(4)}.tmp"
    try:
        message = run(compiler, NATIVE, "-o", str(temporary), str(source))
        if message is not None:
            message = run(compiler, "-o", str(temporary), str(source))
        if message is not None:
            raise NoLibrary(f"{' '.join(compiler.command)} refuses {source.name} ({message})")
        os.chmod(temporary, 0o700)
        with open(temporary, "r+b") as written:
            os.fsync(written.fileno())
        path = folder / f"{named(stem, temporary)}{SUFFIX}"
        with contextlib.suppress(PermissionError):  # on Windows, where another process has loaded the same one
            os.replace(temporary, path)
        return path
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def run(compiler: Compiler, *arguments: str) -> str | None:
    """Run a compiler: None where it succeeds, else the first line of its message."""
    if compiler.command in hanging:
        raise NoLibrary(f"{' '.join(compiler.command)} timed out")
    try:
        done = subprocess.run(
            [*compiler.command, *FLAGS, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        hanging.add(compiler.command)
        raise
    return (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[0] if done.returncode else None
