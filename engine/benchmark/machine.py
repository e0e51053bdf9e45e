"""The machine of a measurement: its processor or device, how fast that copies and multiplies, and its memory."""

import contextlib
import gc
import importlib
import os
import platform
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from engine.arrays.backend import array_module, to_device
from engine.benchmark.timing import Clock, take_turns

REPEATS = 7
CALLS = 5  # in one repeat: the start of a call then hardly counts
COPY_ENTRIES = {"cpu": 2**22, "cuda": 2**26}  # float32, 16 and 256 MiB: more than caches hold
PRODUCT_SIZE = {"cpu": 512, "cuda": 8192}  # large enough for the highest rate


def describe_machine() -> dict[str, Any]:
    """Describe the host by plain values: processor, cores, memory in bytes, versions, and BLAS with its threads."""
    blas = [
        f"{b['internal_api']} {b.get('version')} ({b.get('architecture', '?')}), {b['num_threads']} threads"
        for b in threadpool_info()
        if b["user_api"] == "blas"
    ]
    return {
        "processor": processor_name(),
        "cores": usable_cores(),
        "memory_bytes": memory_bytes(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": "; ".join(blas) or "unknown",
    }


def usable_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_name() -> str:
    """The name that the system gives its processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def memory_bytes() -> int | None:
    """The size of main memory, or None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def free_memory_bytes(file: str | Path = "/proc/meminfo") -> int | None:
    """The main memory that programs can still take, or None where the system does not tell."""
    try:
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def describe_device(device: str, cupy: Any = None) -> dict[str, Any]:
    """Describe a device by plain values: for "cuda" name, memory in bytes, driver and versions; {} for "cpu"."""
    if device == "cpu":
        return {}
    if cupy is None:
        cupy = importlib.import_module("cupy")
    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(cupy.cuda.Device().id)
    return {
        "device": decoded_name(properties),
        "device_memory_bytes": int(properties["totalGlobalMem"]),
        "driver": driver_release(),
        "driver_cuda": dotted_version(runtime.driverGetVersion()),
        "cuda_runtime": dotted_version(runtime.runtimeGetVersion()),
        "cupy": cupy.__version__,
    }


def decoded_name(properties: Mapping[str, Any]) -> str:
    """The name of a device among the properties that CUDA's runtime gives."""
    name = properties["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def dotted_version(version: int) -> str:
    """A version as CUDA counts it, 1000·major + 10·minor, as "major.minor"."""
    return f"{version // 1000}.{version % 1000 // 10}"


def driver_release(file: str | Path = "/proc/driver/nvidia/version") -> str | None:
    """The release of NVIDIA's driver, such as "580.95.05"; None where the system does not tell in this file."""
    try:
        with open(file, encoding="utf-8") as lines:
            words = lines.readline().split()
    except OSError:
        return None
    return next((word for word in words if word[0].isdigit() and "." in word), None)


def copy_bandwidth(device: str, clock: Clock, entries: int | None = None) -> float:
    """Bytes per second of a copy of `entries` float32 numbers, each read and written once: the median over repeats."""
    x = to_device(np.zeros(entries or COPY_ENTRIES[device], np.float32), device)
    xp = array_module(x)
    y = xp.empty_like(x)
    moved: int = 2 * x.nbytes
    return moved / median_seconds(lambda: xp.copyto(y, x), clock, REPEATS, CALLS)


def square_product_rate(device: str, clock: Clock, size: int | None = None) -> float:
    """FLOP/s of a float32 product (n, n)·(n, n), in the precision that is set: the median over repeats of CALLS."""
    n = size or PRODUCT_SIZE[device]
    return product_rate(n, n, n, device, clock, REPEATS, CALLS)


def product_rate(
    rows: int, inner: int, columns: int, device: str, clock: Clock, repeats: int = 15, calls: int = 1
) -> float:
    """FLOP/s of a float32 product (rows, inner)·(inner, columns): the median over repeats of `calls` calls each."""
    rng = np.random.default_rng(0)
    shapes = ((rows, inner), (inner, columns))
    x, w = (to_device(rng.standard_normal(shape, np.float32), device) for shape in shapes)
    xp = array_module(x)
    y = xp.empty((rows, columns), np.float32)
    return 2 * rows * inner * columns / median_seconds(lambda: xp.matmul(x, w, out=y), clock, repeats, calls)


def median_seconds(call: Callable[[], object], clock: Clock, repeats: int, calls: int) -> float:
    """Seconds of one call, the median over repeats of `calls` calls each; a first repeat does not count."""

    def run(_: int) -> None:
        for _ in range(calls):
            call()

    return statistics.median(take_turns({"call": run}, repeats, clock, uncounted=1)["call"]) / calls


def release_memory(device: str) -> None:
    """Free what CuPy's memory pool keeps of freed arrays, so that peak_memory_bytes("cuda") counts anew from here."""
    gc.collect()
    if device == "cuda":
        import cupy

        cupy.get_default_memory_pool().free_all_blocks()


def restart_peak(device: str) -> None:
    """Let peak_memory_bytes(device) count anew from here; on a CPU only where the system is Linux and permits it."""
    release_memory(device)
    if device == "cpu":
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the high water mark of resident memory becomes what is resident: man 5 proc
