"""Kernels executed on the CPU: the fixture `emulated`, and what these tests share."""

import contextlib
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from engine.kernels import KernelFile

for folder in (Path(__file__).parent / "support", Path(__file__).parents[1] / "layers" / "support"):
    sys.path.append(str(folder))
import emulated_device  # noqa: E402
import emulation  # noqa: E402


@pytest.fixture(scope="session")
def emulated(tmp_path_factory):
    """A context manager: kernels run on NumPy arrays inside `with emulated() as emulator`."""
    if emulation.COMPILER is None:
        pytest.skip("no g++: kernels cannot be executed on the CPU")
    folder = tmp_path_factory.mktemp("emulation")
    return lambda backwards=False: emulation.emulating(folder, backwards)


@pytest.fixture(params=["emulated", pytest.param("real", marks=pytest.mark.gpu)])
def cuda(request, tmp_path_factory, monkeypatch):
    """A context manager in which the device "cuda" is usable: by emulation, and once more on a GPU where there is one.

    Yields what has `launched`, a set of (kernel, dtype); that of the emulation has `waits` too, what stalled.
    """
    if request.param == "real":
        return lambda: watched_launches(monkeypatch)
    if emulation.COMPILER is None:
        pytest.skip("no g++: kernels cannot be executed on the CPU")
    folder = tmp_path_factory.getbasetemp() / "emulation-of-cuda"
    folder.mkdir(exist_ok=True)
    return lambda: emulated_device.emulated_device(folder, monkeypatch)


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
