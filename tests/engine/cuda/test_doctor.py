"""Every finding is a value or a reason in words, and what is missing has a remedy."""

import importlib.util
import json
import re
import sys
import types
from importlib import metadata

import numpy as np
import pytest

from engine.compiled import c_file
from engine.cuda import doctor
from engine.cuda.compilers import Compiled
from engine.cuda.doctor_text import as_text

DRIVER = "no NVIDIA driver"


class FakeCompiler:
    """Refuses texts that say so."""

    name, architectures = "fakecc 1.0", ("sm_80", "sm_90", "sm_100")

    def __init__(self):
        self.asked = set()

    def compile(self, kernel_file, dtype, *architectures):
        self.asked.update(architectures)
        if "crash" in kernel_file.source():
            raise OSError("disk full\nmore")
        ok = "refused" not in kernel_file.source()
        return Compiled(ok, "" if ok else f"{kernel_file.path.name}(1): error: {dtype}", None, None)


class Machine:
    """What is faked, to be changed before doctor.examine runs."""

    def __init__(self, monkeypatch, folder):
        self.monkeypatch, self.folder, self.compiler = monkeypatch, folder / "package", FakeCompiler()
        self.folder.mkdir()
        (self.folder / "good.cu").write_text("good")
        monkeypatch.delenv("WAVE_IMPLEMENTATION", raising=False)
        self.has(cupy=None, driver=None, packages=(), nvcc="no nvcc", nvrtc=self.compiler)

    def has(self, **things):
        patch = self.monkeypatch
        if "cupy" in things:
            patch.setitem(sys.modules, "cupy", things["cupy"])
        if "driver" in things:
            patch.setattr(
                doctor, "driver_version", lambda: raising(DRIVER) if things["driver"] is None else things["driver"]
            )
            patch.setattr(
                doctor,
                "driver_release",
                lambda: "580.65.06" if things["driver"] else raising("the system does not tell"),
            )
        if "packages" in things:
            patch.setattr(doctor, "is_installed", lambda name: name in things["packages"])
        changed = {kind: things[kind.lower()] for kind in ("nvcc", "NVRTC") if kind.lower() in things}
        self.compilers = getattr(self, "compilers", {}) | changed
        patch.setattr(doctor, "search", lambda: self.compilers)
        return self

    def examined(self):
        """(findings, text); the findings are plain values."""
        findings = doctor.examine([self.folder])
        assert json.loads(json.dumps(findings, allow_nan=False)) == findings
        text = as_text(findings)
        assert "Traceback" not in text and all(remedy in text for remedy in findings["remedies"])
        return findings, text


def raising(text):
    raise RuntimeError(text)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    return Machine(monkeypatch, tmp_path)


def fake_cupy(touch=None, load=None, runtime=13_020, product=np.ones):
    """A CuPy of one device. touch, load: what its first use and the loading of a kernel raise."""

    def zeros(*shape):
        return raising(touch) if touch else np.zeros(*shape)

    class RawModule:
        def __init__(self, code, options):
            assert any(option.startswith("-DREAL=") for option in options)

        def compile(self):
            return raising(load) if load else None

    calls = {
        "runtimeGetVersion": lambda: runtime,
        "memGetInfo": lambda: (70 * 2**30, 80 * 2**30),
        "getDeviceProperties": lambda number: {"name": b"Fake H100"},
        "getDeviceCount": lambda: 2,
    }
    device = types.SimpleNamespace(id=0, compute_capability="90")
    stream = types.SimpleNamespace(Generator=np.random.Generator, Philox4x3210=np.random.Philox)
    cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(**calls), Device=lambda: device)
    arrays = {"ndarray": type("ndarray", (), {}), "zeros": zeros, "ones": product}
    return types.SimpleNamespace(__version__="14.2.0", cuda=cuda, random=stream, RawModule=RawModule, **arrays)


def test_without_cupy_and_driver(machine):
    findings, text = machine.examined()
    assert findings["cupy"] == findings["runtime"] == findings["device"] == {"missing": "CuPy is not installed"}
    assert findings["driver"] == {"missing": DRIVER} and findings["ok"]
    assert "pip install -e '.[cuda13]'" in text and "'.[cuda12]'" in text and "--gpus all" in text
    good = {"file": "package/good.cu", "compiled": {"fakecc 1.0": "compiles"}, "device": None}
    assert findings["kernels"] == [good | {"dtype": dtype} for dtype in ("float32", "float64")]
    assert machine.compiler.asked == {doctor.ARCHITECTURE}


@pytest.mark.parametrize(
    "variable, value, told, remedy",
    [
        (
            "CC",
            "nowhere",
            "- (no program is called nowhere, which CC names)",
            "functions in C, with which training is faster: no program",
        ),
        ("WAVE_C", "off", "- (WAVE_C=off)", None),
        ("WAVE_C", "no", "- (WAVE_C=no: must be one of on, off)", "WAVE_C=no: must be one of on, off"),
    ],
)
def test_without_functions_in_c(machine, monkeypatch, variable, value, told, remedy):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(c_file, "library", c_file.library.__wrapped__)
    monkeypatch.setenv(variable, value)
    findings, text = machine.examined()
    assert re.search(r"^implementation  fast, functions in C: (.*)$", text, re.M)[1] == told
    about = [line for line in findings["remedies"] if "GPU" not in line]
    assert len(about) == (remedy is not None) and (remedy or "") in "".join(about)


def test_a_compiler_of_the_system_does_for_the_extra(machine, monkeypatch):
    monkeypatch.setattr(doctor, "missing_extras", lambda known: {"compiled": ["ziglang"], "hub": ["a"]})
    monkeypatch.setattr(doctor, "c_functions", lambda: "compiled by cc")
    assert machine.examined()[0]["missing_extras"] == {"hub": ["a"]}
    monkeypatch.setattr(doctor, "c_functions", lambda: raising("there is no C compiler"))
    assert machine.examined()[0]["missing_extras"] == {"compiled": ["ziglang"], "hub": ["a"]}


def test_it_is_short_without_a_gpu(machine, monkeypatch, tmp_path):
    """And says what else is missing, and what memory and disk are left."""
    (tmp_path / "cache").mkdir()
    with open(tmp_path / "cache" / "file", "wb") as file:
        file.truncate(3 * 2**28)
    monkeypatch.setattr(doctor.cache_folder, "user_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(doctor, "missing_extras", lambda known: {"plots": [], "hub": ["a", "b"], "tensorboard": ["c"]})
    monkeypatch.setattr(doctor, "free_memory_bytes", lambda: 5 * 2**30)
    findings, text = machine.examined()
    facts = dict(re.findall(r"^(\S[\w ]*?)  +(.*)$", text, re.M))
    assert len(text.splitlines()) <= 12 and "CUDA runtime" not in text and "good.cu" not in text
    assert facts["GPU"] == "none (no NVIDIA driver)" and facts["kernels"] == "2 of 2 compile (fakecc 1.0)"
    assert facts["missing extras"] == "hub, tensorboard: pip install -e '.[hub,tensorboard]'"
    assert facts["memory"].startswith("5.0 GiB free of ") and findings["memory_free_bytes"] == 5 * 2**30
    assert facts["cache folder"].startswith(f"{tmp_path / 'cache'}, 0.8 GiB; ")
    assert findings["cache"]["bytes"] == 3 * 2**28 and findings["cache"]["free_bytes"] > 0


def test_a_cache_folder_that_is_not_there(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.cache_folder, "user_folder", lambda: tmp_path / "none" / "cache")
    findings, _ = machine.examined()
    assert findings["cache"]["bytes"] == 0 and findings["cache"]["free_bytes"] > 0


@pytest.mark.parametrize("driver, extra", [(12_040, "cuda12"), (13_000, "cuda13"), (14_010, "cuda13")])
def test_the_extra_follows_the_driver(machine, driver, extra):
    findings, text = machine.has(driver=driver).examined()
    assert len(findings["remedies"]) == 1 and f"'.[{extra}]'" in findings["remedies"][0]
    assert f"580.65.06, up to CUDA {driver // 1000}.{driver % 1000 // 10}" in text


def test_a_device_that_cannot_be_touched(machine):
    cupy = fake_cupy(touch="cudaErrorNoDevice: no device\nmore")
    findings, text = machine.has(cupy=cupy, packages=["cupy-cuda13x"], driver=13_000).examined()
    assert (
        findings["cupy"] == "14.2.0"
        and "cudaErrorNoDevice: no device" in findings["device"]["missing"]
        and "more" not in text
    )
    assert "14.2.0 (cupy-cuda13x)" in text and "CUDA_VISIBLE_DEVICES" in text


def test_a_cupy_that_is_newer_than_the_driver(machine):
    findings, _ = machine.has(
        cupy=fake_cupy(touch="insufficient driver"), packages=["cupy-cuda13x"], driver=12_020
    ).examined()
    change = "pip uninstall cupy-cuda13x, then pip install -e '.[cuda12]'; or a newer driver"
    assert findings["remedies"] == [f"CuPy is for CUDA 13.2, the driver supports CUDA 12.2: {change}"]


def test_two_packages_of_cupy_exclude_each_other(machine):
    findings, _ = machine.has(cupy=fake_cupy(), packages=["cupy-cuda12x", "cupy-cuda13x"], driver=13_000).examined()
    change = "pip uninstall cupy-cuda12x cupy-cuda13x, then pip install -e '.[cuda13]'"
    assert findings["remedies"] == [f"cupy-cuda12x and cupy-cuda13x exclude each other: {change}"]


def test_a_cupy_without_a_compiler(machine):
    machine.has(cupy=fake_cupy(touch="no NVRTC"), packages=["cupy-cuda12x"], driver=13_000, nvrtc="no NVRTC library")
    findings, _ = machine.examined()
    assert findings["remedies"] == [
        "CuPy finds no compiler for kernels: pip install 'cupy-cuda12x[ctk]'",
        "no compiler, so no kernel was checked: pip install nvidia-cuda-nvrtc (needs no GPU)",
    ]
    assert findings["ok"] is None and [row["compiled"] for row in findings["kernels"]] == [{}, {}]


def test_a_cupy_that_cannot_be_imported(machine, tmp_path, monkeypatch):
    (tmp_path / "cupy.py").write_text("import module_that_does_not_exist")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy")
    findings, _ = machine.has(packages=["cupy-cuda13x"], driver=13_000).examined()
    assert findings["cupy"] == {"missing": "No module named 'module_that_does_not_exist'"}
    assert "CuPy is broken: pip uninstall cupy-cuda13x" in findings["remedies"][0]


def test_a_device_that_works(machine):
    findings, text = machine.has(cupy=fake_cupy(), packages=["cupy-cuda13x"], driver=13_000).examined()
    sizes = {"memory_free_bytes": 70 * 2**30, "memory_total_bytes": 80 * 2**30}
    assert findings["device"] == {"name": "Fake H100", "architecture": "sm_90", "devices": 2, **sizes}
    assert (
        [row["device"] for row in findings["kernels"]] == ["loads", "loads"]
        and findings["ok"]
        and findings["remedies"] == []
    )
    assert findings["libraries"] == {"cuBLAS": "works", "cuRAND": "works"}
    assert "Fake H100, sm_90, 2 in all" in text and "70.0 GiB free of 80.0 GiB" in text and "nothing is missing" in text


def test_a_library_that_is_missing(machine):
    cupy = fake_cupy(product=lambda shape: raising("libcublas.so.13 not found"))
    findings, text = machine.has(cupy=cupy, packages=["cupy-cuda13x"], driver=13_000).examined()
    assert (
        findings["libraries"]["cuBLAS"] == {"missing": "libcublas.so.13 not found"}
        and "pip install 'cupy-cuda13x[ctk]'" in text
    )


def test_a_kernel_that_the_device_does_not_load(machine):
    machine.has(cupy=fake_cupy(load="CUDA_ERROR_NO_BINARY_FOR_GPU"), packages=["cupy-cuda13x"], driver=13_000)
    findings, text = machine.examined()
    assert (
        not findings["ok"]
        and "package/good.cu (float32), refused by the device:\n  CUDA_ERROR_NO_BINARY_FOR_GPU" in text
    )


def test_a_kernel_that_does_not_compile(machine):
    (machine.folder / "bad.cu").write_text("refused")
    (machine.folder / "crash.cu").write_text("crash")
    findings, text = machine.examined()
    assert not findings["ok"] and "REFUSED" in text and "WAVE_IMPLEMENTATION=equations computes without kernels" in text
    assert "package/bad.cu (float64), refused by fakecc 1.0:\n  bad.cu(1): error: float64" in text
    assert "package/crash.cu (float32), refused by fakecc 1.0:\n  disk full" in text


def test_an_architecture_newer_than_the_compiler(machine):
    cupy = fake_cupy()
    cupy.cuda.Device().compute_capability = "130"
    machine.has(cupy=cupy, packages=["cupy-cuda13x"], driver=13_000).examined()
    assert machine.compiler.asked == {"sm_100"}


@pytest.mark.parametrize(
    "mode, words",
    [
        ("equations", "WAVE_IMPLEMENTATION=equations: kernels are not used"),
        ("on", "WAVE_IMPLEMENTATION=on: must be one of fast, equations, check"),
    ],
)
def test_the_mode_of_kernels(machine, monkeypatch, mode, words):
    monkeypatch.setenv("WAVE_IMPLEMENTATION", mode)
    findings, text = machine.examined()
    assert words in text


def test_folders_without_kernels(machine):
    (machine.folder / "good.cu").unlink()
    findings, text = machine.examined()
    assert findings["ok"] is None and findings["kernels"] == []


def test_this_machine(tmp_path):
    (tmp_path / "twice.cu").write_text('extern "C" __global__ void twice(real* x) { x[threadIdx.x] *= 2; }\n')
    findings = doctor.examine([tmp_path])
    assert findings["ok"] and json.dumps(findings) and as_text(findings)
    assert doctor.is_installed("numpy") and not doctor.is_installed("no-such-package-anywhere")
    assert findings["machine"]["numpy"] == metadata.version("numpy")
