"""Kernels executed on the CPU: the fixture `emulated`, and what these tests share."""

import contextlib
import os
import types

import numpy as np
import pytest

from engine.cuda.kernels import KernelFile
from tests.support import emulated_device, emulation


@pytest.fixture(scope="session")
def emulation_folder(tmp_path_factory):
    """The folder of compiled kernels during a run of the tests.

    Without g++ the tests that need it are skipped, or fail where CI=true.
    """
    if emulation.COMPILER is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            "no g++: kernels cannot be executed on the CPU"
        )
    return tmp_path_factory.mktemp("emulation")


@pytest.fixture
def emulated(emulation_folder, record_property):
    """A context manager: kernels run on NumPy arrays inside `with emulated() as emulator`."""
    return lambda backwards=False: told(emulation.emulating(emulation_folder, backwards), record_property)


@contextlib.contextmanager
def told(emulating, record_property):
    """The same context; the summary of the test run hears of it if a kernel ran."""
    with emulating as emulator:
        yield emulator
    if emulator.launched:
        record_property("emulated", True)


@pytest.fixture(params=["emulated", pytest.param("real", marks=pytest.mark.gpu)])
def cuda(request, monkeypatch, record_property):
    """A context manager in which the device "cuda" is usable: by emulation, and once more on a GPU where there is one.

    Yields what has `launched`, a set of (kernel, dtype); that of the emulation has `waits` too, what stalled.
    """
    if request.param == "real":
        return lambda: watched_launches(monkeypatch)
    folder = request.getfixturevalue("emulation_folder")
    return lambda: told(emulated_device.emulated_device(folder, monkeypatch), record_property)


@pytest.fixture
def cuda_only(monkeypatch):
    """For tests with the marker gpu, which the emulation cannot take the place of."""
    with watched_launches(monkeypatch) as device:
        yield device
    assert device.launched


@contextlib.contextmanager
def watched_launches(monkeypatch):
    """On a GPU: proof that kernels ran."""
    launched, launch = set(), KernelFile.launch

    def watched(self, name, like, blocks, threads, *arguments):
        launch(self, name, like, blocks, threads, *arguments)
        if 0 not in blocks and not isinstance(like, np.ndarray):
            launched.add((name, like.dtype.name))

    with monkeypatch.context() as patched:
        patched.setattr(KernelFile, "launch", watched)
        yield types.SimpleNamespace(launched=launched, waits=None)
