"""Finding compilers, and reading what they say."""

import shutil
import stat
import sys
from pathlib import Path

import pytest

from engine.cuda import compilers as kernel_compilers
from engine.cuda.compilers import CompilerMissing, Nvcc, Nvrtc, compilers, kernel_files, parse_log, search

LOG = """ptxas info    : Compiling entry function 'one' for 'sm_80'
ptxas info    : Function properties for one
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers
a.cu(3): warning #177-D: variable "t" was declared but never referenced
ptxas info    : Compiling entry function 'two' for 'sm_80'
ptxas         .     16 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 40 registers
ptxas info    : Compiling entry function 'one' for 'sm_90'
    0 bytes stack frame, 0 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 30 registers
"""


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    """No nvcc, no NVRTC, and an environment that names no toolkit."""
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", None)
    monkeypatch.setattr(kernel_compilers.ctypes.util, "find_library", lambda name: None)


def fake_nvcc(folder, says):
    """A program called nvcc."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "nvcc"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def test_what_is_missing_is_said_in_words(nothing_installed):
    assert compilers() == []
    assert search() == {
        "nvcc": "no nvcc on PATH, nor in the bin of CUDA_HOME or CUDA_PATH",
        "NVRTC": "no NVRTC library, neither of a wheel nor of a CUDA Toolkit",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="the fake is a shell script")
@pytest.mark.parametrize("name", ["CUDA_HOME", "CUDA_PATH"])
def test_a_toolkit_is_found_where_the_environment_says(nothing_installed, monkeypatch, tmp_path, name):
    program = fake_nvcc(tmp_path / "toolkit" / "bin", 'echo "release 13.0, V13.0.88"; echo sm_80; echo sm_90')
    monkeypatch.setenv(name, str(tmp_path / "toolkit"))
    found = Nvcc()
    assert (found.name, found.path, found.architectures) == ("nvcc 13.0.88", str(program), ("sm_80", "sm_90"))


@pytest.mark.skipif(sys.platform == "win32", reason="the fake is a shell script")
@pytest.mark.parametrize(
    "says, reason",
    [
        ("exit 1", "does not tell for which architectures"),
        (
            'case "$1" in --*) echo V1.2; echo sm_90;; *) echo no host compiler >&2; exit 1;; esac',
            "nvcc 1.2 refuses an empty kernel (no host compiler)",
        ),
    ],
)
def test_an_nvcc_that_does_not_work_is_no_compiler(nothing_installed, monkeypatch, tmp_path, says, reason):
    fake_nvcc(tmp_path / "bin", says)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert reason in search()["nvcc"] and compilers() == []


def test_an_nvcc_that_cannot_be_started_is_no_compiler(nothing_installed, monkeypatch, tmp_path):
    fake_nvcc(tmp_path / "bin", "").write_bytes(b"\x00\x01")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(tmp_path / "bin" / "nvcc"))
    with pytest.raises(CompilerMissing, match="cannot be started"):
        Nvcc()


@pytest.mark.parametrize("content", [b"", b"no library"])
def test_a_broken_nvrtc_library_is_no_compiler(nothing_installed, monkeypatch, tmp_path, content):
    library = tmp_path / "nvidia" / "cu13" / "lib" / "libnvrtc.so.13"
    library.parent.mkdir(parents=True)
    library.write_bytes(content)
    assert kernel_compilers.nvrtc_path() == str(library)
    with pytest.raises(CompilerMissing, match="the NVRTC library cannot be used"):
        Nvrtc()


def test_figures_are_the_most_of_all_architectures():
    done = parse_log(True, LOG)
    assert done.registers == {"one": 32, "two": 40}
    assert done.spills == {"one": 4, "two": 20}
    assert done.message == 'a.cu(3): warning #177-D: variable "t" was declared but never referenced'


def test_a_refusal_has_no_figures():
    assert parse_log(False, LOG)[2:] == (None, None)
    assert parse_log(True, "") == (True, "", None, None)


def test_kernel_files_are_found_below_folders_once_and_in_order(tmp_path):
    for name in ("b/two.cu", "a/one.cu", "a/one.py", "a/deep/three.cu"):
        path = Path(tmp_path, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = [
        one.path.relative_to(tmp_path).as_posix()
        for one in kernel_files([tmp_path / "a", tmp_path / "b", tmp_path / "a"])
    ]
    assert found == ["a/deep/three.cu", "a/one.cu", "b/two.cu"]
