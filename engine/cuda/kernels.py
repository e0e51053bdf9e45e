"""CUDA kernels: .cu files beside the Python files that launch them, compiled at first use.

A kernel file is compiled once for float32 and once for float64: `real` is the dtype of its arrays, sums are taken in
double. Kernels run on CuPy's arrays; in the tests an emulator runs them on NumPy's.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.arrays.backend import to_host
from engine.arrays.checks import REAL
from engine.implementation import compare
from engine.support.implementation import current

HEADER = Path(__file__).with_name("kernels.cuh")
C_TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
# The block of threads that most kernels have: columns of an array, and threads that share each of them.
COLUMNS, LANES = 32, 8
NULL = 0  # a null pointer as kernels receive it
NUMBERS = (int, float)

emulator: Any = None  # runs kernels on NumPy arrays: launch(kernel_file, name, dtype, blocks, threads, arguments)
files: "dict[Path, KernelFile]" = {}  # by path: every .cu file whose Python file has been imported


def uses_kernels(x: Any) -> bool:
    """Whether kernels compute on this array: a real one of a device, or of NumPy under an emulator."""
    cupy = sys.modules.get("cupy")
    if cupy is None and emulator is None:
        return False
    on_device = emulator is not None if isinstance(x, np.ndarray) else cupy is not None and isinstance(x, cupy.ndarray)
    return on_device and x.dtype in REAL and current() != "equations"


def fits(x: Any, shape: tuple[int, ...], like: Any) -> bool:
    """Whether x is an array of that shape with the dtype of `like`: what kernels, which index by hand, do not check."""
    return getattr(x, "shape", None) == shape and x.dtype == like.dtype


class KernelFile:
    """The kernels of one .cu file, which lies beside the given .py file of the same name.

    Kernels take arrays (C-contiguous, None for a null pointer), Python integers (long long), Python floats (double) and
    structures by value (NumPy arrays of one structured element).
    """

    def __init__(self, python_file: str | Path, **constants: int):
        """constants: integers that the kernels know by name, beside COLUMNS and LANES."""
        path = Path(python_file).resolve()
        self.path = path.with_suffix(".cu")
        self.constants = {"COLUMNS": COLUMNS, "LANES": LANES, **constants}
        files[self.path] = self

    def source(self) -> str:
        """Constants, header and kernels as one text in ASCII; compiler messages name the .cu file.

        Comments have other letters too, but CuPy writes the text in the encoding of the locale, which NVRTC of CUDA
        before 12.6.2 turns into ASCII.
        """
        defined = "".join(f"#define {name} {value}\n" for name, value in self.constants.items())
        header, kernels = HEADER.read_text(encoding="utf-8"), self.path.read_text(encoding="utf-8")
        text = f'{defined}{header}\n#line 1 "{self.path.name}"\n{kernels}'
        return text.encode("ascii", "xmlcharrefreplace").decode()

    def launch(self, name: str, like: Any, blocks: tuple[int, ...], threads: tuple[int, ...], *arguments: Any) -> None:
        """Run kernel `name` of the dtype of `like`; blocks, threads: sizes of the grid and of a block, up to three."""
        if 0 in blocks:
            return
        if isinstance(like, np.ndarray):
            emulator.launch(self, name, like.dtype, blocks, threads, [contiguous(argument) for argument in arguments])
        else:
            values = tuple([a if type(a) in NUMBERS else kernel_argument(a) for a in arguments])
            function_of(self, like.dtype, name)(blocks, threads, values)


@functools.cache
def loaded(kernel_file: KernelFile, dtype: np.dtype) -> Any:
    """The module of a kernel file for a dtype on the device, compiled at first use."""
    import cupy

    return cupy.RawModule(code=kernel_file.source(), options=compiler_options(dtype))


@functools.cache
def function_of(kernel_file: KernelFile, dtype: np.dtype, name: str) -> Callable[..., None]:
    """One kernel of a module: looked up once, since a step launches some forty."""
    function: Callable[..., None] = loaded(kernel_file, dtype).get_function(name)
    return function


def compiler_options(dtype: npt.DTypeLike) -> tuple[str, ...]:
    """Options of NVRTC and nvcc alike."""
    return (f"-DREAL={C_TYPES[np.dtype(dtype)]}", "-std=c++17")


def kernel_argument(argument: Any) -> Any:
    """An argument that is no number as CuPy takes it.

    A structure's fields are left out: their names would be listed at every launch.
    """
    if argument is None:
        return NULL
    return argument.view(f"V{argument.itemsize}") if isinstance(argument, np.ndarray) else contiguous(argument)


def contiguous(argument: Any) -> Any:
    """The same argument. Raises ValueError for a strided array: kernels index by hand and would read it wrongly."""
    if getattr(argument, "flags", None) is not None and not argument.flags.c_contiguous:
        raise ValueError(
            f"kernels take C-contiguous arrays, got one of shape {argument.shape} and strides {argument.strides}"
        )
    return argument


def blocks_of(count: int, size: int) -> int:
    """How many blocks of `size` hold `count`."""
    return -(-count // size)


def dispatch(kernel: Callable[..., Any], equation: Callable[..., Any], x: Any, *arguments: Any) -> Any:
    """kernel(x, …) where kernels compute on x, else equation(x, …); with implementation=check both."""
    if not uses_kernels(x):
        return equation(x, *arguments)
    y = kernel(ascontiguous(x), *arguments)
    if current() == "check":  # on the host: a device adds up segments by the same kernels in the equations too
        compare(kernel.__name__, to_host(y), equation(*tree_to_host((x, *arguments))))
    return y


def tree_to_host(tree: Any) -> Any:
    """A tree of tuples with its arrays on the host."""
    if isinstance(tree, tuple):
        parts = [tree_to_host(part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return to_host(tree) if hasattr(tree, "dtype") else tree


def ascontiguous(x: Any) -> Any:
    """An array as kernels take it: C-contiguous, copied if need be. Anything else as it is."""
    flags = getattr(x, "flags", None)
    return x if flags is None or flags.c_contiguous else x.copy(order="C")
