"""Of two processes one has the lock, as long as it lives."""

import subprocess
import sys

import pytest

from engine.support.errors import UserError
from engine.training.run_directory import locked

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


def test_a_lock_that_another_process_has_is_refused_until_that_is_killed(tmp_path, holder):
    with pytest.raises(UserError, match="^taken by it$"), locked(tmp_path / "lock", "taken by it"):
        pass
    assert (tmp_path / "lock").exists() and (tmp_path / "lock").read_bytes() == b""
    holder.kill()
    holder.wait()
    with locked(tmp_path / "lock", "taken"):
        assert (tmp_path / "lock").exists()


def test_a_lock_leaves_no_file_and_can_be_had_again(tmp_path):
    for _ in range(2):
        with (
            locked(tmp_path / "lock", "taken"),
            pytest.raises(UserError, match="taken"),
            locked(tmp_path / "lock", "taken"),
        ):
            pass
        assert not (tmp_path / "lock").exists()


def test_a_file_that_its_holder_removes_meanwhile_is_made_anew(tmp_path, monkeypatch):
    def removed(file):
        monkeypatch.undo()
        (tmp_path / "lock").unlink()
        return True

    monkeypatch.setattr("engine.training.run_directory.lock", removed)
    with (
        locked(tmp_path / "lock", "taken"),
        pytest.raises(UserError, match="taken"),
        locked(tmp_path / "lock", "taken"),
    ):
        pass


def test_a_lock_that_cannot_be_made_is_named(tmp_path):
    with (
        pytest.raises(UserError, match="none/lock: cannot be written .No such file"),
        locked(tmp_path / "none" / "lock", "taken"),
    ):
        pass
