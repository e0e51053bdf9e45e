"""Branches for Windows and macOS, taken on this system as far as replaced modules and functions reach."""

import builtins
import contextlib
import ctypes
import errno
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.arrays import backend
from engine.benchmark import launcher, machine, process
from engine.cuda import compilers, doctor
from engine.data import download
from engine.support import ahead, cache_folder
from engine.support.errors import UserError
from engine.support.files import write_text
from engine.sweep import do_job, processes
from engine.training import interrupt
from engine.training.run_directory import locked
from engine.web import server
from layers.experiments.benchmark import contestants
from tests.support import sweep_runs
from tests.support.paths import ROOT
from tests.train.conftest import arguments_of, write_corpus

WINDOWS, MACOS, LINUX = "win32", "darwin", "linux"


@pytest.fixture
def without_proc(monkeypatch):
    """A system without the files of /proc."""

    def missing(name, *given, **more):
        if str(name).startswith("/proc"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(name))
        return opened(name, *given, **more)

    opened = builtins.open
    monkeypatch.setattr(builtins, "open", missing)


@pytest.mark.parametrize(
    "platform, resource, peak",
    [(LINUX, True, 5 * 1024), (MACOS, True, 5), (WINDOWS, False, 0)],
)
def test_peak_memory(monkeypatch, without_proc, platform, resource, peak):
    """Of Windows nothing is known; macOS counts bytes, others KiB."""
    usage = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda _: SimpleNamespace(ru_maxrss=5))
    monkeypatch.setitem(sys.modules, "resource", usage if resource else None)
    monkeypatch.setattr(sys, "platform", platform)
    assert backend.peak_memory_bytes("cpu") == peak


@pytest.mark.parametrize("platform, unit", [(LINUX, 1024), (MACOS, 1)])
def test_memory_of_a_measured_process(monkeypatch, tmp_path, platform, unit):
    """And cores that a process cannot be bound to."""
    usage = SimpleNamespace(ru_maxrss=5, ru_utime=1.0, ru_stime=2.0)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: SimpleNamespace(pid=1))
    monkeypatch.setattr(os, "wait4", lambda *_: (1, 3 << 8, usage))
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    code, seconds, _, peak = launcher.use_of(["x"], str(tmp_path / "out"), str(tmp_path / "err"), 1)
    assert (code, seconds, peak) == (3, 3.0, 5 * unit)


def test_a_system_that_measures_no_process_is_named(monkeypatch):
    monkeypatch.delattr(os, "wait4")
    with pytest.raises(UserError, match="^measuring it: this system does not tell .*; use Linux or macOS$"):
        process.measured_process("it", ["x"])


@pytest.mark.parametrize("function", [ahead.cores, machine.usable_cores])
@pytest.mark.parametrize("count, found", [(6, 6), (None, 1)])
def test_cores_of_a_system_without_affinity(monkeypatch, function, count, found):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert function() == found


@pytest.mark.parametrize("names, found", [(("x86 Family 6", "AMD64"), "x86 Family 6"), (("", "arm64"), "arm64")])
def test_the_processor_of_a_system_without_proc(monkeypatch, without_proc, names, found):
    for name, value in zip(("processor", "machine"), names):
        monkeypatch.setattr(machine.platform, name, lambda value=value: value)
    assert machine.processor_name() == found


@pytest.fixture
def signals_of_windows(monkeypatch):
    """Signals as on Windows: none of a closed terminal, and none that can be held back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with monkeypatch.context() as patch:
        for name in ("SIGHUP", "pthread_sigmask"):
            patch.delattr(signal, name)
        yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_signals_of_windows_are_watched(signals_of_windows, monkeypatch):
    module = importlib.util.module_from_spec(interrupt.__spec__)
    interrupt.__spec__.loader.exec_module(module)
    assert module.HANG_UP is None and module.SIGNALS == [signal.SIGINT, signal.SIGTERM]
    with module.SignalWatch() as watch:
        signal.raise_signal(signal.SIGTERM)
        assert watch.caught == signal.SIGTERM


def test_a_job_takes_the_signals_of_windows(signals_of_windows):
    with processes.signals_held():
        do_job.take_signals()
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) == signal.default_int_handler


@pytest.mark.parametrize(
    "code, reason",
    [
        (0, None),
        (1, "exit code 1: it said nothing"),  # as TerminateProcess ends a process
        (0xC000013A, "exit code 3221225786: it said nothing"),  # of Windows at Ctrl-C
        (-9, "ended by SIGKILL"),
        (-35, "ended by signal 35"),  # one without a name
    ],
)
def test_the_end_of_a_job_on_any_system(tmp_path, code, reason):
    (tmp_path / "log").touch()
    found = processes.reason(code, tmp_path / "log")
    assert found is reason or found.startswith(reason)


@pytest.mark.parametrize("system, shared", [("nt", True), ("posix", False)])
def test_whose_files_a_cache_trusts(tmp_path, monkeypatch, system, shared):
    """Windows has no owner that os tells, nor modes; links are nobody's."""
    path, link = tmp_path / "a", tmp_path / "b"
    path.touch()
    path.chmod(0o666)
    link.symlink_to(path)
    users = {"geteuid": os.geteuid} if system == "posix" else {}
    monkeypatch.setattr(cache_folder, "os", SimpleNamespace(name=system, **users))
    assert cache_folder.is_own(path) == shared and not cache_folder.is_own(link)


@pytest.mark.parametrize("system, reused", [("nt", False), ("posix", True)])
def test_an_address_in_use(monkeypatch, system, reused):
    """On Windows the option would let two servers share a port."""
    monkeypatch.setattr(server, "os", SimpleNamespace(name=system, strerror=os.strerror))
    with contextlib.closing(server.listen("127.0.0.1", 0)) as listening:
        assert bool(listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)) == reused


@pytest.mark.parametrize("platform, name", [(WINDOWS, "nvcuda.dll"), (LINUX, "libcuda.so.1")])
def test_the_driver_of_nvidia(monkeypatch, platform, name):
    asked = []

    def missing(name):
        asked.append(name)
        raise OSError

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(RuntimeError, match="no NVIDIA driver"):
        doctor.driver_version()
    assert asked == [name]


@pytest.mark.parametrize("place", ["cu13/lib/libnvrtc.so.13", "cuda_nvrtc/bin/nvrtc64_120_0.dll"])
def test_the_compiler_in_a_wheel(tmp_path, monkeypatch, place):
    (tmp_path / "nvidia" / place).parent.mkdir(parents=True)
    (tmp_path / "nvidia" / place).touch()
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", None)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert compilers.nvrtc_path() == str(tmp_path / "nvidia" / place)


@pytest.mark.parametrize("platform, compiler", [(MACOS, "clang++"), (LINUX, "g++"), (WINDOWS, "g++")])
def test_the_compiler_of_a_peer(monkeypatch, platform, compiler):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert contestants.why_not_compiled("cpu") == f"there is no C++ compiler ({compiler})"


def in_use(*_, **__):
    """As Windows answers while a process has a file open."""
    raise PermissionError(errno.EACCES, "The process cannot access the file, which another process uses")


def test_a_file_that_another_process_has_open_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "replace", in_use)
    with pytest.raises(UserError, match=r"a.txt: cannot be written \(The process cannot access"):
        write_text(path, "new")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("context", [lambda folder: locked(folder / "fetching.lock", "taken"), download.sole_fetcher])
def test_a_lock_that_cannot_be_removed_while_it_is_held(tmp_path, monkeypatch, context):
    """It is released all the same."""
    monkeypatch.setattr(Path, "unlink", in_use)
    for _ in range(2):
        with context(tmp_path):
            assert (tmp_path / "fetching.lock").exists()


def test_no_file_is_opened_with_the_code_page(tmp_path):
    """That of Windows would not be UTF-8: every text is opened with an encoding that is named."""
    run, sweep = tmp_path / "run", tmp_path / "sweep"
    files = write_corpus(tmp_path)
    (tmp_path / "sweep.toml").write_text(sweep_runs.SMALL)
    cache = ["--cache-dir", tmp_path / "cache"]
    for words in (
        [*arguments_of(files), "--output", run, *cache],
        ["--resume", run, *cache],
        ["predict", run, "--file", files["test"], "--output", tmp_path / "labelled.csv"],
        ["evaluate", run, *cache],
        ["export", run, "--to", tmp_path / "model", *cache],
        ["describe", run],
        ["sweep", tmp_path / "sweep.toml", "--output", sweep, *cache],
        ["corpora"],
    ):
        command = [sys.executable, "-X", "warn_default_encoding", "-W", "always::EncodingWarning", ROOT / "train.py"]
        done = subprocess.run([*map(str, [*command, *words])], capture_output=True, text=True, cwd=tmp_path)
        said = done.stdout + done.stderr + "".join(log.read_text() for log in sweep.glob("logs/*"))
        assert done.returncode == 0, said
        ours = [line for line in said.splitlines() if "EncodingWarning" in line and str(ROOT) in line]
        assert not ours, ours
