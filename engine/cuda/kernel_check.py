"""Check that every kernel file compiles for float32 and float64, and that a device, if there is one, loads it."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from engine.cuda import kernels
from engine.cuda.compilers import Compiler, kernel_files
from engine.cuda.kernels import KernelFile
from engine.support.errors import first_line
from engine.support.text import format_table

DTYPES = ("float32", "float64")
COMPILED = "compiles"
LOADED = "loads"


def check_kernels(
    folders: Sequence[Path], compilers: Sequence[Compiler], architecture: str, on_device: bool
) -> list[dict[str, Any]]:
    """A dict for each .cu file in the folders and dtype: file, dtype, compiled, device.

    compiled: {compiler: "compiles" or its message}; device: "loads", a message, or None without a device.
    """
    tasks = [(path_in(folders, file.path), file, dtype) for file in kernel_files(folders) for dtype in DTYPES]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # nvcc is a process of its own, NVRTC runs without Python's lock
        submitted = [
            {compiler.name: pool.submit(compile_verdict, compiler, file, dtype, architecture) for compiler in compilers}
            for _, file, dtype in tasks
        ]
        compiled = [{name: verdict.result() for name, verdict in row.items()} for row in submitted]
    return [
        {"file": path, "dtype": dtype, "compiled": verdicts, "device": load_verdict(file, dtype) if on_device else None}
        for (path, file, dtype), verdicts in zip(tasks, compiled)
    ]


def path_in(folders: Sequence[Path], path: Path) -> str:
    """The path of a file relative to the parent of its folder, with slashes."""
    parent = next(Path(folder).parent for folder in folders if Path(folder) in path.parents)
    return path.relative_to(parent).as_posix()


def compile_verdict(compiler: Compiler, kernel_file: KernelFile, dtype: str, architecture: str) -> str:
    """COMPILED, or what the compiler says. An architecture that it does not know yet is replaced by its newest."""
    target = architecture if architecture in compiler.architectures else compiler.architectures[-1]
    try:
        done = compiler.compile(kernel_file, dtype, target)
    except Exception as error:  # a broken installation can fail in any way
        return first_line(error)
    return COMPILED if done.ok else done.message or "refused without a message"


def load_verdict(kernel_file: KernelFile, dtype: str) -> str:
    """LOADED, or why the device does not take the kernels of a file."""
    try:
        kernels.loaded(kernel_file, np.dtype(dtype)).compile()
    except Exception as error:  # a broken installation can fail in any way
        return first_line(error)
    return LOADED


def verdicts(row: dict[str, Any]) -> dict[str, str]:
    """The words about one row of check_kernels(), by compiler, and by the device if there is one."""
    return row["compiled"] | ({} if row["device"] is None else {"the device": row["device"]})


def refusals(rows: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], str, str]]:
    """(row, who refused it, message) of every kernel file that does not compile or load."""
    return [
        (row, name, verdict)
        for row in rows
        for name, verdict in verdicts(row).items()
        if verdict not in (COMPILED, LOADED)
    ]


def kernel_table(rows: Sequence[dict[str, Any]]) -> str:
    """A line for each .cu file and dtype, a column for each compiler, and one for the device."""

    def short(verdict: str | None) -> str:
        return "-" if verdict is None else verdict if verdict in (COMPILED, LOADED) else "REFUSED"

    names = list(rows[0]["compiled"]) if rows else []
    cells = [
        (row["file"], row["dtype"], *(short(row["compiled"][name]) for name in names), short(row["device"]))
        for row in rows
    ]
    return format_table(["kernels", "dtype", *names, "device"], cells, align="<" * (len(names) + 3))
