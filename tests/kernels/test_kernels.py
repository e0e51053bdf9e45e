"""What launches kernels and pairs them with plain bodies; and that the emulator catches what would go wrong on a GPU."""

import types
from typing import NamedTuple

import numpy as np
import pytest

from engine.cuda import kernels
from engine.cuda.kernels import KernelDisagreement, KernelFile, blocks_of, either, with_kernels


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


def test_the_text_is_ascii_whatever_its_comments_are(tmp_path):
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


def test_the_emulator_catches_writes_outside_an_array(emulated, tmp_path):
    file = kernel_file(tmp_path, ADD.replace("if (i < n) ", ""))
    with emulated(), pytest.raises(RuntimeError, match="add: wrote outside an array"):
        file.launch("add", np.zeros(1), (1,), (32,), np.zeros(32), np.zeros(31), 31, 1.0)


def test_the_emulator_shows_reads_outside_an_array(emulated, tmp_path):
    y = np.zeros(32)
    with emulated():
        kernel_file(tmp_path, ADD).launch("add", y, (1,), (32,), np.zeros(31), y, 32, 1.0)
    assert np.isnan(y[31]) and (y[:31] == 1).all()


def test_the_emulator_catches_a_barrier_that_some_threads_never_reach(emulated, tmp_path):
    file = kernel_file(
        tmp_path,
        'extern "C" __global__ void part(real* y) {\n    if (threadIdx.x < 5) return;\n    __syncthreads();\n    y[0] = 1;\n}',
    )
    with emulated(), pytest.raises(RuntimeError, match="part: some threads of a block left while others waited"):
        file.launch("part", np.zeros(1), (1,), (32,), np.zeros(1))


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


class Cache(NamedTuple):
    x: np.ndarray


def doubled(factor):
    """A pair whose fused body multiplies by `factor` where the plain one doubles."""

    def double_forward(x):
        return 2 * x, ("plain",)

    def double_backward(dy, cache):
        return 2 * dy

    fused = types.SimpleNamespace(
        forward=lambda x: (factor * x, Cache(x)), backward=lambda dy, cache: factor * dy, Cache=Cache
    )
    return with_kernels(double_forward, double_backward, fused)


def test_the_mode_chooses_the_body_and_backward_follows_the_cache(emulated, monkeypatch):
    forward, backward = doubled(3)
    x = np.ones(4)
    assert forward(x)[0][0] == 2
    with emulated():
        y, cache = forward(x)
        monkeypatch.setenv("WAVE_KERNELS", "off")
        assert y[0] == 3 and backward(x, cache)[0] == 3 and forward(x)[0][0] == 2
        monkeypatch.setenv("WAVE_KERNELS", "check")
        with pytest.raises(KernelDisagreement, match="double forward: the kernel differs from its plain twin by"):
            forward(x)
        assert forward(np.ones(4, np.int64))[0][0] == 2  # no kernel is for integers
    forward, backward = doubled(2)
    with emulated():
        assert backward(x, forward(x)[1])[0] == 2


def test_a_disagreement_is_measured_in_tolerances_and_nan_is_one(monkeypatch):
    monkeypatch.setattr(kernels, "worst_differences", {})
    kernels.compare("some", np.array([1 + 5e-13, 0.0]), np.array([1.0, 0.0]))
    assert kernels.worst_differences["some", "float64"] == pytest.approx(0.5, rel=0.01)
    for wrong in (1 + 2e-12, np.nan):
        with pytest.raises(KernelDisagreement):
            kernels.compare("some", np.array([wrong]), np.array([1.0]))
    kernels.compare("diverged", np.array([np.nan, np.inf, 1.0]), np.array([np.inf, np.nan, 1.0]))
    with pytest.raises(KernelDisagreement, match="not finite in different places"):
        kernels.compare("some", np.array([1.0]), np.array([np.nan]))
    kernels.compare("zero", np.zeros(2), np.zeros(2))
    with pytest.raises(KernelDisagreement):
        kernels.compare("zero", np.full(2, 1e-3), np.zeros(2))


def test_single_functions_have_two_bodies_as_well(emulated, monkeypatch):
    def fused(x):
        assert x.flags.c_contiguous
        return x + 1

    x = np.ones((3, 4)).T
    assert either(fused, lambda x: x * 0, x)[0, 0] == 0
    with emulated():
        assert either(fused, lambda x: x * 0, x)[0, 0] == 2
        monkeypatch.setenv("WAVE_KERNELS", "check")
        with pytest.raises(KernelDisagreement, match="fused"):
            either(fused, lambda x: x * 0, x)
