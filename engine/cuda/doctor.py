"""Examine this machine: versions, a CUDA device and what stands in its way, whether every kernel compiles, remedies.

Nothing here raises: what cannot be found out is a reason in words. Nothing needs a device.
"""

import ctypes
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

from engine.arrays.backend import random_generator, why_no_cuda
from engine.benchmark.machine import decoded_name, describe_machine, dotted_version, free_memory_bytes
from engine.benchmark.machine import driver_release as release_of_driver
from engine.cuda.compilers import search
from engine.cuda.kernel_check import check_kernels, kernel_table, refusals, verdicts
from engine.data.token_cache import user_folder
from engine.support import implementation
from engine.support.command import install_extra
from engine.support.errors import first_line
from engine.support.extras import missing_extras

ARCHITECTURE = "sm_90"  # for which kernels are compiled where no device says its own
CUPY_PACKAGES = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")
CUDA_13 = 13_000  # versions as CUDA counts them: 1000·major + 10·minor
NO_DEVICE = "a driver and CuPy, but no device: nvidia-smi must list one, and CUDA_VISIBLE_DEVICES must not hide it"
REFUSED = (
    "a kernel is refused, an error of this program: please report this text; WAVE_IMPLEMENTATION=equations computes "
    "without kernels"
)
Findings: TypeAlias = dict[str, Any]


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
    }
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


def missing(reason: str) -> Findings:
    """A finding that has no value, and why."""
    return {"missing": reason}


def is_known(finding: Any) -> bool:
    """Whether a finding has a value."""
    return not (isinstance(finding, dict) and "missing" in finding)


def attempt(function: Callable[[], Any]) -> Any:
    """Call the function; return its result, or the reason why there is none, whatever went wrong."""
    try:
        return function()
    except Exception as error:  # a broken installation can fail in any way, and a report of what is broken must not
        return missing(first_line(error))


def cache_facts() -> Findings:
    """Describe the cache folder: its path, the bytes of its files, and those that are free on its disk."""
    folder = Path(user_folder())
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


def remedies(findings: Findings) -> list[str]:
    """Lines that say what to install or set, in the order in which to do it."""
    lines: list[str] = []
    driver, packages = findings["driver"], findings["cupy_packages"]
    old_driver = is_known(driver) and driver < CUDA_13
    extra = "cuda12" if old_driver else "cuda13"
    own_package = packages[0] if packages else f"cupy-{extra}x"
    install = install_extra(extra)
    other_way = f"with a driver below 580: {install_extra('cuda12')}"
    if is_known(driver):
        other_way = f"the driver supports CUDA {dotted_version(driver)}"
    if has_no_gpu(findings):
        needed = "its driver, 580 or newer (in Docker with --gpus all)"
        lines.append(f"for an NVIDIA GPU: {needed}, and {install}  ({other_way})")
        return lines + refused(findings)
    if not is_known(driver):
        newer = "580 or newer for CUDA 13, 525 or newer for CUDA 12"
        lines.append(f"{driver['missing']}: for an NVIDIA GPU install its driver ({newer}); in Docker add --gpus all")
    if not is_known(findings["cupy"]) and not packages:
        lines.append(f"no CuPy: {install}  ({other_way})")
    elif len(packages) > 1:
        lines.append(f"{' and '.join(packages)} exclude each other: pip uninstall {' '.join(packages)}, then {install}")
    elif not is_known(findings["cupy"]):
        lines.append(f"CuPy is broken: pip uninstall {packages[0]}, then {install}  ({other_way})")
    elif is_known(findings["runtime"]) and is_known(driver) and findings["runtime"] // 1000 > driver // 1000:
        change = f"pip uninstall {' '.join(packages)}, then {install}; or a newer driver"
        lines.append(f"CuPy is for CUDA {dotted_version(findings['runtime'])}, {other_way}: {change}")
    elif not is_known(findings["compilers"]["NVRTC"]):
        lines.append(f"CuPy finds no compiler for kernels: pip install '{own_package}[ctk]'")
    elif is_known(findings["device"]) and not all(map(is_known, findings["libraries"].values())):
        lines.append(f"CuPy lacks a library of CUDA: pip install '{own_package}[ctk]'")
    elif is_known(driver) and not is_known(findings["device"]):
        lines.append(NO_DEVICE)
    if not any(is_known(name) for name in findings["compilers"].values()):
        lines.append("no compiler, so no kernel was checked: pip install nvidia-cuda-nvrtc (needs no GPU)")
    return lines + refused(findings)


def has_no_gpu(findings: Findings) -> bool:
    """Whether nothing here speaks of a GPU: no driver and no CuPy."""
    return not (is_known(findings["driver"]) or is_known(findings["cupy"]) or findings["cupy_packages"])


def refused(findings: Findings) -> list[str]:
    """Lines on a wrong mode of kernels, and on kernels that are refused."""
    lines: list[str] = []
    if not is_known(findings["implementation"]):
        lines.append(findings["implementation"]["missing"])
    elif findings["implementation"] == "equations":
        lines.append("WAVE_IMPLEMENTATION=equations: kernels are not used on a device; unset it")
    if findings["ok"] is False:
        lines.append(REFUSED)
    return lines


def as_text(findings: Findings) -> str:
    """The findings for a terminal: a line each, messages of compilers, and remedies.

    Where there is something of a GPU, also all that it needs, and the kernels as a table; so where one is refused.
    """
    machine = findings["machine"]
    facts = [
        ("machine", f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"),
        ("memory", f"{gibibytes(findings['memory_free_bytes'])} free of {gibibytes(machine['memory_bytes'])}"),
        ("Python", machine["python"]),
        ("NumPy", f"{machine['numpy']}, {machine['blas']}"),
        ("implementation", in_words(findings["implementation"])),
        ("cache folder", in_words(findings["cache"], cache_text)),
        ("missing extras", in_words(findings["missing_extras"], extras_text)),
    ]
    if has_no_gpu(findings):
        facts += [("GPU", f"none ({findings['driver']['missing']})"), ("kernels", kernel_counts(findings["kernels"]))]
    else:
        facts += gpu_facts(findings)
    lines = listed(facts)
    if not has_no_gpu(findings) or findings["ok"] is False:
        lines += ["", kernel_table(findings["kernels"])]
    for row, name, verdict in refusals(findings["kernels"]):
        lines += ["", f"{row['file']} ({row['dtype']}), refused by {name}:"]
        lines += [f"  {line}" for line in verdict.splitlines()]
    lines += ["", "what to do:" if findings["remedies"] else "nothing is missing"]
    return "\n".join([*lines, *(f"  - {line}" for line in findings["remedies"])])


def listed(facts: Sequence[tuple[str, str]]) -> list[str]:
    """(name, value) as lines."""
    width = max(len(name) for name, _ in facts)
    return [f"{name:{width}}  {value}" for name, value in facts]


def gpu_facts(findings: Findings) -> list[tuple[str, str]]:
    """(name, value) of what a GPU needs."""
    device = findings["device"]
    driver = in_words(findings["driver"], lambda version: f"up to CUDA {dotted_version(version)}")
    if is_known(findings["driver_release"]):
        driver = f"{findings['driver_release']}, {driver}"
    packages = f" ({', '.join(findings['cupy_packages'])})" if findings["cupy_packages"] else ""
    return [
        ("CuPy", in_words(findings["cupy"]) + packages),
        ("CUDA driver", driver),
        ("CUDA runtime", in_words(findings["runtime"], dotted_version)),
        ("device", in_words(device, lambda d: f"{d['name']}, {d['architecture']}, {d['devices']} in all")),
        ("device memory", memory_text(device) if is_known(device) else "-"),
        *((name, in_words(found)) for name, found in findings["libraries"].items() if is_known(device)),
        ("--device auto", "cuda" if is_known(device) else "cpu"),
        *((f"compiler {kind}", in_words(found)) for kind, found in findings["compilers"].items()),
    ]


def gibibytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 2**30:.1f} GiB"


def cache_text(cache: Findings) -> str:
    """The cache folder with its size."""
    return f"{cache['folder']}, {gibibytes(cache['bytes'])}; {gibibytes(cache['free_bytes'])} free"


def extras_text(extras: dict[str, list[str]]) -> str:
    """The extras of which a package is missing, and the command that installs them all."""
    names = [extra for extra, packages in extras.items() if packages]
    return f"{', '.join(names)}: {install_extra(','.join(names))}" if names else "none"


def kernel_counts(rows: Sequence[Findings]) -> str:
    """How many kernels compile, and by what, in a line."""
    found = [(name, verdict) for row in rows for name, verdict in row["compiled"].items()]
    if not found:
        return "not checked (no compiler; only a GPU needs them)"
    good = len(found) - len(refusals(rows))
    return f"{good} of {len(found)} compile ({', '.join(dict(found))})"


def memory_text(device: Findings) -> str:
    """Free and total memory of a device."""
    free, total = (f"{device[key] / 2**30:.1f} GiB" for key in ("memory_free_bytes", "memory_total_bytes"))
    return f"{free} free of {total}"


def in_words(finding: Any, form: Callable[[Any], str] = str) -> str:
    """A finding as text: by `form`, or why it is missing."""
    return form(finding) if is_known(finding) else f"- ({finding['missing']})"
