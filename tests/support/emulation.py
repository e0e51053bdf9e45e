"""Executes the .cu files on the CPU: compiled by g++ against cuda_on_cpu.h, called on NumPy arrays.

Every array is copied between guard bands of NaN (or of a marked integer): what a kernel writes outside its arrays is an
error here, and what it reads there shows up as NaN. New memory is full of NaN, so that numbers which a kernel forgets
to write show up too. Threads run in order or in reverse.
"""

import contextlib
import ctypes
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
from filelock import FileLock

from engine.cuda import kernels

SHIM = Path(__file__).with_name("cuda_on_cpu.h")
COMPILER = shutil.which("g++")
GUARD = 64  # entries before and behind each array
MARK = -(2**62) + 12345
SIGNATURE = re.compile(r'extern "C" __global__ void(?:\s+__launch_bounds__\([^)]*\))?\s+(\w+)\(([^)]*)\)')


class Emulator:
    """launch() runs a kernel on NumPy arrays. launched: names of all kernels that ran, with their dtypes."""

    def __init__(self, folder, backwards=False):
        self.folder, self.backwards = Path(folder), backwards
        self.launched = set()

    def launch(self, kernel_file, name, dtype, blocks, threads, arguments):
        if int(np.prod(threads)) > 1024 or max((*blocks, 1)[1:3]) > 65_535:
            raise ValueError(f"{name}: no GPU has {threads} threads a block or {blocks} blocks")
        function = getattr(compiled(self.folder, kernel_file, np.dtype(dtype).name), f"launch_{name}")
        guarded = [Guarded(a) if isinstance(a, np.ndarray) and a.dtype.kind != "V" else None for a in arguments]
        values = [c_argument(a) if g is None else ctypes.c_void_p(g.address) for a, g in zip(arguments, guarded)]
        shape = [(ctypes.c_uint * 3)(*(tuple(sizes) + (1, 1))[:3]) for sizes in (blocks, threads)]
        if function(*shape, int(self.backwards), *values):
            raise RuntimeError(f"{name}: some threads of a block left while others waited at a barrier")
        for guard in filter(None, guarded):
            guard.put_back(name)
        self.launched.add((name, np.dtype(dtype).name))


class Guarded:
    """A copy of an array between two bands that no kernel may touch."""

    def __init__(self, array):
        self.array = array
        self.band = marked(GUARD, array.dtype)
        self.memory = np.concatenate([self.band, array.ravel(), self.band])
        self.address = self.memory.ctypes.data + GUARD * array.itemsize

    def put_back(self, name):
        for band in (self.memory[:GUARD], self.memory[-GUARD:]):
            if band.tobytes() != self.band.tobytes():
                raise RuntimeError(f"{name}: wrote outside an array of shape {self.array.shape}")
        inner = self.memory[GUARD:-GUARD].reshape(self.array.shape)
        if inner.tobytes() != self.array.tobytes():
            self.array[...] = inner


def marked(shape, dtype=float):
    """New memory of which nothing was written: NaN, of integers MARK cut to their width."""
    dtype = np.dtype(dtype)
    return np.full(shape, np.nan if dtype.kind in "fc" else np.array(MARK).astype(dtype), dtype)


def marked_like(x, dtype=None):
    return marked(x.shape, dtype or x.dtype)


def c_argument(argument):
    """A scalar or a structure as ctypes passes it."""
    if argument is None:
        return ctypes.c_void_p(0)
    if isinstance(argument, np.ndarray):
        return ctypes.c_void_p(argument.ctypes.data)
    return ctypes.c_double(argument) if isinstance(argument, float) else ctypes.c_longlong(argument)


def wrappers(source):
    """C functions launch_NAME(grid, block, backwards, …) for every kernel of a text; structures come by address."""
    lines = []
    for name, parameters in SIGNATURE.findall(source):
        takes, gives = [], []
        for parameter in filter(None, (p.strip() for p in re.sub(r"\s+", " ", parameters).split(","))):
            kind, _, variable = parameter.rpartition(" ")
            by_address = not ("*" in kind or kind in ("index_t", "double", "const index_t", "const double"))
            takes.append(f"{kind}{'*' if by_address else ''} {variable}")
            gives.append(f"{'*' if by_address else ''}{variable}")
        shape = "const unsigned* grid_, const unsigned* block_, int backwards_"
        call = f"emulation::run(grid_, block_, backwards_, [=] {{ {name}({', '.join(gives)}); }})"
        lines.append(f'extern "C" int launch_{name}({shape}, {", ".join(takes)}) {{ return {call}; }}')
    return "\n".join(lines)


def compiled(folder, kernel_file, dtype):
    """The shared library of a kernel file for a dtype, named by a digest of all that goes into it."""
    source = kernel_file.source()
    define = kernels.compiler_options(dtype)[0]
    text = f'#include "{SHIM}"\n{source}\n{wrappers(source)}\n'
    digest = hashlib.sha256((text + define + SHIM.read_text()).encode()).hexdigest()[:16]
    if digest not in LIBRARIES:
        library = folder / f"{kernel_file.path.stem}-{dtype}-{digest}.so"
        with FileLock(library.with_suffix(".lock")):
            if not library.exists():  # else another program compiled it
                code, made = library.with_suffix(".cpp"), library.with_suffix(".made")
                code.write_text(text)
                # No contraction of a·b + c: what holds here bit by bit must not hang on how an optimizer groups.
                options = ["-O1", "-std=c++17", "-ffp-contract=off", "-fPIC", "-shared", define]
                done = subprocess.run([COMPILER, *options, "-o", made, code], capture_output=True, text=True)
                if done.returncode:
                    raise RuntimeError(f"{kernel_file.path.name}: g++ refuses it:\n{done.stderr}")
                made.rename(library)
        LIBRARIES[digest] = ctypes.CDLL(str(library))
    return LIBRARIES[digest]


LIBRARIES = {}


@contextlib.contextmanager
def emulating(folder, backwards=False):
    """Kernels run on NumPy arrays while the context lasts. Yields the Emulator."""
    before, plain = kernels.emulator, (np.empty, np.empty_like)
    kernels.emulator = Emulator(folder, backwards)
    np.empty, np.empty_like = marked, marked_like
    try:
        yield kernels.emulator
    finally:
        kernels.emulator = before
        np.empty, np.empty_like = plain
