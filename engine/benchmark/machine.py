"""What a figure was measured on.

What a device is, how fast it copies and multiplies, and how much of its memory arrays have taken.
"""

import contextlib
import gc
import os
import platform
import statistics

import numpy as np
from threadpoolctl import threadpool_info

from engine.arrays.backend import array_module, to_device
from engine.benchmark.timing import take_turns, warm_up


def describe_machine():
    """dict of plain values: processor, cores, memory in bytes, versions, and which BLAS takes how many threads."""
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


def usable_cores():
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_name():
    """The name that the system gives its processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def memory_bytes():
    """Main memory, or None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


REPEATS = 7
CALLS = 5  # in one repeat: the start of a call then hardly counts
COPY_ENTRIES = {"cpu": 2**22, "cuda": 2**26}  # float32, 16 and 256 MiB: more than caches hold
PRODUCT_SIZE = {"cpu": 512, "cuda": 8192}  # large enough for the highest rate


def copy_bandwidth(device, clock, entries=None):
    """Bytes per second of a copy of `entries` float32 numbers, each read once and written once: the median over repeats."""
    x = to_device(np.zeros(entries or COPY_ENTRIES[device], np.float32), device)
    xp = array_module(x)
    y = xp.empty_like(x)
    return 2 * x.nbytes / seconds_of(lambda: xp.copyto(y, x), clock)


def square_product_rate(device, clock, size=None):
    """FLOP/s of a float32 product (n, n)·(n, n), in the precision that is set: the median over repeats."""
    n = size or PRODUCT_SIZE[device]
    rng = np.random.default_rng(0)
    x, w = (to_device(rng.standard_normal((n, n), np.float32), device) for _ in range(2))
    xp = array_module(x)
    y = xp.empty_like(x)
    return 2 * n**3 / seconds_of(lambda: xp.matmul(x, w, out=y), clock)


def seconds_of(call, clock):
    """Seconds of one call, the median over repeats of several."""

    def calls(_):
        for _ in range(CALLS):
            call()

    runs = {"call": calls}
    warm_up(runs, 1)
    return statistics.median(take_turns(runs, REPEATS, clock)["call"]) / CALLS


def release_memory(device):
    """Give back what CuPy's memory pool keeps of freed arrays, so that peak_memory_bytes("cuda") counts anew from here."""
    gc.collect()
    if device == "cuda":
        import cupy

        cupy.get_default_memory_pool().free_all_blocks()


def restart_peak(device):
    """Let peak_memory_bytes(device) count anew from here; on a CPU only where the system is Linux and lets it, else it goes on."""
    release_memory(device)
    if device == "cpu":
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the high water mark of resident memory becomes what is resident: man 5 proc


def describe_device(device, cupy=None):
    """dict of plain values: for "cuda" name, memory in bytes, driver, CUDA runtime and CuPy version; empty for "cpu"."""
    if device == "cpu":
        return {}
    if cupy is None:
        import cupy
    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(cupy.cuda.Device().id)
    return {
        "device": name_of(properties),
        "device_memory_bytes": int(properties["totalGlobalMem"]),
        "driver": driver_release(),
        "driver_cuda": dotted(runtime.driverGetVersion()),
        "cuda_runtime": dotted(runtime.runtimeGetVersion()),
        "cupy": cupy.__version__,
    }


def name_of(properties):
    """A device's name of what CUDA's runtime tells about it."""
    name = properties["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def dotted(version):
    """CUDA's number of a version, 1000·major + 10·minor, as "major.minor"."""
    return f"{version // 1000}.{version % 1000 // 10}"


def driver_release(file="/proc/driver/nvidia/version"):
    """The release of NVIDIA's driver, such as "580.95.05"; None where the system does not tell in this file."""
    try:
        with open(file, encoding="utf-8") as lines:
            words = lines.readline().split()
    except OSError:
        return None
    return next((word for word in words if word[0].isdigit() and "." in word), None)
