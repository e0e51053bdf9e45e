"""Which module owns an array, which device is used, copies to a device, and random numbers that depend on their key."""

import itertools
import sys
import types
from typing import NamedTuple

import numpy as np
import pytest

from engine.arrays.backend import (
    accumulator_dtype,
    array_module,
    blas_threads,
    known_blas,
    move_together,
    peak_memory_bytes,
    random_generator,
    resolve_device,
    to_device,
    to_host,
    why_no_cuda,
)
from engine.support.errors import UserError


class DeviceArray:
    """Stands for cupy.ndarray."""

    def get(self):
        return np.arange(3)


@pytest.fixture
def fake_cupy(monkeypatch):
    """A CuPy that can be imported; touching the device fails as it does without a driver."""

    def zeros(*_):
        raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected\nmore lines")

    module = types.SimpleNamespace(ndarray=DeviceArray, zeros=zeros)
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)


def test_numpy_owns_numpy_arrays_and_everything_that_is_no_array(no_cupy):
    assert array_module(np.zeros(2), None, 3.0) is np
    assert array_module() is np


def test_the_owner_is_told_by_the_arrays_and_mixing_is_refused(fake_cupy):
    assert array_module(np.zeros(2)) is np
    assert array_module(DeviceArray(), 1.0) is fake_cupy
    with pytest.raises(ValueError, match="NumPy and of CuPy in one call.*to_device"):
        array_module(DeviceArray(), np.zeros(2))


def test_device_arrays_come_to_the_host(fake_cupy):
    """Device arrays come to the host and host arrays stay the same object."""
    x = np.zeros(2)
    assert to_host(x) is x and to_device(x, "cpu") is x
    assert np.array_equal(to_host(DeviceArray()), [0, 1, 2])


@pytest.mark.parametrize(
    "dtype, total",
    [(np.float32, np.float64), (np.float64, np.float64), (np.complex128, np.complex128), (np.int64, np.int64)],
)
def test_float32_is_summed_in_float64_and_the_rest_as_it_is(dtype, total):
    assert accumulator_dtype(dtype) == accumulator_dtype(np.dtype(dtype)) == total


def test_without_cupy_auto_means_cpu_and_cuda_is_refused(no_cupy):
    """Without CuPy, auto means cpu, and cuda is refused in one line."""
    assert resolve_device("cpu") == resolve_device("auto") == "cpu"
    with pytest.raises(UserError, match="^--device cuda: CuPy is not installed; use --device cpu[^\n]*$"):
        resolve_device("cuda")


def test_without_a_driver_auto_means_cpu_and_cuda_is_refused(fake_cupy):
    """Without a driver, auto means cpu, and cuda is refused in one line."""
    assert resolve_device("auto") == "cpu"
    with pytest.raises(UserError, match="^--device cuda: no CUDA device is usable .cudaErrorNoDevice[^\n]*$"):
        resolve_device("cuda")


def test_a_broken_installation_is_a_reason_and_no_traceback(monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text("raise RuntimeError('libcuda.so is of another version')")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert why_no_cuda() == "CuPy cannot be imported (libcuda.so is of another version)"


def test_a_usable_device_is_taken(monkeypatch, fake_cupy):
    monkeypatch.setattr(fake_cupy, "zeros", np.zeros)
    assert resolve_device("auto") == resolve_device("cuda") == "cuda"


@pytest.mark.parametrize("name", ["gpu", "", "CUDA"])
def test_an_unknown_device_is_refused_with_the_choices(name):
    with pytest.raises(UserError, match=f"device '{name}' is unknown: use cpu, cuda or auto"):
        resolve_device(name)


def test_random_streams_are_told_apart_by_their_keys_alone():
    keys = [(0, 0), (0, 1), (1, 0), (0, 103, 1), (0, 103, 2), (0, 101, 1), (2**32, 103, 1), (2**63 - 1, 103, 1)]
    draws = [random_generator(*key).random(4) for key in keys]
    for key, draw in zip(keys, draws):
        assert np.array_equal(random_generator(*key).random(4), draw)
    assert not any(np.any(a == b) for a, b in itertools.combinations(draws, 2))


def test_the_peak_of_memory_counts_what_is_freed():
    before = peak_memory_bytes()
    size = before + (64 << 20)
    np.ones(size, np.int8)
    assert 0 < before < size < peak_memory_bytes()


def test_memory_is_told_without_a_proc_file_system_too(monkeypatch):
    def refuse(*_, **__):
        raise OSError

    monkeypatch.setattr("builtins.open", refuse)
    without = peak_memory_bytes()
    monkeypatch.undo()
    if sys.platform == "linux":
        assert abs(without - peak_memory_bytes()) <= 0.1 * without


def test_the_threads_of_matrix_products_are_limited_for_a_while():
    counts = lambda: {pool["num_threads"] for pool in known_blas().info() if pool["user_api"] == "blas"}  # noqa: E731
    before = counts()
    if not before:
        pytest.skip("threadpoolctl knows no BLAS in this process")
    with blas_threads(1):
        assert counts() == {1}
        with blas_threads(0):
            assert counts() == {1}  # as found
    assert counts() == before


class Pair(NamedTuple):
    first: object
    second: object


class CopiedArray:
    def __init__(self, host):
        self.host = host

    def __getitem__(self, key):
        return CopiedArray(self.host[key])

    def reshape(self, shape):
        return CopiedArray(self.host.reshape(shape))

    def astype(self, dtype):
        return CopiedArray(self.host.astype(dtype))


@pytest.fixture
def copies(monkeypatch):
    """Sizes of the arrays that were copied to a device."""
    made = []

    class Cupy:
        ndarray = CopiedArray

        @staticmethod
        def asarray(x):
            made.append(x)
            return CopiedArray(x)

    monkeypatch.setitem(sys.modules, "cupy", Cupy)
    return made


def test_all_arrays_go_in_one_copy_and_keep_their_places(copies):
    there = CopiedArray(np.arange(2))
    tree = (Pair(np.array([1, 2]), None), (np.array([], np.int64), np.array([3], np.int32)), there)
    pair, (empty, three), same = move_together(tree, there)
    assert isinstance(pair, Pair) and pair.second is None and same is there
    assert (pair.first.host.tolist(), empty.host.tolist(), three.host.tolist()) == ([1, 2], [], [3])
    assert three.host.dtype == np.int64 and len(copies) == 1


def test_booleans_keep_their_shape_and_come_with_the_rest(copies):
    rows = np.array([[True, False, True], [False, True, False]])
    pair = move_together(Pair(np.array([7, 8]), rows), CopiedArray(np.zeros(1)))
    assert pair.first.host.tolist() == [7, 8] and len(copies) == 1
    assert pair.second.host.tolist() == rows.tolist() and pair.second.host.dtype == bool


def test_nothing_is_copied_that_is_there_already(copies):
    tree = Pair(np.array([1]), None)
    assert move_together(tree, np.zeros(1)) is tree and move_together(None, CopiedArray(np.zeros(1))) is None
    moved = Pair(CopiedArray(np.array([1])), None)
    assert move_together(moved, CopiedArray(np.zeros(1))) is moved and not copies
