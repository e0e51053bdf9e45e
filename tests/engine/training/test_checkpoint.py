"""Checkpoints are whole, bit for bit, or refused; whatever interrupts a save, one that can be loaded is there."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.layer import Layer, Parameter
from engine.support.errors import UserError
from engine.training import checkpoint
from engine.training.checkpoint import load_checkpoint, load_weights, save_checkpoint
from tests.support.paths import ROOT


def weights(number):
    """Arrays that differ from step to step."""
    return {"weights": {"a": np.full((2, 3), number, np.float32)}}


def save(folder, number):
    save_checkpoint(folder, number, {"note": number}, weights(number))


def loaded(folder):
    """The note and the number in the array of a checkpoint, which must belong together."""
    state, arrays = load_checkpoint(folder, ("weights",))
    assert np.array_equal(arrays["weights"]["a"], weights(state["note"])["weights"]["a"])
    return state["note"]


def refusal(folder):
    """The one line with which a checkpoint is refused."""
    with pytest.raises(UserError) as caught:
        load_checkpoint(folder, ("weights",))
    assert "\n" not in str(caught.value) and "; " in str(caught.value)
    return str(caught.value)


ARRAYS = {
    "number": np.array(0.1 + 0.2),
    "single": np.array(7.0, np.float32),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "strided": np.random.default_rng(0).standard_normal((6, 4))[::2, ::-1],
    "special": np.array([-0.0, np.nan, np.inf, 5e-324]),
    "empty": np.zeros((0, 3), np.float32),
    "table:m": np.random.default_rng(1).standard_normal((5, 2)).astype(np.float32),
}


def test_arrays_come_back_bit_for_bit_and_can_be_trained_on(tmp_path):
    save_checkpoint(tmp_path / "new" / "folder", 3, {"best": 0.5}, {"weights": ARRAYS, "optimizer": {}})
    state, arrays = load_checkpoint(tmp_path / "new" / "folder", ("weights", "optimizer"))
    assert state["best"] == 0.5 and state["step"] == 3 and arrays["optimizer"] == {}
    assert set(arrays["weights"]) == set(ARRAYS)
    for name, array in ARRAYS.items():
        found = arrays["weights"][name]
        assert found.shape == array.shape and found.dtype == array.dtype and found.tobytes() == array.tobytes()
        found += 1  # raises where it may not be written to


def test_a_newer_checkpoint_replaces_the_files_of_the_older_one(tmp_path):
    save(tmp_path, 1)
    for name in (".weights-1.safetensors.0123abcd.tmp", ".tmpAb3dEf"):
        (tmp_path / name).write_text("what a killed process was writing")
    save(tmp_path, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.json", "weights-2.safetensors"]
    assert loaded(tmp_path) == 2


def fail(*_, **__):
    raise KeyboardInterrupt


def test_killed_before_the_state_the_older_checkpoint_stays(tmp_path, monkeypatch):
    """A run killed between arrays and state keeps the older checkpoint."""
    save(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_json", fail)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, 2)
    assert (tmp_path / "weights-2.safetensors").exists() and loaded(tmp_path) == 1
    save(tmp_path, 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.json", "weights-3.safetensors"]


def test_killed_before_the_cleanup_the_newer_checkpoint_counts(tmp_path, monkeypatch):
    """A run killed before the older files are removed has the newer checkpoint."""
    save(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "glob", fail)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, 2)
    assert (tmp_path / "weights-1.safetensors").exists() and loaded(tmp_path) == 2


@pytest.mark.parametrize("place", [(os, "fsync"), (Path, "write_text")], ids=["arrays", "state"])
def test_a_full_disk_keeps_the_older_checkpoint_and_says_so(tmp_path, monkeypatch, place):
    def no_space(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    save(tmp_path, 1)
    monkeypatch.setattr(*place, no_space)
    with pytest.raises(UserError, match="cannot be written .*No space left on device.*what was saved before is intact"):
        save(tmp_path, 2)
    assert loaded(tmp_path) == 1
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_real_limit_on_file_size_keeps_the_older_checkpoint(tmp_path):
    save(tmp_path, 1)
    program = """
import resource, signal, sys
import numpy as np
from engine.support.errors import UserError
from engine.training.checkpoint import save_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    save_checkpoint(sys.argv[1], 2, {"note": 2}, {"weights": {"a": np.zeros(100_000)}})
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert "weights-2.safetensors: cannot be written" in done.stdout, done.stderr
    assert loaded(tmp_path) == 1 and len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/last: cannot be made .Not a directory."):
        save(tmp_path / "file" / "last", 1)


def damaged(content, kind):
    """The bytes of a file after an accident."""
    half = len(content) // 2
    flipped = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
    return {"truncated": content[:-1], "empty": b"", "flipped": flipped, "longer": content + b"\0"}[kind]


@pytest.mark.parametrize("kind", ["truncated", "empty", "flipped", "longer"])
def test_a_damaged_array_file_is_refused_by_name(tmp_path, kind):
    save(tmp_path, 1)
    path = tmp_path / "weights-1.safetensors"
    path.write_bytes(damaged(path.read_bytes(), kind))
    assert refusal(tmp_path).startswith(f"{path}: is damaged")


def test_a_missing_array_file_is_refused_by_name(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "weights-1.safetensors").unlink()
    assert refusal(tmp_path).startswith(f"{tmp_path / 'weights-1.safetensors'}: cannot be read")


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_a_truncated_state_file_is_refused_by_name(tmp_path, at):
    save(tmp_path, 1)
    path = tmp_path / "state.json"
    content = path.read_bytes()
    path.write_bytes(content[: min(at, len(content) - 3)])
    assert refusal(tmp_path).startswith(f"{path}: cannot be read")


KINDS = "is damaged (its versions or its files are of another kind); restore"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"files": {}}, "lacks 'weights'"),
        ({"files": None}, KINDS),
        ({"files": {"weights": {"name": 5, "sha256": ""}}}, KINDS),
        ({"files": {"weights": {"name": "x"}}}, "lacks 'sha256'"),
        ({"versions": {}}, "lacks 'format'"),
        ({"versions": None}, KINDS),
        ({"versions": {"format": "1"}}, KINDS),
    ],
)
def test_a_state_file_that_lacks_something_is_refused_by_name(tmp_path, change, message):
    save(tmp_path, 1)
    path = tmp_path / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert refusal(tmp_path).startswith(f"{path}: {message}")


def test_a_newer_format_is_refused_whatever_else_it_holds(tmp_path):
    (tmp_path / "state.json").write_text('{"versions": {"format": 2}}')
    assert "format 2 is newer than this program's 1; update the program" in refusal(tmp_path)


def test_a_folder_without_a_checkpoint_is_refused_by_name(tmp_path):
    assert refusal(tmp_path / "last").startswith(f"{tmp_path / 'last' / 'state.json'}: not found")


class Network(Layer):
    def __init__(self):
        self.a = Parameter(np.zeros((2, 3), np.float32))
        self.b = Parameter(np.zeros(3, np.float32))


FITTING = {"a": np.ones((2, 3), np.float32), "b": np.ones(3, np.float32)}


def test_fitting_weights_are_put_into_the_parameters():
    network = Network()
    load_weights(network, dict(reversed(FITTING.items())), "here")
    assert network.a.value is FITTING["a"] and network.b.value is FITTING["b"]


@pytest.mark.parametrize(
    "found, message",
    [
        ({"a": FITTING["a"]}, "parameter b is missing in the checkpoint"),
        ({**FITTING, "c": FITTING["b"]}, "parameter c is missing in the network of its config.toml"),
        (
            {**FITTING, "a": np.ones((3, 2), np.float32)},
            "parameter a has shape (3, 2) (float32), the network of its config.toml needs (2, 3) (float32)",
        ),
        (
            {**FITTING, "b": np.ones(3)},
            "parameter b has shape (3,) (float64), the network of its config.toml needs (3,) (float32)",
        ),
    ],
)
def test_weights_of_another_network_are_refused(found, message):
    """Weights of another network are refused and change nothing."""
    network = Network()
    with pytest.raises(UserError, match=re.escape(f"here: {message}") + "; the checkpoint belongs to another network$"):
        load_weights(network, found, "here")
    assert not network.a.value.any() and not network.b.value.any()
