"""Settings of hypothesis for all tests, their own token cache, signals, and the marker gpu."""

import gc
import os
import signal

import pytest
from hypothesis import settings

from engine.arrays.backend import why_no_cuda
from engine.support import cache_folder
from tests.support import examples
from tests.support.gpu_summary import pytest_terminal_summary  # noqa: F401 (a hook)
from tests.support.passed import Passed
from tests.support.passed import add_options as pytest_addoption  # noqa: F401 (a hook)

# No deadline, since cores may stall. On CI the examples are the same every time; elsewhere they are new.
settings.register_profile("here", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("here")


def pytest_configure(config):
    """`-m thorough` also selects the tests whose examples are few otherwise."""
    examples.THOROUGH = config.option.markexpr == "thorough"
    os.environ.pop("PYTEST_ADDOPTS", None)  # meant for this run, not for those that tests start
    config.pluginmanager.register(Passed(config))


@pytest.fixture(autouse=True)
def own_token_cache(tmp_path_factory, monkeypatch):
    """Keep tests, and on Linux the processes that they start, from reading or filling the user's token cache."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setattr(cache_folder, "user_folder", lambda: folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))


@pytest.fixture
def signals_of_a_terminal():
    """Hear Ctrl-C and a closed terminal, here and in processes that are started.

    Whatever nohup or a shell's & starts ignores them, and so do its children.
    """
    handlers = {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}
    numbers = [getattr(signal, name, None) for name in handlers]
    before = {number: signal.signal(number, handler) for number, handler in zip(numbers, handlers.values()) if number}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def pytest_collection_finish():
    """Keep the garbage collector from going through all tests whenever one of them calls it."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    """Skip tests marked gpu, with the reason, where no CUDA device is usable; see pytest_configure."""
    for item in items if examples.THOROUGH else ():
        if "random_examples" in item.keywords:
            item.add_marker(pytest.mark.thorough)
    on_gpu = [item for item in items if "gpu" in item.keywords]
    reason = why_no_cuda() if on_gpu else None
    for item in on_gpu if reason else ():
        item.add_marker(pytest.mark.skip(reason=f"no GPU: {reason}"))
