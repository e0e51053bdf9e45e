"""A program on the emulated device, with networks and measurements so small that they end in seconds.

    python -m tests.support.emulated_program train.py|pytest|on_device ARGUMENTS

The folder that WAVE_EMULATION names keeps compiled kernels for the next program.
"""

import os
import sys
import tempfile
import types
from pathlib import Path

import pytest

from engine.benchmark import machine, timing
from engine.cuda import cublas
from layers.experiments import complexity
from layers.experiments.benchmark import gpu, workloads
from layers.experiments.complexity import measure
from layers.experiments.complexity import run as complexity_run
from tests.support.emulated_device import emulated_device

VARIABLE = "WAVE_EMULATION"
SIZES = (4,)  # texts in a batch of a measured step
WIDTH = 8


def give_runtime(patch, cupy):
    """The parts of cupy.cuda that tell of a device; its events, graphs and cuBLAS are not emulated."""
    properties = {"name": b"emulated device", "totalGlobalMem": 2**30}
    runtime = types.SimpleNamespace(
        getDevice=lambda: 0,
        getDeviceCount=lambda: 1,
        deviceGetPCIBusId=lambda number: "emulated",
        getDeviceProperties=lambda number: properties,
        driverGetVersion=lambda: 0,
        runtimeGetVersion=lambda: 0,
    )
    device = types.SimpleNamespace(id=0, compute_capability="90")
    patch.setattr(cupy, "cuda", types.SimpleNamespace(runtime=runtime, Device=lambda: device), raising=False)
    pool = types.SimpleNamespace(total_bytes=lambda: 12345, used_bytes=lambda: 1234, free_all_blocks=lambda: None)
    patch.setattr(cupy, "get_default_memory_pool", lambda: pool, raising=False)
    patch.setattr(cublas, "loaded", lambda cupy, device: None)
    patch.setattr(timing, "CudaClock", timing.HostClock)


def in_this_process(model, texts, lengths, setup):
    """complexity's measurements(); a child process would not have the device."""
    subject = measure.Subject(model, setup.device, max(lengths), setup.rate, setup.budget, setup.tokens)
    return (subject.measure(texts, length) for length in lengths)


def make_small(patch):
    """Networks of WIDTH columns and 100 tokens, measured over few texts."""
    for name, value in {"SIZES": SIZES, "STEPS": 1, "EPOCHS": 1, "EPOCH_TEXTS": 70}.items():
        patch.setattr(gpu, name, value)
    for name, value in {"REPEATS": 1, "CALLS": 1, "COPY_ENTRIES": {"cuda": 1000}, "PRODUCT_SIZE": {"cuda": 16}}.items():
        patch.setattr(machine, name, value)
    patch.setattr(workloads, "VOCABULARY", 100)
    patch.setitem(workloads.NETWORKS, "paper", {**workloads.NETWORKS["paper"], "dimension": WIDTH, "hidden": WIDTH})
    for name, fields in complexity.MODELS.items():
        heads = {} if complexity.is_wave(name) else {"heads": 2, "blocks": min(2, fields["blocks"])}
        patch.setitem(complexity.MODELS, name, {**fields, "dimension": WIDTH, "hidden": WIDTH, **heads})
    patch.setattr(complexity_run, "measurements", in_this_process)


def run(program, arguments):
    """The exit code of a program with these arguments."""
    if program == "pytest":
        return pytest.main(arguments)
    if program == "train.py":
        import train

        return train.main(arguments)
    from tests.support import on_device

    return on_device.main(arguments)


def main(program, *arguments):
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        folder = Path(os.environ.get(VARIABLE) or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        with emulated_device(folder, patch):
            give_runtime(patch, sys.modules["cupy"])
            make_small(patch)
            return run(program, list(arguments))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
