"""Compilers of kernel files that need no device: nvcc, and NVRTC, with which CuPy compiles at first use.

Both take the options with which CuPy compiles. NVRTC is the stricter one and the one that counts: it has no C library,
whose macros nvcc defines without an #include. They are undefined for nvcc, so that it refuses them too.
"""

import ctypes
import ctypes.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from engine.cuda.kernels import HEADER, KernelFile, compiler_options, files
from engine.support.errors import first_line

FLUSH = "-ftz=true"  # CuPy adds it to every kernel: subnormal numbers of float32 become 0
MACROS = """NAN INFINITY HUGE_VAL HUGE_VALF M_PI M_E M_SQRT2 M_SQRT1_2
    FLT_MAX FLT_MIN FLT_EPSILON DBL_MAX DBL_MIN DBL_EPSILON INT_MAX LLONG_MAX"""
WITHOUT_MACROS = "".join(f"#undef {name}\n" for name in MACROS.split()) + f'#line 1 "{HEADER.name}"\n'
EMPTY = 'extern "C" __global__ void nothing() {}\n'
PTXAS_LINES = re.compile(
    r"Compiling entry function '(?P<kernel>\w+)'"
    r"|(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads"
    r"|Used (?P<registers>\d+) registers"
)


class CompilerMissing(Exception):
    """A compiler cannot be used; the text says why."""


class Compiled(NamedTuple):
    """The result of a compilation: the message (errors and warnings as FILE(LINE): …) and figures of each kernel.

    registers: of a thread; spills: bytes that did not fit into registers; both are the most that any architecture
    takes, and None where the compiler does not tell.
    """

    ok: bool
    message: str
    registers: dict[str, int] | None
    spills: dict[str, int] | None


class Source(Protocol):
    """A kernel file, or a text in its place."""

    def source(self) -> str:
        """The whole text as compilers take it."""


class TextFile:
    """A text in place of a kernel file."""

    def __init__(self, text: str) -> None:
        self.text = text

    def source(self) -> str:
        return self.text


class Compiler(Protocol):
    """A compiler that can be used: its name with version, and the architectures, such as "sm_90", that it knows."""

    name: str
    architectures: tuple[str, ...]

    def compile(self, kernel_file: Source, dtype: str, *architectures: str) -> Compiled:
        """Compile a kernel file for a dtype and architectures such as "sm_90"."""


def compilers() -> list[Compiler]:
    """The compilers that can be used here, nvcc first."""
    return [found for found in search().values() if not isinstance(found, str)]


def search() -> dict[str, Compiler | str]:
    """{"nvcc": …, "NVRTC": …}: the compiler, or why it cannot be used."""
    found: dict[str, Compiler | str] = {}
    makers: dict[str, Callable[[], Compiler]] = {"nvcc": Nvcc, "NVRTC": Nvrtc}
    for kind, make in makers.items():
        try:
            found[kind] = compiler = make()
            done = compiler.compile(TextFile(EMPTY), "float32", compiler.architectures[-1])
            if not done.ok:
                first, *_ = [*done.message.splitlines(), "no message"]
                raise CompilerMissing(f"{compiler.name} refuses an empty kernel ({first})")
        except CompilerMissing as reason:
            found[kind] = str(reason)
    return found


def kernel_files(folders: Iterable[str | Path]) -> list[KernelFile]:
    """The KernelFile of every .cu file in these folders and below, sorted by path.

    The Python file that launches the kernels of a file defines their constants, and must have been imported.
    """
    paths = {path for folder in folders for path in Path(folder).resolve().rglob("*.cu")}
    return [files.get(path) or KernelFile(path) for path in sorted(paths)]


def capability(architecture: str) -> int:
    """The number of an architecture: 90 for "sm_90"."""
    return int(architecture.partition("_")[2])


class Nvcc:
    """The compiler of a CUDA Toolkit: on PATH, or in the bin of CUDA_HOME or CUDA_PATH. Raises CompilerMissing."""

    def __init__(self) -> None:
        paths = [shutil.which("nvcc"), *(shutil.which("nvcc", path=folder / "bin") for folder in toolkit_folders())]
        usable = [path for path in paths if path]
        if not usable:
            raise CompilerMissing("no nvcc on PATH, nor in the bin of CUDA_HOME or CUDA_PATH")
        self.path = usable[0]
        version = re.search(r"\bV(\d[\d.]*)", self.run("--version").stdout)
        self.name = f"nvcc {version[1]}" if version else "nvcc"
        self.architectures = tuple(re.findall(r"\bsm_\d+\b", self.run("--list-gpu-code").stdout))
        if not self.architectures:
            raise CompilerMissing(f"{self.path} does not tell for which architectures it compiles")

    def run(self, *arguments: str, folder: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run nvcc; return the finished process with its texts. CompilerMissing when it cannot be started."""
        try:
            return subprocess.run([self.path, *arguments], cwd=folder, capture_output=True, text=True, errors="replace")
        except OSError as error:
            raise CompilerMissing(f"{self.path} cannot be started ({first_line(error)})") from None

    def compile(self, kernel_file: Source, dtype: str, *architectures: str) -> Compiled:
        """Compile for architectures such as "sm_90", all from the intermediate code of the oldest: in half the time.

        That code is the same for all of them unless a kernel asks for __CUDA_ARCH__.
        """
        oldest = min(architectures, key=capability)
        targets = ("-gencode", f"arch={oldest.replace('sm', 'compute')},code=[{','.join(architectures)}]")
        with tempfile.TemporaryDirectory() as folder:
            # The text begins with the header and says where the .cu file starts: messages then name the right file.
            Path(folder, HEADER.name).write_text(WITHOUT_MACROS + kernel_file.source(), encoding="utf-8")
            output = ("-Xptxas", "-v", "-x", "cu", "-fatbin", "-o", "kernels.fatbin")
            done = self.run(*compiler_options(dtype), FLUSH, *targets, *output, HEADER.name, folder=folder)
        return parse_log(done.returncode == 0, done.stdout + done.stderr)


class Nvrtc:
    """NVIDIA's compiler library, with which CuPy compiles; used without CuPy. Raises CompilerMissing."""

    def __init__(self) -> None:
        try:
            self.library = ctypes.CDLL(nvrtc_path())
            major, minor = ctypes.c_int(), ctypes.c_int()
            self.call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
            self.name = f"NVRTC {major.value}.{minor.value}"
            count = ctypes.c_int()
            self.call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
            numbers = (ctypes.c_int * count.value)()
            self.call("nvrtcGetSupportedArchs", numbers)
        except (OSError, AttributeError, RuntimeError) as error:
            raise CompilerMissing(f"the NVRTC library cannot be used ({first_line(error)})") from None
        self.architectures = tuple(f"sm_{number}" for number in numbers)

    def call(self, name: str, *arguments: object) -> None:
        """Call a function of the library; RuntimeError unless it succeeds."""
        status = getattr(self.library, name)(*arguments)
        if status:
            self.library.nvrtcGetErrorString.restype = ctypes.c_char_p
            raise RuntimeError(self.library.nvrtcGetErrorString(status).decode())

    def compile(self, kernel_file: Source, dtype: str, *architectures: str) -> Compiled:
        """Compile for architectures such as "sm_90", one after the other until one fails."""
        log = ""
        for architecture in architectures:
            error, text = self.compile_one(kernel_file, dtype, architecture)
            log += text + "\n"
            if error:
                return parse_log(False, f"{log}{error}")
        return parse_log(True, log)

    def compile_one(self, kernel_file: Source, dtype: str, architecture: str) -> tuple[str | None, str]:
        """(error or None, log) of the compilation for one architecture."""
        given = (*compiler_options(dtype), FLUSH, f"-arch={architecture}", "--ptxas-options=-v")
        options = (ctypes.c_char_p * len(given))(*(option.encode() for option in given))
        program, size, error = ctypes.c_void_p(), ctypes.c_size_t(), None
        source, name = kernel_file.source().encode(), HEADER.name.encode()
        self.call("nvrtcCreateProgram", ctypes.byref(program), source, name, 0, None, None)
        try:
            try:
                self.call("nvrtcCompileProgram", program, len(options), options)
            except RuntimeError as refusal:
                error = str(refusal)
            self.call("nvrtcGetProgramLogSize", program, ctypes.byref(size))
            text = ctypes.create_string_buffer(size.value)
            self.call("nvrtcGetProgramLog", program, text)
            return error, text.value.decode(errors="replace")
        finally:
            self.library.nvrtcDestroyProgram(ctypes.byref(program))


def nvrtc_path() -> str:
    """The path of the library: the one CuPy would load, else one of a wheel, of a CUDA Toolkit, of the system."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        return str(load_nvidia_dynamic_lib("nvrtc").abs_path)
    except Exception:  # not installed, or it found none: what follows needs no help
        pass
    # Wheels share the package `nvidia` and are in …/cu13/lib, …/cuda_nvrtc/lib, or …/bin on Windows.
    wheels = [Path(entry, "nvidia") for entry in sys.path if Path(entry, "nvidia").is_dir()]
    for folder in (*wheels, *toolkit_folders()):
        found = sorted(path for pattern in ("libnvrtc.so*", "nvrtc64_*.dll") for path in folder.rglob(pattern))
        if found:
            return str(found[0])
    path = ctypes.util.find_library("nvrtc")
    if path is None:
        raise CompilerMissing("no NVRTC library, neither of a wheel nor of a CUDA Toolkit")
    return path


def toolkit_folders() -> list[Path]:
    """The folders of CUDA Toolkits that the environment names."""
    return [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]


def parse_log(ok: bool, log: str) -> Compiled:
    """Read a compiler's log: figures of ptxas, and the rest, which is the message."""
    registers: dict[str, int] = {}
    spills: dict[str, int] = {}
    kernel = ""
    for match in PTXAS_LINES.finditer(log):
        if match["kernel"]:
            kernel = match["kernel"]
        elif match["registers"]:
            registers[kernel] = max(int(match["registers"]), registers.get(kernel, 0))
        else:  # also of functions that are called, which count for the kernel that was named last
            spills[kernel] = max(int(match["stores"]) + int(match["loads"]), spills.get(kernel, 0))
    message = "\n".join(
        line.rstrip() for line in log.replace("\0", "").splitlines() if line.strip() and not is_figure(line)
    )
    return Compiled(ok, message, registers, spills) if ok and registers else Compiled(ok, message, None, None)


def is_figure(line: str) -> bool:
    """Whether a line belongs to the figures of ptxas, which a message leaves out."""
    return line.startswith("ptxas info") or "bytes stack frame" in line
