"""Every kernel file compiles with every compiler that is found here. None of it needs a device.

For one architecture and float32 or, with ALL_ARCHITECTURES=1, for several and float64 too. nvcc compiles the kernels of
this project only with that or under `-m thorough`: NVRTC is the stricter one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import engine
import engine.training.adamw
import layers
import layers.networks  # with the modules that launch kernels, which know the constants of these
from engine.cuda.compilers import TextFile, compilers, kernel_files, search
from engine.cuda.kernels import HEADER, KernelFile
from tests.support.examples import if_thorough
from tests.support.paths import ROOT

# A100, H100, RTX 50
ARCHITECTURES = ("sm_80", "sm_90", "sm_120") if os.environ.get("ALL_ARCHITECTURES") == "1" else ("sm_90",)
FOLDERS = [Path(package.__path__[0]) for package in (engine, layers)]
FILES = kernel_files(FOLDERS)
DTYPES = ("float32", "float64") if len(ARCHITECTURES) > 1 else ("float32",)
NVCC = ["nvcc"] if len(ARCHITECTURES) > 1 else if_thorough("nvcc")
GOOD = 'extern "C" __global__ void twice(real* x) { x[threadIdx.x] *= 2; }\n'

DOCTOR = """
import json
import train
from engine.cuda import doctor
from engine.cuda.compilers import Compiled

class Reader:
    name, architectures, texts = "reader", ("sm_90",), {}

    def compile(self, file, *_):
        self.texts[file.path.name] = file.source()
        return Compiled(True, "", None, None)

doctor.search = lambda: {"NVRTC": Reader()}
train.main(["doctor"])
print(json.dumps(Reader.texts))
"""


@pytest.fixture(scope="module", params=["nvcc", "NVRTC"])
def compiler(request):
    found = search()[request.param]
    if isinstance(found, str):
        pytest.skip(f"no {request.param}: {found}")
    return found


def test_there_are_kernel_files():
    assert FILES and len({one.path.name for one in FILES}) == len(FILES)
    # Else nvcc must compile for each architecture anew.
    assert not [one.path for one in FILES if "__CUDA_ARCH__" in one.source()]


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["NVRTC", *NVCC], indirect=True)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.path.name)
def test_every_kernel_compiles_and_keeps_its_values_in_registers(compiler, file, dtype, record_property):
    done = compiler.compile(file, dtype, *[name for name in ARCHITECTURES if name in compiler.architectures])
    assert done.ok, f"{compiler.name} refuses {file.path.name} for {dtype}:\n{done.message}"
    record_property("compiled_by", compiler.name)
    if done.spills is not None:
        assert set(done.spills) == set(done.registers) and done.registers
        assert not any(done.spills.values()), f"bytes that do not fit into registers, stored and loaded: {done.spills}"


def test_doctor_sees_these_texts_in_a_process_that_has_imported_nothing_else():
    """With the constants that modules write into them when they are imported."""
    done = subprocess.run([sys.executable, "-c", DOCTOR], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {one.path.name: one.source() for one in FILES}


def test_a_text_with_an_error_is_refused_with_its_file_and_line(compiler, tmp_path):
    (tmp_path / "broken.cu").write_text(f"// comment\n{GOOD}{GOOD.replace('x[', 'y[').replace('twice', 'thrice')}")
    done = compiler.compile(KernelFile(tmp_path / "broken.cu"), "float32", "sm_90")
    assert not done.ok and done.registers is None and done.spills is None
    assert 'broken.cu(3): error: identifier "y" is undefined' in done.message


def test_an_error_in_the_header_names_the_header(compiler):
    done = compiler.compile(TextFile(f"typedef REAL real;\nbroken\n{GOOD}"), "float64", "sm_90")
    assert not done.ok and f"{HEADER.name}(" in done.message.splitlines()[0]


def test_macros_of_the_c_library_are_refused_as_on_a_device(compiler):
    macros = ("NAN", "INFINITY", "M_PI", "DBL_MAX")
    kernels = [GOOD.replace("2", macro).replace("twice", f"times_{macro}") for macro in macros]
    done = compiler.compile(TextFile("".join(["typedef REAL real;\n", *kernels])), "float32", "sm_90")
    assert not done.ok and [macro for macro in macros if f'identifier "{macro}" is undefined' not in done.message] == []


@pytest.mark.thorough
def test_registers_that_overflow_are_counted(compiler):
    values = "\n".join(f"double v{i} = x[{i} * 7 + threadIdx.x];" for i in range(200))
    sums = " + ".join(f"v{i} * v{199 - i} * sin(v{i})" for i in range(200))
    bounded = 'extern "C" __global__ void __launch_bounds__(1024) many(double* x)'
    text = f"{bounded} {{ {values} __syncthreads(); x[0] = {sums}; }}"
    done = compiler.compile(TextFile(text), "float64", "sm_90")
    assert done.ok and done.spills["many"] > 0 and 0 < done.registers["many"] <= 64  # 1024 threads share 65,536


def test_the_dtype_is_that_of_real(compiler):
    text = 'typedef REAL real;\nstatic_assert(sizeof(real) == 8, "not a double");\n' + GOOD
    assert compiler.compile(TextFile(text), "float64", "sm_90").ok
    assert not compiler.compile(TextFile(text), "float32", "sm_90").ok


def test_an_architecture_that_does_not_exist_is_refused(compiler):
    assert not compiler.compile(TextFile(f"typedef REAL real;\n{GOOD}"), "float32", "sm_7").ok


def test_compilers_are_those_that_search_finds():
    found = [one for one in search().values() if not isinstance(one, str)]
    assert [one.name for one in compilers()] == [one.name for one in found]
