"""Fixtures that execute kernels on the CPU (`emulated`), or on an emulated and a real device (`cuda`, `cuda_only`)."""

import contextlib
import os
import types

import numpy as np
import pytest

from engine.cuda.kernels import KernelFile
from tests.support import emulated_device, emulation


@pytest.fixture(scope="session")
def emulation_folder(tmp_path_factory):
    """The folder of compiled kernels, one for all workers of pytest-xdist.

    Without g++ tests that need it are skipped, or fail where CI=true.
    """
    if emulation.COMPILER is None:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("no g++: kernels cannot be executed on the CPU")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "emulation"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def emulated(emulation_folder, record_property):
    """A context manager: kernels run on NumPy arrays inside `with emulated() as emulator`."""
    return lambda backwards=False: noted(emulation.emulating(emulation_folder, backwards), record_property)


@contextlib.contextmanager
def noted(emulating, record_property):
    """The same context, noted for the summary of the test run if a kernel ran."""
    with emulating as emulator:
        yield emulator
    if emulator.launched:
        record_property("emulated", True)


@pytest.fixture(params=["emulated", pytest.param("real", marks=pytest.mark.gpu)])
def cuda(request, monkeypatch, record_property):
    """A context manager in which the device "cuda" is usable: by emulation, and once more on a GPU where there is one.

    Yields an object with `launched`, a set of (kernel, dtype), and `waits`, a list of what stalled; None on a GPU.
    """
    if request.param == "real":
        return lambda: watched_launches(monkeypatch)
    folder = request.getfixturevalue("emulation_folder")
    return lambda: noted(emulated_device.emulated_device(folder, monkeypatch), record_property)


@pytest.fixture
def cuda_only(monkeypatch):
    """As cuda, for tests with the marker gpu that need a real device. At least one kernel must run."""
    with watched_launches(monkeypatch) as device:
        yield device
    assert device.launched


@contextlib.contextmanager
def watched_launches(monkeypatch):
    """On a GPU: note which kernels run."""
    launched, launch = set(), KernelFile.launch

    def watched(self, name, like, blocks, threads, *arguments):
        launch(self, name, like, blocks, threads, *arguments)
        if 0 not in blocks and not isinstance(like, np.ndarray):
            launched.add((name, like.dtype.name))

    with monkeypatch.context() as patched:
        patched.setattr(KernelFile, "launch", watched)
        yield types.SimpleNamespace(launched=launched, waits=None)
