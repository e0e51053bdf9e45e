"""Settings of hypothesis for all tests, and the marker gpu."""

import os
import runpy
from pathlib import Path

import pytest
from hypothesis import settings

from engine.backend import why_no_cuda
from engine.data import token_cache

pytest.register_assert_rewrite("layer_laws", "device_stand_in", "twin_checks")

# No deadline: a stalled core is no fault of the code. On CI the examples are the same every time; elsewhere they are new.
settings.register_profile("here", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("here")

# By its path: `tests` is no package, and folders named as ours must not come onto the path.
pytest_terminal_summary = runpy.run_path(str(Path(__file__).with_name("gpu_summary.py")))["pytest_terminal_summary"]


@pytest.fixture(autouse=True)
def own_token_cache(tmp_path_factory, monkeypatch):
    """Tests neither read nor fill the user's token cache, and neither do the processes that they start (on Linux)."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setattr(token_cache, "user_folder", lambda: folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))


def pytest_collection_modifyitems(items):
    """Tests marked gpu are skipped, with the reason, where no CUDA device is usable."""
    on_gpu = [item for item in items if "gpu" in item.keywords]
    reason = why_no_cuda() if on_gpu else None
    for item in on_gpu if reason else ():
        item.add_marker(pytest.mark.skip(reason=f"no GPU: {reason}"))
