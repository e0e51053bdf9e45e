"""cuBLAS called without CuPy in between: a product in one call, written where it is wanted, that a CUDA graph can record.

CuPy's own products take two to three times as long on the host, and refuse while a stream is recorded. The library is the one that
CuPy has loaded; where it cannot be called so, products stay CuPy's.
"""

import ctypes
import functools
import sys

import numpy as np

WORKSPACE_BYTES = (
    32 << 20
)  # what cuBLAS asks for on the newest devices. Its own, so that recorded products are those of plain ones
REALS = {
    np.dtype(np.float32): (0, 68, ctypes.c_float),
    np.dtype(np.float64): (1, 70, ctypes.c_double),
}  # cudaDataType, cublasComputeType
TF32 = 77  # the compute type of float32 with operands of TF32
INT, POINTER = ctypes.c_int, ctypes.c_void_p
GEMM_ARGUMENTS = [
    POINTER,
    *[INT] * 5,
    POINTER,
    POINTER,
    INT,
    INT,
    POINTER,
    INT,
    INT,
    POINTER,
    POINTER,
    INT,
    INT,
    INT,
    INT,
]


class Cublas:
    """A handle of cuBLAS. library: its functions; current_stream: () → address of the stream to work on; uses_tf32: () → bool.

    workspace: an array of the device, or None.
    """

    def __init__(self, library, current_stream, uses_tf32, workspace=None):
        self.library, self.current_stream, self.uses_tf32, self.workspace = (
            library,
            current_stream,
            uses_tf32,
            workspace,
        )
        self.handle, self.stream = POINTER(), None
        self.require(library.cublasCreate_v2(ctypes.byref(self.handle)), "cublasCreate")
        self.gemm = library.cublasGemmEx
        self.gemm.argtypes = GEMM_ARGUMENTS
        numbers = {dtype: (kind(0), kind(1)) for dtype, (_, _, kind) in REALS.items()}
        self.numbers = numbers  # which the addresses below point to
        self.addresses = {dtype: tuple(map(ctypes.addressof, pair)) for dtype, pair in numbers.items()}

    def follow_stream(self):
        """Work on CuPy's current stream from now on."""
        stream = self.current_stream()
        if stream != self.stream:
            self.require(self.library.cublasSetStream_v2(self.handle, POINTER(stream)), "cublasSetStream")
            if self.workspace is not None:  # of which setting a stream takes leave
                address, size = POINTER(self.workspace.data.ptr), ctypes.c_size_t(self.workspace.nbytes)
                self.require(self.library.cublasSetWorkspace_v2(self.handle, address, size), "cublasSetWorkspace")
            self.stream = stream

    def multiply(self, a, b, y, add):
        """y ← a·b, or y + a·b with `add`. a: (n, p), b: (p, q), as supports() wants them; y: (n, q), C-contiguous."""
        self.follow_stream()
        (n, p), q, kind = a.shape, b.shape[1], a.dtype
        number, compute, _ = REALS[kind]
        if compute == 68 and self.uses_tf32():
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
    def require(status, name):
        if status:
            raise RuntimeError(f"{name} failed with status {status} of cuBLAS")


def blas_layout(x):
    """(whether cuBLAS must turn a matrix round to see its transpose, entries from one row or column to the next)."""
    return (0, x.shape[1]) if x.flags.c_contiguous else (1, x.shape[0])


def supports(a, b):
    """Whether multiply() computes this product: what is left over is empty, strided, or of two dtypes."""
    return (
        a.ndim == b.ndim == 2
        and a.dtype == b.dtype
        and a.dtype in REALS
        and a.size
        and b.size
        and all(x.flags.c_contiguous or x.flags.f_contiguous for x in (a, b))
    )


def of_device(x):
    """The Cublas for arrays like x; None on the host, and where cuBLAS cannot be called."""
    if isinstance(x, np.ndarray):
        return None
    cupy = sys.modules.get("cupy")
    return None if cupy is None or not hasattr(cupy, "cuda") else loaded(cupy, cupy.cuda.runtime.getDevice())


@functools.cache
def loaded(cupy, device):
    """The Cublas of a device, made at first use."""
    from cupy._core import _routines_linalg as switch  # where CuPy keeps the precision of products: see products.py
    from cupy.cuda.device import get_cublas_handle

    get_cublas_handle()  # loads the library
    version = cupy.cuda.runtime.runtimeGetVersion() // 1000
    for name in (f"libcublas.so.{version}", f"cublas64_{version}.dll"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        float32 = np.dtype(np.float32)
        return Cublas(
            library, lambda: cupy.cuda.get_current_stream().ptr, lambda: switch.get_compute_type(float32) == switch.COMPUTE_TYPE_TF32,
            cupy.empty(WORKSPACE_BYTES, np.uint8),
        )  # fmt: skip
    return None
