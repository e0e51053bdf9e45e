"""cuBLAS without CuPy in between: a product in one call, written where it is wanted, that a CUDA graph can record.

CuPy's own products take two to three times as long on the host, and refuse while a stream is recorded. The library is
the one that CuPy has loaded; where it cannot be called so, products stay CuPy's.
"""

import ctypes
import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.types import Array, Floats2d

# The workspace that cuBLAS asks for on the newest devices. With its own, recorded products equal plain ones.
WORKSPACE_BYTES = 32 << 20
FLOAT32 = 68  # cublasComputeType: CUBLAS_COMPUTE_32F
FLOAT64 = 70
TF32 = 77  # of float32 with operands of TF32
REALS: dict[np.dtype, tuple[int, int, type[ctypes.c_float] | type[ctypes.c_double]]] = {
    np.dtype(np.float32): (0, FLOAT32, ctypes.c_float),  # cudaDataType, cublasComputeType
    np.dtype(np.float64): (1, FLOAT64, ctypes.c_double),
}
INT, POINTER = ctypes.c_int, ctypes.c_void_p
GEMM_ARGUMENTS = [
    POINTER, *[INT] * 5, POINTER, POINTER, INT, INT, POINTER, INT, INT, POINTER, POINTER, INT, INT, INT, INT,
]  # fmt: skip


class Cublas:
    """A handle of cuBLAS.

    library: its functions; current_stream: () → address of the stream to work on; uses_tf32: () → bool;
    workspace: an array of the device, or None.
    """

    def __init__(
        self,
        library: Any,
        current_stream: Callable[[], int],
        uses_tf32: Callable[[], bool],
        workspace: Array | None = None,
    ):
        self.library, self.current_stream, self.uses_tf32 = library, current_stream, uses_tf32
        self.workspace: Any = workspace
        self.handle = POINTER()
        self.stream: int | None = None
        self.require(library.cublasCreate_v2(ctypes.byref(self.handle)), "cublasCreate")
        self.gemm = library.cublasGemmEx
        self.gemm.argtypes = GEMM_ARGUMENTS
        numbers = {dtype: (kind(0), kind(1)) for dtype, (_, _, kind) in REALS.items()}
        self.numbers = numbers  # which the addresses below point to
        self.addresses = {dtype: tuple(map(ctypes.addressof, pair)) for dtype, pair in numbers.items()}

    def follow_stream(self) -> None:
        """Work on CuPy's current stream from now on."""
        stream = self.current_stream()
        if stream != self.stream:
            self.require(self.library.cublasSetStream_v2(self.handle, POINTER(stream)), "cublasSetStream")
            if self.workspace is not None:  # of which setting a stream takes leave
                address, size = POINTER(self.workspace.data.ptr), ctypes.c_size_t(self.workspace.nbytes)
                self.require(self.library.cublasSetWorkspace_v2(self.handle, address, size), "cublasSetWorkspace")
            self.stream = stream

    def multiply(self, a: Any, b: Any, y: Any, add: bool) -> None:
        """y ← a·b, or y + a·b with `add`. a: (n, p), b: (p, q), as supports() wants them; y: (n, q), C-contiguous."""
        self.follow_stream()
        (n, p), q, kind = a.shape, b.shape[1], a.dtype
        number, compute, _ = REALS[kind]
        if compute == FLOAT32 and self.uses_tf32():
            compute = TF32
        zero, one = self.addresses[kind]
        # cuBLAS counts columns first, so it sees every array transposed: yᵀ = bᵀ·aᵀ.
        (b_turned, b_step), (a_turned, a_step) = blas_layout(b), blas_layout(a)
        status = self.gemm(
            self.handle, b_turned, a_turned, q, n, p, one, b.data.ptr, number, b_step, a.data.ptr, number, a_step,
            one if add else zero, y.data.ptr, number, q, compute, -1,
        )  # fmt: skip
        self.require(status, "cublasGemmEx")

    @staticmethod
    def require(status: int, name: str) -> None:
        """Raise RuntimeError unless a function of cuBLAS succeeded."""
        if status:
            raise RuntimeError(f"{name} failed with status {status} of cuBLAS")


def blas_layout(x: Floats2d) -> tuple[int, int]:
    """(1 if cuBLAS must transpose a matrix to see its transpose, else 0; entries from a row or column to the next)."""
    return (0, x.shape[1]) if x.flags.c_contiguous else (1, x.shape[0])


def supports(a: Array, b: Array) -> bool:
    """Whether multiply() computes this product: not one that is empty, strided, or of two dtypes."""
    fits = a.ndim == b.ndim == 2 and a.dtype == b.dtype and a.dtype in REALS and a.size > 0 and b.size > 0
    return fits and all(x.flags.c_contiguous or x.flags.f_contiguous for x in (a, b))


def of_device(x: Array) -> Cublas | None:
    """The Cublas for arrays like x; None on the host, and where cuBLAS cannot be called."""
    if isinstance(x, np.ndarray):
        return None
    cupy = sys.modules.get("cupy")
    return None if cupy is None or not hasattr(cupy, "cuda") else loaded(cupy, cupy.cuda.runtime.getDevice())


@functools.cache
def loaded(cupy: Any, device: int) -> Cublas | None:
    """The Cublas of a device, made at first use."""
    from cupy._core import _routines_linalg as switch  # where CuPy keeps the precision of products: see matmul.py
    from cupy.cuda.device import get_cublas_handle

    get_cublas_handle()  # loads the library
    version = cupy.cuda.runtime.runtimeGetVersion() // 1000
    float32, tf32 = np.dtype(np.float32), switch.COMPUTE_TYPE_TF32
    for name in (f"libcublas.so.{version}", f"cublas64_{version}.dll"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        return Cublas(
            library,
            current_stream=lambda: cupy.cuda.get_current_stream().ptr,
            uses_tf32=lambda: switch.get_compute_type(float32) == tf32,
            workspace=cupy.empty(WORKSPACE_BYTES, np.uint8),
        )
    return None
