"""Matrix products, and the bits of their operands: float32 (24) or TF32 (11, on tensor cores; sums in float32).

CuPy 14 offers no more for float32 arrays: it leaves out cuBLAS's bfloat16 and float16 modes. On a device cuBLAS is
called directly (cublas.py) wherever it can be, with the precision that CuPy's switch says.
"""

import contextlib
from collections.abc import Iterator

import numpy as np

from engine.arrays.backend import array_module
from engine.cuda import cublas
from engine.support.errors import UserError
from engine.types import Floats2d

PRECISIONS = ("float32", "tf32")
OLDEST_TF32 = 80  # compute capability
emulates_tf32 = False


def product(a: Floats2d, b: Floats2d) -> Floats2d:
    """a @ b, (n, p)·(p, q) → (n, q)."""
    if emulates_tf32 and a.dtype == np.float32:
        a, b = rounded_to_tf32(a), rounded_to_tf32(b)
    direct = cublas.of_device(a)
    if direct is None or not cublas.supports(a, b):
        return a @ b
    y = array_module(a, b).empty((a.shape[0], b.shape[1]), a.dtype)
    direct.multiply(a, b, y, add=False)
    return y


def add_product(accumulate: Floats2d, a: Floats2d, b: Floats2d) -> Floats2d:
    """accumulate + a @ b.

    On a device the result may be written into `accumulate` (n, q), which nobody else may read any more. accumulate may
    be a or b, and is then not written: cuBLAS does not allow its result where its factors lie.
    """
    direct = cublas.of_device(accumulate)
    in_place = accumulate is not a and accumulate is not b and accumulate.flags.c_contiguous
    if direct is None or not in_place or not cublas.supports(a, b):
        y = product(a, b)
        y += accumulate
        return y
    array_module(accumulate, a, b)  # refuses arrays of the host
    direct.multiply(a, b, accumulate, add=True)
    return accumulate


def check_precision(name: str, device: str) -> None:
    """Raise UserError where a device ("cpu" or "cuda") has no products of that precision."""
    if name == "float32":
        return
    if device != "cuda":
        raise UserError(
            f"precision {name}: only the tensor cores of a GPU multiply so; "
            "give --device cuda, or set precision=float32"
        )
    import cupy

    if int(cupy.cuda.Device().compute_capability) < OLDEST_TF32:
        raise UserError(
            f"precision {name}: this GPU is older than compute capability 8.0 and cannot; set precision=float32"
        )


@contextlib.contextmanager
def product_precision(name: str, device: str) -> Iterator[None]:
    """Compute products of float32 arrays on a device in this precision while the context lasts.

    The CPU has float32 alone.
    """
    check_precision(name, device)
    if device != "cuda":
        yield
        return

    # Where CuPy keeps the switch; CUPY_TF32 in the environment sets it too.
    from cupy._core import _routines_linalg as switch

    before = switch.get_compute_type(np.float32)
    switch.set_compute_type(np.float32, switch.COMPUTE_TYPE_TF32 if name == "tf32" else switch.COMPUTE_TYPE_DEFAULT)
    try:
        yield
    finally:
        switch.set_compute_type(np.float32, before)


@contextlib.contextmanager
def emulated_tf32() -> Iterator[None]:
    """Round float32 operands of product() as tensor cores do while the context lasts.

    It measures on a CPU what TF32 costs in accuracy.
    """
    global emulates_tf32
    before, emulates_tf32 = emulates_tf32, True
    try:
        yield
    finally:
        emulates_tf32 = before


def rounded_to_tf32(x: Floats2d) -> Floats2d:
    """float32 with the 13 lowest bits rounded off, halves away from zero; infinities and NaN stay."""
    x = np.ascontiguousarray(x)
    bits = x.view(np.uint32)
    return np.where(np.isfinite(x), (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000), bits).view(np.float32)
