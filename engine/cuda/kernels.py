"""CUDA kernels: .cu files beside their equations, compiled at first use, launched on arrays, paired with plain bodies.

A kernel file is compiled once for float32 and once for float64: `real` is the dtype of its arrays, sums are taken in double.
Where arrays are CuPy's (or an emulator stands in for the device, as in the tests) a fused body replaces the plain one.
WAVE_KERNELS says how: `on` (default), `off` (plain bodies everywhere), or `check`: both run, and differences raise.
"""

import functools
import inspect
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.arrays.backend import array_module, to_host
from engine.arrays.checks import REAL
from engine.support.errors import UserError

MODES = ("on", "off", "check")
HEADER = Path(__file__).with_name("kernels.cuh")
TOLERANCES = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}  # of check: ‖difference‖/‖plain result‖
C_TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
COLUMNS, LANES = (
    32,
    8,
)  # of the block of threads that most kernels have: columns of an array, and threads that share each of them
NULL = 0  # a pointer to nothing, as kernels receive it
NUMBERS = (int, float)

emulator = None  # runs kernels on NumPy arrays: launch(kernel_file, name, dtype, blocks, threads, arguments)
files = {}  # path → KernelFile of every .cu file whose Python file has been imported
worst_differences = {}  # of check: (function, dtype) → largest difference that was found, as a share of its tolerance


class KernelDisagreement(UserError):
    """A fused body and its plain twin gave different results, under WAVE_KERNELS=check."""

    def __init__(self, what):
        super().__init__(f"{what}; please report this line; WAVE_KERNELS=off computes without kernels")


def mode():
    """The value of WAVE_KERNELS. UserError for one that does not exist."""
    chosen = os.environ.get("WAVE_KERNELS", "on")
    if chosen not in MODES:
        raise UserError(f"WAVE_KERNELS={chosen}: must be one of {', '.join(MODES)}")
    return chosen


def run_on(x):
    """Whether fused bodies compute on this array: a real one of a device, or of NumPy under an emulator."""
    cupy = sys.modules.get("cupy")
    if cupy is None and emulator is None:
        return False
    on_device = emulator is not None if isinstance(x, np.ndarray) else cupy is not None and isinstance(x, cupy.ndarray)
    return on_device and x.dtype in REAL and mode() != "off"


class KernelFile:
    """The kernels of one .cu file, which lies beside the given .py file of the same name.

    Kernels take arrays (C-contiguous, None for a null pointer), Python integers (long long), Python floats (double) and
    structures by value (NumPy arrays of one structured element).
    """

    def __init__(self, python_file, **constants):
        """constants: names that the kernels know for whole numbers, beside COLUMNS and LANES."""
        path = Path(python_file).resolve()
        self.path = path.with_suffix(".cu")
        self.constants = {"COLUMNS": COLUMNS, "LANES": LANES, **constants}
        files[self.path] = self

    def source(self):
        """Constants, header and kernels as one text in ASCII; compiler messages name the .cu file.

        Comments have other letters too, but CuPy writes the text in the encoding of the locale, which NVRTC of CUDA before 12.6.2
        turns into ASCII.
        """
        defined = "".join(f"#define {name} {value}\n" for name, value in self.constants.items())
        text = f'{defined}{HEADER.read_text(encoding="utf-8")}\n#line 1 "{self.path.name}"\n{self.path.read_text(encoding="utf-8")}'
        return text.encode("ascii", "xmlcharrefreplace").decode()

    def launch(self, name, like, blocks, threads, *arguments):
        """Run kernel `name` of the dtype of `like` with a grid of `blocks` and blocks of `threads`, tuples of up to three."""
        if 0 in blocks:
            return
        if isinstance(like, np.ndarray):
            emulator.launch(self, name, like.dtype, blocks, threads, [contiguous(argument) for argument in arguments])
        else:
            function_of(self, like.dtype, name)(
                blocks, threads, tuple([a if type(a) in NUMBERS else passed(a) for a in arguments])
            )


@functools.cache
def loaded(kernel_file, dtype):
    """The module of a kernel file for a dtype on the device, compiled at first use."""
    import cupy

    return cupy.RawModule(code=kernel_file.source(), options=compiler_options(dtype))


@functools.cache
def function_of(kernel_file, dtype, name):
    """One kernel of a module: looked up once, since a step launches some forty."""
    return loaded(kernel_file, dtype).get_function(name)


def compiler_options(dtype):
    """Options of NVRTC and nvcc alike."""
    return (f"-DREAL={C_TYPES[np.dtype(dtype)]}", "-std=c++17")


def passed(argument):
    """An argument that is no number as CuPy takes it. A structure's fields are left out: their names would be listed at every launch."""
    if argument is None:
        return NULL
    return argument.view(f"V{argument.itemsize}") if isinstance(argument, np.ndarray) else contiguous(argument)


def contiguous(argument):
    """The same argument. Kernels index arrays by hand: a strided view would be read wrongly, so it is refused."""
    if getattr(argument, "flags", None) is not None and not argument.flags.c_contiguous:
        raise ValueError(
            f"kernels take C-contiguous arrays, got one of shape {argument.shape} and strides {argument.strides}"
        )
    return argument


def blocks_of(count, size):
    """How many blocks of `size` hold `count`."""
    return -(-count // size)


class Checked(NamedTuple):
    """The caches of both bodies."""

    fused: object
    plain: object


def with_kernels(plain_forward, plain_backward, fused, check=None):
    """(forward, backward) of a function pair that also has a fused body, taken where its first argument is an array of a device.

    fused: a module with forward, backward, Cache, and optionally applies(*arguments) → bool. check: called with the arguments
    of the fused forward, raises ValueError for wrong ones. The backward follows the cache: who ran forward runs backward.
    """
    name = plain_forward.__name__.removesuffix("_forward")
    first = next(iter(inspect.signature(plain_forward).parameters))
    applies = getattr(fused, "applies", None)

    @functools.wraps(plain_forward)
    def forward(*args, **kwargs):
        if not run_on(args[0] if args else kwargs.get(first)) or (applies and not applies(*args, **kwargs)):
            return plain_forward(*args, **kwargs)
        if check:
            check(*args, **kwargs)
        args, kwargs = tuple(map(in_one_piece, args)), {key: in_one_piece(value) for key, value in kwargs.items()}
        y, cache = fused.forward(*args, **kwargs)
        if mode() == "check":
            expected, plain_cache = plain_forward(*args, **kwargs)
            compare(f"{name} forward", y, expected)
            cache = Checked(cache, plain_cache)
        return y, cache

    @functools.wraps(plain_backward)
    def backward(dy, cache):
        if isinstance(cache, (Checked, fused.Cache)):
            dy = in_one_piece(dy)
        if isinstance(cache, Checked):
            found = fused.backward(dy, cache.fused)
            compare(f"{name} backward", found, plain_backward(dy, cache.plain))
            return found
        return fused.backward(dy, cache) if isinstance(cache, fused.Cache) else plain_backward(dy, cache)

    return forward, backward


def either(fused, plain, x, *arguments):
    """fused(x, …) where kernels run on x, else plain(x, …); under `check` both."""
    if not run_on(x):
        return plain(x, *arguments)
    y = fused(in_one_piece(x), *arguments)
    if mode() == "check":  # on the host, since a device adds up segments by the same kernels without WAVE_KERNELS too
        compare(fused.__name__, to_host(y), plain(*hosted((x, *arguments))))
    return y


def hosted(tree):
    """A tree of tuples with its arrays on the host."""
    if isinstance(tree, tuple):
        parts = [hosted(part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return to_host(tree) if hasattr(tree, "dtype") else tree


def in_one_piece(x):
    """An array as kernels take it: C-contiguous, copied if need be. Anything else as it is."""
    flags = getattr(x, "flags", None)
    return x if flags is None or flags.c_contiguous else x.copy(order="C")


def compare(name, found, expected):
    """Raise KernelDisagreement unless every array agrees with its plain twin to TOLERANCES; remember the worst."""
    pairs = list(zip(leaves_of(found), leaves_of(expected), strict=True))
    for one, other in pairs:
        xp = array_module(one, other)
        finite = xp.isfinite(other)
        if not bool((xp.isfinite(one) == finite).all()):
            raise KernelDisagreement(
                f"{name}: the kernel and its plain twin are not finite in different places ({other.dtype}, shape {other.shape})"
            )
        one, other = (
            xp.where(finite, one, 0),
            xp.where(finite, other, 0),
        )  # numbers that diverge are no fault of a kernel
        difference, size = norm(one - other), norm(other)
        share = difference / (size or 1.0) / TOLERANCES[other.dtype]
        worst_differences[name, other.dtype.name] = max(share, worst_differences.get((name, other.dtype.name), 0.0))
        if not share <= 1 and difference != 0:
            raise KernelDisagreement(
                f"{name}: the kernel differs from its plain twin by {share:.3g} times the tolerance ({other.dtype}, shape {other.shape})"
            )


def leaves_of(tree):
    """The float arrays of a tree of tuples."""
    if isinstance(tree, tuple):
        return [leaf for part in tree for leaf in leaves_of(part)]
    return [tree] if getattr(tree, "dtype", None) in REAL else []


def norm(x):
    """‖x‖ as a float, in float64."""
    return float((x.astype(np.float64) ** 2).sum()) ** 0.5
