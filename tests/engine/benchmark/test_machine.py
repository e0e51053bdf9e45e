"""The description of a machine and its device, and their rates on a clock that the tests set; CuPy is stood in for."""

import json
import os
import sys
import types

import numpy as np
import pytest

from engine.arrays.backend import peak_memory_bytes
from engine.benchmark import machine
from engine.benchmark.machine import (
    copy_bandwidth,
    describe_device,
    driver_release,
    product_rate,
    release_memory,
    restart_peak,
    square_product_rate,
)
from engine.benchmark.timing import HostClock


class FixedClock:
    """Every measurement takes half a second more than the one before."""

    def __init__(self):
        self.taken = 0

    def seconds(self, run):
        run()
        self.taken += 1
        return 0.5 * self.taken


MEDIAN = 0.5 * (machine.REPEATS + 1) / 2 / machine.CALLS


def test_a_copy_reads_and_writes_every_byte(monkeypatch):
    copied = []
    monkeypatch.setattr(np, "copyto", lambda y, x: copied.append((y.nbytes, x.nbytes)))
    assert copy_bandwidth("cpu", FixedClock(), 1000) == pytest.approx(8000 / MEDIAN)
    assert copied == [(4000, 4000)] * (machine.REPEATS + 1) * machine.CALLS


def test_a_product_multiplies_and_adds_for_each_entry(monkeypatch):
    shapes = set()
    monkeypatch.setattr(np, "matmul", lambda x, w, out: shapes.add((x.shape, w.shape, out.shape, x.dtype)))
    assert square_product_rate("cpu", FixedClock(), 20) == pytest.approx(2 * 20**3 / MEDIAN)
    assert shapes == {((20, 20), (20, 20), (20, 20), np.dtype(np.float32))}


def test_the_shape_and_the_repeats_of_a_product_are_chosen(monkeypatch):
    shapes = []
    monkeypatch.setattr(np, "matmul", lambda x, w, out: shapes.append((x.shape, w.shape, out.shape, x.dtype)))
    assert product_rate(30, 20, 10, "cpu", FixedClock(), repeats=3) == 2 * 30 * 20 * 10 / 1.0
    assert shapes == [((30, 20), (20, 10), (30, 10), np.dtype(np.float32))] * 4


def test_real_rates_are_positive():
    assert copy_bandwidth("cpu", HostClock(), 1000) > 0 and square_product_rate("cpu", HostClock(), 8) > 0


def test_a_device_is_described_by_plain_values(monkeypatch):
    runtime = types.SimpleNamespace(
        getDeviceProperties=lambda number: {"name": b"NVIDIA Test %d" % number, "totalGlobalMem": 80 * 2**30},
        driverGetVersion=lambda: 13020, runtimeGetVersion=lambda: 12090,
    )  # fmt: skip
    cuda = types.SimpleNamespace(runtime=runtime, Device=lambda: types.SimpleNamespace(id=3))
    cupy = types.SimpleNamespace(cuda=cuda, __version__="14.2.0")
    monkeypatch.setattr(machine, "driver_release", lambda: "580.95.05")
    assert describe_device("cuda", cupy) == {
        "device": "NVIDIA Test 3", "device_memory_bytes": 80 * 2**30, "driver": "580.95.05",
        "driver_cuda": "13.2", "cuda_runtime": "12.9", "cupy": "14.2.0",
    }  # fmt: skip
    assert describe_device("cpu") == {}


def test_the_driver_is_found_in_its_file_or_not_at_all(tmp_path):
    file = tmp_path / "version"
    file.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\nGCC version: 11.4\n"
    )
    assert driver_release(file) == "580.95.05"
    assert driver_release(tmp_path / "none") is None


def test_the_pool_gives_back_what_was_freed(monkeypatch):
    calls = []
    pool = types.SimpleNamespace(free_all_blocks=lambda: calls.append("freed"))
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(get_default_memory_pool=lambda: pool))
    release_memory("cpu")
    assert not calls
    release_memory("cuda")
    assert calls == ["freed"]
    restart_peak("cuda")
    assert calls == ["freed"] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process ask for it")
def test_a_peak_that_is_over_can_be_forgotten():
    numbers = np.ones(2**25)  # 256 MiB, which the system gets back as soon as they are freed
    with_them = peak_memory_bytes()
    del numbers
    assert peak_memory_bytes() > with_them - 2**20, "counted by the page, and not at once"
    restart_peak("cpu")
    assert peak_memory_bytes() < with_them - 2**27


def test_the_description_is_plain_and_complete():
    found = machine.describe_machine()
    assert json.loads(json.dumps(found)) == found
    assert {"processor", "cores", "memory_bytes", "system", "python", "numpy", "blas"} <= found.keys()
    assert 1 <= found["cores"] <= os.cpu_count() and found["processor"]


def test_a_system_that_does_not_tell_is_no_error(monkeypatch):
    monkeypatch.setattr("builtins.open", lambda *_, **__: (_ for _ in ()).throw(OSError))
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert machine.processor_name() and machine.memory_bytes() is None


def test_free_memory_is_what_the_system_says(tmp_path):
    """Where it does not say, it is asked another way."""
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:       16000 kB\nMemFree:  1 kB\nMemAvailable:    8000 kB\n")
    assert machine.free_memory_bytes(file) == 8000 * 1024
    here, otherwise = machine.free_memory_bytes(), machine.free_memory_bytes(tmp_path / "none")
    assert all(0 < free <= machine.memory_bytes() for free in (here, otherwise))
