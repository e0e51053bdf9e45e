"""The last line of a test run claims what this run did, and no more."""

import sys
import types

import pytest

from tests.support import gpu_summary

SUMMARY = vars(gpu_summary)


def report(nodeid, compiled_by=None, properties=(), **keywords):
    made = [("compiled_by", compiled_by)] if compiled_by else []
    return types.SimpleNamespace(nodeid=nodeid, keywords=keywords, user_properties=[*made, *properties])


COMPILED = report("tests/kernels/test_compile.py::test_a[x/y]", "nvcc 13.0.88")
EMULATED = report("tests/kernels/test_layer_norm.py::test_b", properties=[("emulated", True), ("emulated", True)])
OTHER = report("tests/engine/test_table.py::test_kernels")


@pytest.mark.parametrize(
    "reports, line",
    [
        ([OTHER], "No kernel was compiled for a device; none was executed by emulation"),
        ([COMPILED, COMPILED, OTHER], "Kernels were compiled by nvcc 13.0.88; none was executed by emulation"),
        ([EMULATED], "No kernel was compiled for a device; 1 test executed kernels on the CPU by emulation (g++)"),
        (
            [COMPILED, report("a::b", "NVRTC 13.5"), EMULATED, EMULATED],
            "Kernels were compiled by NVRTC 13.5 and nvcc 13.0.88; "
            "2 tests executed kernels on the CPU by emulation (g++)",
        ),
    ],
)
def test_without_a_device(reports, line):
    assert (
        SUMMARY["no_gpu_line"]("CuPy is not installed", reports)
        == f"NO GPU: CuPy is not installed. {line}; nothing ran on a device."
    )


def test_with_a_device():
    assert SUMMARY["gpu_line"]("H100", [OTHER, EMULATED]) == "GPU: H100 is there, but no test marked gpu ran on it."
    assert (
        SUMMARY["gpu_line"]("H100", [report("a::b", gpu=1), report("a::c", gpu=1)])
        == "GPU: 2 tests marked gpu passed on H100."
    )


def test_the_line_is_written_as_a_section_of_its_own(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    lines = []
    write = {"write_sep": lambda *parts, **_: lines.append(parts), "write_line": lambda text, **_: lines.append(text)}
    reporter = types.SimpleNamespace(stats={"passed": [EMULATED]}, **write)
    SUMMARY["pytest_terminal_summary"](reporter)
    assert lines[0] == ("=", "NO GPU") and lines[1].startswith("NO GPU: CuPy is not installed. ")
