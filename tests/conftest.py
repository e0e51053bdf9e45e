"""Settings of hypothesis for all tests, their own token cache, and the marker gpu."""

import os

import pytest
from hypothesis import settings

from engine.arrays.backend import why_no_cuda
from engine.data import token_cache
from tests.support.gpu_summary import pytest_terminal_summary  # noqa: F401 (a hook)

# No deadline, since cores may stall. On CI the examples are the same every time; elsewhere they are new.
settings.register_profile("here", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("here")


@pytest.fixture(autouse=True)
def own_token_cache(tmp_path_factory, monkeypatch):
    """Keep tests, and on Linux the processes that they start, from reading or filling the user's token cache."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setattr(token_cache, "user_folder", lambda: folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))


def pytest_collection_modifyitems(items):
    """Skip tests marked gpu, with the reason, where no CUDA device is usable."""
    on_gpu = [item for item in items if "gpu" in item.keywords]
    reason = why_no_cuda() if on_gpu else None
    for item in on_gpu if reason else ():
        item.add_marker(pytest.mark.skip(reason=f"no GPU: {reason}"))
