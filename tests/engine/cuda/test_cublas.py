"""Products by cuBLAS's rules, played by NumPy: which matrices are transposed, their steps, sums, and the precision."""

import ctypes
import types

import numpy as np
import pytest

from engine.cuda import cublas
from engine.cuda.cublas import Cublas, supports


class Device(np.ndarray):
    """An array with the address of its numbers where CuPy has it."""

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.ctypes.data)


def on_device(x):
    return x.view(Device)


class Function:
    """A function of a library, whose argument types may be set."""

    def __init__(self, call):
        self.call = call

    def __call__(self, *arguments):
        return self.call(*arguments)


class Library:
    """cuBLAS as far as Cublas uses it. It counts columns first, as Fortran does. calls: what was asked for."""

    def __init__(self, status=0):
        self.calls, self.status = [], status
        self.cublasCreate_v2 = Function(lambda handle: 0)
        self.cublasSetStream_v2 = Function(lambda handle, stream: self.note("stream", stream.value))
        self.cublasSetWorkspace_v2 = Function(
            lambda handle, address, size: self.note("workspace", address.value, size.value)
        )
        self.cublasGemmEx = Function(self.gemm)

    def note(self, *call):
        self.calls.append(call)
        return 0

    def gemm(
        self, handle, turn_a, turn_b, m, n, k, alpha, a, kind_a, lda, b, kind_b, ldb, beta, c, kind_c, ldc, compute,
        algorithm,
    ):  # fmt: skip
        dtype = {0: np.float32, 1: np.float64}[kind_a]
        assert kind_a == kind_b == kind_c and algorithm == -1

        def matrix(address, rows, columns, step):
            assert step >= rows
            numbers = (ctypes.c_char * (np.dtype(dtype).itemsize * step * columns)).from_address(address)
            return np.frombuffer(numbers, dtype).reshape(columns, step).T[:rows]

        A = matrix(a, *((k, m) if turn_a else (m, k)), lda)
        B = matrix(b, *((n, k) if turn_b else (k, n)), ldb)
        C = matrix(c, m, n, ldc)
        number = {np.float32: ctypes.c_float, np.float64: ctypes.c_double}[dtype]
        one, before = number.from_address(alpha).value, number.from_address(beta).value
        C[...] = one * (A.T if turn_a else A) @ (B.T if turn_b else B) + (before * C if before else 0)
        self.calls.append(("gemm", compute))
        return self.status


@pytest.fixture
def library():
    return Library()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("turned", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 5, 4), (3, 1, 4), (3, 5, 1), (1, 1, 1)])
def test_products_of_any_layout(library, dtype, turned, shape):
    (n, p, q), rng = shape, np.random.default_rng(0)
    a = on_device(rng.standard_normal((p, n) if turned[0] else (n, p)).astype(dtype))
    b = on_device(rng.standard_normal((q, p) if turned[1] else (p, q)).astype(dtype))
    a, b = a.T if turned[0] else a, b.T if turned[1] else b
    handle, y = Cublas(library, lambda: 7, lambda: False), on_device(np.full((n, q), np.nan, dtype))
    assert supports(a, b)
    handle.multiply(a, b, y, add=False)
    np.testing.assert_allclose(y, np.asarray(a) @ np.asarray(b), rtol=1e-5 if dtype == np.float32 else 1e-13)
    handle.multiply(a, b, y, add=True)
    np.testing.assert_allclose(y, 2 * (np.asarray(a) @ np.asarray(b)), rtol=1e-5 if dtype == np.float32 else 1e-13)
    compute = 68 if dtype == np.float32 else 70
    assert library.calls == [("stream", 7), ("gemm", compute), ("gemm", compute)]


def test_the_precision_is_asked_for_and_is_of_float32_alone(library):
    tf32 = iter([True, False])
    handle = Cublas(library, lambda: None, lambda: next(tf32))
    for dtype in (np.float32, np.float32, np.float64):
        x, y = (on_device(np.ones((2, 2), dtype)) for _ in range(2))
        handle.multiply(x, x, y, add=False)
    assert [compute for _, compute in library.calls] == [77, 68, 70]


def test_a_workspace_is_given_anew_with_every_stream(library):
    streams, workspace = iter([1, 1, 2, 2]), on_device(np.zeros(16, np.uint8))
    handle = Cublas(library, lambda: next(streams), lambda: False, workspace)
    for _ in range(4):
        handle.follow_stream()
    own = ("workspace", workspace.ctypes.data, 16)
    assert library.calls == [("stream", 1), own, ("stream", 2), own]


def test_what_is_left_to_cupy():
    x = np.ones((4, 4), np.float32)
    assert supports(x, x) and supports(x.T, x[:2].T)
    others = [(x[:, :2], x[:2]), (x, x[:, 0]), (x[:0], x), (x, x.astype(float)), (x + 0j, x + 0j)]
    assert not any(supports(a, b) for a, b in others)
    assert cublas.of_device(x) is None


def test_a_refusal_is_an_error():
    handle, x = Cublas(Library(status=13), lambda: None, lambda: False), on_device(np.ones((2, 2)))
    with pytest.raises(RuntimeError, match="^cublasGemmEx failed with status 13 of cuBLAS$"):
        handle.multiply(x, x, x.copy(), add=False)
