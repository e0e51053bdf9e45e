"""What a figure was measured on."""

import os
import platform

import numpy as np
from threadpoolctl import threadpool_info


def describe_machine():
    """dict of plain values: processor, cores, memory in bytes, versions, and which BLAS takes how many threads."""
    blas = [f"{b['internal_api']} {b.get('version')} ({b.get('architecture', '?')}), {b['num_threads']} threads" for b in threadpool_info() if b["user_api"] == "blas"]
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
