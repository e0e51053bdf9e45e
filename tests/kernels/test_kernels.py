"""Launching kernels, and the faults of a kernel that the emulator catches."""

import numpy as np
import pytest

from engine.cuda.kernels import KernelFile, ascontiguous, blocks_of, fits


def kernel_file(folder, text):
    (folder / "some.cu").write_text(text, encoding="utf-8")
    return KernelFile(folder / "some.py")


ADD = """extern "C" __global__ void add(const real* x, real* y, index_t n, double step) {
    const index_t i = blockIdx.x * 32LL + threadIdx.x;
    if (i < n) y[i] = x[i] + (real)step;
}"""


def test_a_kernel_runs_on_every_entry_once(emulated, tmp_path):
    file = kernel_file(tmp_path, ADD)
    for n in (1, 31, 32, 33, 100):
        x, y = np.arange(n, dtype=np.float32), np.zeros(n, np.float32)
        with emulated() as emulator:
            file.launch("add", x, (blocks_of(n, 32),), (32,), x, y, n, 0.5)
        assert np.array_equal(y, x + 0.5) and emulator.launched == {("add", "float32")}


def test_the_source_is_ascii_whatever_its_comments_are(tmp_path):
    (tmp_path / "some.cu").write_text(f"// Σ of φ\n{ADD}", encoding="utf-8")
    source = KernelFile(tmp_path / "some.py", ANSWER=42).source()
    assert source.isascii() and "#define ANSWER 42\n" in source and ADD in source and '#line 1 "some.cu"' in source


def test_without_blocks_nothing_is_launched(emulated, tmp_path):
    with emulated() as emulator:
        kernel_file(tmp_path, ADD).launch("add", np.zeros(0), (0, 3), (32,))
    assert not emulator.launched


def test_strided_arrays_are_refused(emulated, tmp_path):
    with emulated(), pytest.raises(ValueError, match=r"C-contiguous arrays, got one of shape \(2, 3\)"):
        kernel_file(tmp_path, ADD).launch("add", np.zeros(1), (1,), (32,), np.zeros((3, 2)).T, None, 1, 0.0)
    x = np.zeros((3, 2))
    assert ascontiguous(x) is x and ascontiguous(x.T).flags.c_contiguous and ascontiguous(None) is None


def test_what_fits_has_the_shape_and_the_dtype():
    like = np.zeros(3)
    assert fits(np.ones((2, 3)), (2, 3), like)
    assert not any(fits(x, (2, 3), like) for x in (np.ones((3, 2)), np.ones((2, 3), np.float32), [[0.0] * 3] * 2, None))


def test_the_emulator_catches_writes_outside_an_array(emulated, tmp_path):
    file = kernel_file(tmp_path, ADD.replace("if (i < n) ", ""))
    with emulated(), pytest.raises(RuntimeError, match="add: wrote outside an array"):
        file.launch("add", np.zeros(1), (1,), (32,), np.zeros(32), np.zeros(31), 31, 1.0)


def test_the_emulator_shows_reads_outside_an_array(emulated, tmp_path):
    y = np.zeros(32)
    with emulated():
        kernel_file(tmp_path, ADD).launch("add", y, (1,), (32,), np.zeros(31), y, 32, 1.0)
    assert np.isnan(y[31]) and (y[:31] == 1).all()


def test_the_emulator_shows_numbers_that_no_thread_wrote(emulated, tmp_path):
    """Memory that was in use before may hold the very numbers that are missing."""
    plain = np.empty
    with emulated():
        y, like, count = np.empty(32), np.empty_like(np.zeros(3, np.float32)), np.empty(2, np.int64)
        kernel_file(tmp_path, ADD).launch("add", y, (1,), (32,), np.zeros(32), y, 31, 1.0)
    assert np.isnan(y[31]) and (y[:31] == 1).all()
    assert like.dtype == np.float32 and np.isnan(like).all() and (abs(count) > 2**61).all()
    assert np.empty is plain


def test_the_emulator_catches_a_barrier_some_threads_miss(emulated, tmp_path):
    text = """extern "C" __global__ void part(real* y) {
        if (threadIdx.x < 5) return;
        __syncthreads();
        y[0] = 1;
    }"""
    with emulated(), pytest.raises(RuntimeError, match="part: some threads of a block left while others waited"):
        kernel_file(tmp_path, text).launch("part", np.zeros(1), (1,), (32,), np.zeros(1))


def test_the_order_of_threads_shows_a_missing_barrier(emulated, tmp_path):
    text = """extern "C" __global__ void turn(real* y) {
        __shared__ real s[32];
        s[threadIdx.x] = threadIdx.x;
        BARRIER
        y[threadIdx.x] = s[31 - threadIdx.x];
    }"""
    for barrier, same in (("__syncthreads();", True), ("", False)):
        results = []
        for backwards in (False, True):
            y = np.zeros(32)
            with emulated(backwards):
                kernel_file(tmp_path, text.replace("BARRIER", barrier)).launch("turn", y, (1,), (32,), y)
            results.append(y)
        assert np.array_equal(*results) == same


def test_no_grid_or_block_is_larger_than_a_gpu_has(emulated, tmp_path):
    for blocks, threads in (((1,), (32, 64)), ((1, 65_536), (32,))):
        with emulated(), pytest.raises(ValueError, match="no GPU has"):
            kernel_file(tmp_path, ADD).launch("add", np.zeros(1), blocks, threads)
