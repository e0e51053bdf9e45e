"""The lock of a run: one of two processes has it, as long as it lives."""

import contextlib
import errno
import subprocess
import sys
import threading

import pytest

from engine.support.errors import UserError
from engine.training.run_directory import RunDirectory, locked

HOLD = """
import sys
from pathlib import Path
from engine.training.run_directory import locked
with locked(Path(sys.argv[1]), "taken"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock `tmp_path`/lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline().strip() == b"held"
        yield process
        process.kill()


def test_a_lock_is_refused_until_its_process_is_killed(tmp_path, holder):
    with pytest.raises(UserError, match="^taken by it$"), locked(tmp_path / "lock", "taken by it"):
        pass
    assert (tmp_path / "lock").exists() and (tmp_path / "lock").read_bytes() == b""
    holder.kill()
    holder.wait()
    with locked(tmp_path / "lock", "taken"):
        assert (tmp_path / "lock").exists()


def test_a_run_is_waited_for_until_its_process_ends(tmp_path, holder):
    """But not longer than asked for; 0 looks at nothing."""
    directory = RunDirectory(tmp_path)
    directory.wait_until_free(0)
    with pytest.raises(UserError, match="another process is training this run"):
        directory.wait_until_free(0.2)
    threading.Timer(0.5, holder.kill).start()
    directory.wait_until_free(60)
    assert holder.poll() is not None and not (tmp_path / "lock").exists()


def test_a_lock_leaves_no_file_and_can_be_had_again(tmp_path):
    for _ in range(2):
        with (
            locked(tmp_path / "lock", "taken"),
            pytest.raises(UserError, match="taken"),
            locked(tmp_path / "lock", "taken"),
        ):
            pass
        assert not (tmp_path / "lock").exists()


def test_whoever_holds_a_run_removes_what_killed_processes_left(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    (run.path / ".result.json.0123abcd.tmp").write_text("{")
    (run.path / ".notes").write_text("mine")
    with run.held():
        assert {path.name for path in run.path.iterdir()} == {"config.toml", "lock", ".notes"}


def test_a_lock_on_a_removed_file_is_none(tmp_path, monkeypatch):
    """A file that its holder removes meanwhile is refused or made anew: there are never two holders."""
    fcntl = pytest.importorskip("fcntl")
    flock = fcntl.flock

    def removed(file, operation):
        monkeypatch.undo()
        (tmp_path / "lock").unlink()
        return flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", removed)
    with contextlib.suppress(UserError), locked(tmp_path / "lock", "taken"):
        with pytest.raises(UserError, match="^taken too$"), locked(tmp_path / "lock", "taken too"):
            pass
    with locked(tmp_path / "lock", "taken"):
        assert (tmp_path / "lock").exists()


def test_a_file_system_without_locks_hinders_nobody(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def no_locks(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with locked(tmp_path / "lock", "taken"):
        pass
    assert not (tmp_path / "lock").exists()


def test_a_lock_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "lock").mkdir()
    with pytest.raises(UserError, match="lock: cannot be written .Is a directory"), locked(tmp_path / "lock", "taken"):
        pass
