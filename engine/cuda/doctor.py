"""What this machine offers: versions, a CUDA device and what stands in its way, whether every kernel compiles, what to install.

Nothing here raises: what cannot be found out is a reason in words. Nothing needs a device.
"""

import ctypes
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np

from engine.arrays.backend import random_generator, why_no_cuda
from engine.benchmark.machine import decoded_name, describe_machine, dotted_version
from engine.benchmark.machine import driver_release as release_of_driver
from engine.cuda import kernels
from engine.cuda.compilers import kernel_files, search
from engine.support.errors import first_line
from engine.support.text import format_table

ARCHITECTURE = "sm_90"  # for which kernels are compiled where no device says its own
DTYPES = ("float32", "float64")
CUPY_PACKAGES = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")
COMPILED = "compiles"
LOADED = "loads"
CUDA_13 = 13_000  # versions as CUDA counts them: 1000·major + 10·minor


def examine(folders):
    """dict of plain values about this machine and the .cu files in `folders`; what is missing is {"missing": reason}.

    Kernels are compiled by NVRTC if it is there, as on a device, else by nvcc.
    ok: whether every kernel compiled, and loaded on the device if there is one; None where there is no compiler to tell.
    """
    reason = why_no_cuda()
    findings = {
        "machine": describe_machine(),
        "cupy": attempt(cupy_version),
        "cupy_packages": [name for name in CUPY_PACKAGES if is_installed(name)],
        "driver": attempt(driver_version),
        "driver_release": attempt(driver_release),
        "runtime": attempt(runtime_version),
        "device": attempt(device_facts) if reason is None else missing(reason),
        "libraries": {
            name: attempt(function) if reason is None else missing(reason) for name, function in LIBRARIES.items()
        },
        "kernels_mode": attempt(kernels.mode),
    }
    compilers = search()
    findings["compilers"] = {
        kind: missing(found) if isinstance(found, str) else found.name for kind, found in compilers.items()
    }
    device = findings["device"]
    wanted = device["architecture"] if is_known(device) else ARCHITECTURE
    judges = [found for found in compilers.values() if not isinstance(found, str)][-1:]
    findings["kernels"] = kernel_rows(folders, judges, wanted, is_known(device))
    told = [verdict for row in findings["kernels"] for verdict in verdicts(row)]
    findings["ok"] = all(verdict in (COMPILED, LOADED) for verdict in told) if told else None
    findings["remedies"] = remedies(findings)
    return findings


def missing(reason):
    """A finding that is no value."""
    return {"missing": reason}


def is_known(finding):
    return not (isinstance(finding, dict) and "missing" in finding)


def attempt(function):
    """The function's result, or the reason why there is none, whatever went wrong."""
    try:
        return function()
    except Exception as error:  # a broken installation can fail in any way, and a report of what is broken must not
        return missing(first_line(error))


def cupy_version():
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name != "cupy":  # it is there, and something it needs is not
            raise
        raise RuntimeError("CuPy is not installed") from None
    return cupy.__version__


def is_installed(package):
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False


def driver_version():
    """The newest CUDA version that the NVIDIA driver supports, as an integer such as 13000. Asks the driver, not CuPy."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        raise RuntimeError("no NVIDIA driver") from None
    version = ctypes.c_int()
    status = library.cuDriverGetVersion(ctypes.byref(version))
    if status:
        raise RuntimeError(f"the NVIDIA driver answers with error {status}")
    return version.value


def driver_release():
    """The driver's own number, such as 580.65.06."""
    release = release_of_driver()
    if release is None:
        raise RuntimeError("the system does not tell")
    return release


def runtime_version():
    """The CUDA version that CuPy was built for, as an integer such as 13020."""
    cupy_version()
    import cupy

    return int(cupy.cuda.runtime.runtimeGetVersion())


def device_facts():
    """dict of the current device: name, architecture such as sm_90, bytes free and in total, number of devices."""
    import cupy

    free, total = cupy.cuda.runtime.memGetInfo()
    return {
        "name": decoded_name(cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)),
        "architecture": f"sm_{cupy.cuda.Device().compute_capability}",
        "memory_free_bytes": int(free),
        "memory_total_bytes": int(total),
        "devices": int(cupy.cuda.runtime.getDeviceCount()),
    }


def matrix_product():
    import cupy

    return "works" if float((cupy.ones((2, 2)) @ cupy.ones((2, 2))).sum()) == 8 else missing("it multiplies wrongly")


def random_numbers():
    return "works" if 0 <= float(random_generator(0, device="cuda").random(1)[0]) < 1 else missing("out of range")


LIBRARIES = {"cuBLAS": matrix_product, "cuRAND": random_numbers}  # CuPy loads them at first use, so only use tells


def kernel_rows(folders, compilers, wanted, on_device):
    """A dict for each .cu file and dtype: file, dtype, compiled {compiler: "compiles" or its message}, device (None without)."""
    tasks = [(path_in(folders, one.path), one, dtype) for one in kernel_files(folders) for dtype in DTYPES]
    with ThreadPoolExecutor(
        os.cpu_count()
    ) as pool:  # nvcc is a process of its own, and NVRTC runs without Python's lock
        told = [{c.name: pool.submit(verdict_of, c, one, dtype, wanted) for c in compilers} for _, one, dtype in tasks]
        compiled = [{name: verdict.result() for name, verdict in row.items()} for row in told]
    return [
        {"file": path, "dtype": dtype, "compiled": verdict, "device": loads(one, dtype) if on_device else None}
        for (path, one, dtype), verdict in zip(tasks, compiled)
    ]


def path_in(folders, path):
    """The path of a file as seen from beside its folder, with slashes."""
    parent = next(Path(folder).parent for folder in folders if Path(folder) in path.parents)
    return path.relative_to(parent).as_posix()


def verdict_of(compiler, kernel_file, dtype, wanted):
    """COMPILED, or what the compiler says. An architecture that it does not know yet is replaced by its newest."""
    architecture = wanted if wanted in compiler.architectures else compiler.architectures[-1]
    done = attempt(lambda: compiler.compile(kernel_file, dtype, architecture))
    if not is_known(done):
        return done["missing"]
    return COMPILED if done.ok else done.message or "refused without a message"


def loads(kernel_file, dtype):
    """LOADED, or why the device does not take the kernels of a file."""
    done = attempt(lambda: kernels.loaded(kernel_file, np.dtype(dtype)).compile())
    return LOADED if is_known(done) else done["missing"]


def verdicts(row):
    """What was said about one row of kernels."""
    return [*row["compiled"].values(), *([row["device"]] if row["device"] is not None else [])]


def remedies(findings):
    """Lines that say what to install or set, in the order in which to do it."""
    lines, driver, packages = [], findings["driver"], findings["cupy_packages"]
    old_driver = is_known(driver) and driver < CUDA_13
    extra = "cuda12" if old_driver else "cuda13"
    own_package = packages[0] if packages else f"cupy-{extra}x"
    install = f"pip install -e '.[{extra}]'"
    other_way = (
        "with a driver below 580: '.[cuda12]'" if not is_known(driver) else f"the driver supports CUDA {dotted_version(driver)}"
    )
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
        lines.append(
            "a driver and CuPy, but no device: nvidia-smi must list one, and CUDA_VISIBLE_DEVICES must not hide it"
        )
    if not any(is_known(name) for name in findings["compilers"].values()):
        lines.append("no compiler, so no kernel was checked: pip install nvidia-cuda-nvrtc (needs no GPU)")
    if not is_known(findings["kernels_mode"]):
        lines.append(findings["kernels_mode"]["missing"])
    elif findings["kernels_mode"] == "off":
        lines.append("WAVE_KERNELS=off: kernels are not used on a device; unset it")
    if findings["ok"] is False:
        lines.append(
            "a kernel is refused, an error of this program: please report this text; WAVE_KERNELS=off computes without kernels"
        )
    return lines


def as_text(findings):
    """The findings for a terminal: a line each, the kernels as a table, messages of compilers, and what to do."""
    machine, device = findings["machine"], findings["device"]
    memory = "" if machine["memory_bytes"] is None else f", {machine['memory_bytes'] / 2**30:.0f} GiB"
    driver = worded(findings["driver"], lambda version: f"up to CUDA {dotted_version(version)}")
    if is_known(findings["driver_release"]):
        driver = f"{findings['driver_release']}, {driver}"
    facts = [
        ("machine", f"{machine['processor']}, {machine['cores']} cores{memory}, {machine['system']}"),
        ("Python", machine["python"]),
        ("NumPy", f"{machine['numpy']}, {machine['blas']}"),
        (
            "CuPy",
            worded(findings["cupy"], str)
            + (f" ({', '.join(findings['cupy_packages'])})" if findings["cupy_packages"] else ""),
        ),
        ("CUDA driver", driver),
        ("CUDA runtime", worded(findings["runtime"], dotted_version)),
        ("device", worded(device, lambda d: f"{d['name']}, {d['architecture']}, {d['devices']} in all")),
        ("device memory", memory_text(device) if is_known(device) else "-"),
        *((name, worded(found, str)) for name, found in findings["libraries"].items() if is_known(device)),
        ("--device auto", "cuda" if is_known(device) else "cpu"),
        ("WAVE_KERNELS", worded(findings["kernels_mode"], str)),
        *((f"compiler {kind}", worded(found, str)) for kind, found in findings["compilers"].items()),
    ]
    width = max(len(name) for name, _ in facts)
    lines = [f"{name:{width}}  {value}" for name, value in facts]
    lines += ["", kernel_table(findings["kernels"])]
    for row in findings["kernels"]:
        for name, verdict in [*row["compiled"].items(), ("the device", row["device"])]:
            if verdict not in (COMPILED, LOADED, None):
                lines += [
                    "",
                    f"{row['file']} ({row['dtype']}), refused by {name}:",
                    *(f"  {line}" for line in verdict.splitlines()),
                ]
    lines += [
        "",
        *(
            ["what to do:", *(f"  - {line}" for line in findings["remedies"])]
            if findings["remedies"]
            else ["nothing is missing"]
        ),
    ]
    return "\n".join(lines)


def memory_text(device):
    free, total = (f"{device[key] / 2**30:.1f} GiB" for key in ("memory_free_bytes", "memory_total_bytes"))
    return f"{free} free of {total}"


def worded(finding, form):
    """A finding in words."""
    return form(finding) if is_known(finding) else f"- ({finding['missing']})"


def kernel_table(rows):
    """A line for each .cu file and dtype, a column for each compiler, and one for the device."""
    names = list(rows[0]["compiled"]) if rows else []
    short = lambda verdict: "-" if verdict is None else verdict if verdict in (COMPILED, LOADED) else "REFUSED"  # noqa: E731
    cells = [
        (row["file"], row["dtype"], *(short(row["compiled"][name]) for name in names), short(row["device"]))
        for row in rows
    ]
    return format_table(["kernels", "dtype", *names, "device"], cells, align="<" * (len(names) + 3))
