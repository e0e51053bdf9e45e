"""Examine this machine: versions, a CUDA device and what stands in its way, whether every kernel compiles, remedies.

Nothing here raises: what cannot be found out is a reason in words. Nothing needs a device.
"""

import ctypes
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from engine.arrays.backend import random_generator, why_no_cuda
from engine.benchmark.machine import decoded_name, describe_machine, free_memory_bytes
from engine.benchmark.machine import driver_release as release_of_driver
from engine.compiled import c_file
from engine.compiled.compiler import find_compiler
from engine.cuda.compilers import search
from engine.cuda.doctor_findings import Findings, attempt, is_known, missing
from engine.cuda.doctor_remedies import remedies
from engine.cuda.kernel_check import check_kernels, refusals, verdicts
from engine.support import cache_folder, implementation
from engine.support.extras import missing_extras

ARCHITECTURE = "sm_90"  # for which kernels are compiled where no device says its own
CUPY_PACKAGES = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")


def examine(folders: Sequence[Path]) -> Findings:
    """Examine this machine and the .cu files in `folders`: plain values; what is missing is {"missing": reason}.

    Kernels are compiled by NVRTC if it is there, as on a device, else by nvcc. ok: whether every kernel compiled, and
    loaded on the device if there is one; None where there is no compiler to tell.
    """
    reason = why_no_cuda()
    findings: Findings = {
        "machine": describe_machine(),
        "memory_free_bytes": free_memory_bytes(),
        "cache": attempt(cache_facts),
        "missing_extras": attempt(lambda: missing_extras(is_installed)),
        "cupy": attempt(cupy_version),
        "cupy_packages": [name for name in CUPY_PACKAGES if is_installed(name)],
        "driver": attempt(driver_version),
        "driver_release": attempt(driver_release),
        "runtime": attempt(runtime_version),
        "device": attempt(device_facts) if reason is None else missing(reason),
        "libraries": {
            name: attempt(function) if reason is None else missing(reason) for name, function in LIBRARIES.items()
        },
        "implementation": attempt(implementation.current),
        "c_functions": attempt(c_functions),
    }
    if is_known(findings["c_functions"]) and is_known(findings["missing_extras"]):
        findings["missing_extras"].pop("compiled", None)  # the system has a compiler
    compilers = search()
    named = {kind: missing(found) if isinstance(found, str) else found.name for kind, found in compilers.items()}
    findings["compilers"] = named
    device = findings["device"]
    architecture = device["architecture"] if is_known(device) else ARCHITECTURE
    usable = [found for found in compilers.values() if not isinstance(found, str)][-1:]
    rows = check_kernels(folders, usable, architecture, is_known(device))
    findings["kernels"] = rows
    findings["ok"] = not refusals(rows) if any(map(verdicts, rows)) else None
    findings["remedies"] = remedies(findings)
    return findings


def c_functions() -> str | Findings:
    """Compile the functions in C, where that has not been done yet: by what, or why not."""
    if c_file.mode() == "off":
        return missing(f"{c_file.VARIABLE}=off")
    refused = [verdict for verdict in c_file.verdicts().values() if verdict != c_file.COMPILED]
    return missing(refused[0]) if refused else f"compiled by {' '.join(find_compiler().command)}"


def cache_facts() -> Findings:
    """Describe the cache folder: its path, the bytes of its files, and those that are free on its disk."""
    folder = Path(cache_folder.user_folder())
    there = next(path for path in (folder, *folder.parents) if path.exists())
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {"folder": str(folder), "bytes": size, "free_bytes": shutil.disk_usage(there).free}


def cupy_version() -> str:
    """The version of CuPy; raises where it cannot be imported."""
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name != "cupy":  # it is there, and something it needs is not
            raise
        raise RuntimeError("CuPy is not installed") from None
    return str(cupy.__version__)


def is_installed(package: str) -> bool:
    """Whether a distribution of that name is installed."""
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False


def driver_version() -> int:
    """The newest CUDA version that the driver supports, as an integer such as 13000. Asks the driver, not CuPy."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        raise RuntimeError("no NVIDIA driver") from None
    version = ctypes.c_int()
    status = library.cuDriverGetVersion(ctypes.byref(version))
    if status:
        raise RuntimeError(f"the NVIDIA driver answers with error {status}")
    return version.value


def driver_release() -> str:
    """The driver's own number, such as 580.65.06."""
    release = release_of_driver()
    if release is None:
        raise RuntimeError("the system does not tell")
    return release


def runtime_version() -> int:
    """The CUDA version that CuPy was built for, as an integer such as 13020."""
    cupy_version()
    import cupy

    return int(cupy.cuda.runtime.runtimeGetVersion())


def device_facts() -> Findings:
    """Describe the current device: name, architecture such as sm_90, bytes free and in total, number of devices."""
    import cupy

    free, total = cupy.cuda.runtime.memGetInfo()
    return {
        "name": decoded_name(cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)),
        "architecture": f"sm_{cupy.cuda.Device().compute_capability}",
        "memory_free_bytes": int(free),
        "memory_total_bytes": int(total),
        "devices": int(cupy.cuda.runtime.getDeviceCount()),
    }


def matrix_product() -> str | Findings:
    """Try cuBLAS by a small product."""
    import cupy

    return "works" if float((cupy.ones((2, 2)) @ cupy.ones((2, 2))).sum()) == 8 else missing("it multiplies wrongly")


def random_numbers() -> str | Findings:
    """Try cuRAND by one number."""
    return "works" if 0 <= float(random_generator(0, device="cuda").random(1)[0]) < 1 else missing("out of range")


# CuPy loads these libraries at first use, so only use tells whether they are there.
LIBRARIES: dict[str, Callable[[], Any]] = {"cuBLAS": matrix_product, "cuRAND": random_numbers}
