"""A file is read for its digest once, and again after any change that its status tells."""

import hashlib
import math
import os
import time

import numpy as np
import pytest
import safetensors.numpy

from engine.arrays import mapped
from engine.arrays.mapped import DamagedFile, read_arrays
from engine.support import cache_folder, verified

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no time of the last change")


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """(path of a file of weights that was written some time ago, its digest)."""
    path = tmp_path / "weights"
    safetensors.numpy.save_file({"a": np.arange(100, dtype=np.float32)}, path)
    monkeypatch.setattr(verified, "SETTLED", -math.inf)  # in place of waiting
    monkeypatch.setattr(cache_folder, "user_folder", lambda: str(tmp_path / "own"))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def hashed(monkeypatch):
    """The files that have been read for their digests."""
    names, in_parts = [], mapped.sha256_in_parts
    monkeypatch.setattr(mapped, "sha256_in_parts", lambda file: names.append(file.name) or in_parts(file))
    return names


def test_an_unchanged_file_is_read_once(weights, hashed):
    for _ in range(3):
        assert read_arrays(*weights, mapped=True)["a"][7] == 7
    assert len(hashed) == 1
    read_arrays(*weights)  # all of it is read here
    with pytest.raises(DamagedFile):
        read_arrays(weights[0], "0" * 64, mapped=True)
    assert len(hashed) == 2


def flipped(path):
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")


def replaced(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    other = path.with_name("other")
    other.write_bytes(content)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(other, path)


def set_back(path):
    """The time of the last writing is as it was, that of the last change is not."""
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    flipped(path)
    os.utime(path, ns=times)


@pytest.mark.parametrize("change", [flipped, replaced, set_back])
def test_a_changed_file_is_read_again(weights, hashed, change):
    read_arrays(*weights, mapped=True)
    time.sleep(0.05)  # a tick of the file system's clock
    change(weights[0])
    with pytest.raises(DamagedFile, match="SHA-256"):
        read_arrays(*weights, mapped=True)
    assert len(hashed) == 2


def test_a_file_that_has_just_changed_is_not_noted(weights, hashed, monkeypatch):
    monkeypatch.setattr(verified, "SETTLED", 60.0)
    for _ in range(2):
        read_arrays(*weights, mapped=True)
    assert len(hashed) == 2


def others_may_write(folder):
    folder.mkdir(parents=True)
    folder.chmod(0o777)


def no_folder(folder):
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("")


@pytest.mark.parametrize("make", [others_may_write, no_folder])
def test_without_a_folder_of_ones_own_nothing_is_noted(weights, hashed, tmp_path, monkeypatch, make):
    monkeypatch.setattr(cache_folder, "user_folder", lambda: str(tmp_path / "cache"))
    make(tmp_path / "cache" / "verified")
    for _ in range(2):
        read_arrays(*weights, mapped=True)
    assert len(hashed) == 2


def test_a_file_that_changed_shortly_before_it_was_read_is_not_noted(weights, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(verified, "write_whole", lambda *_: pytest.fail("noted"))
    status = weights[0].stat()
    for seen in (status.st_ctime, status.st_ctime + 1.9):
        verified.note_verified(status, seen, weights[1])
    with pytest.raises(pytest.fail.Exception):
        verified.note_verified(status, status.st_ctime + 2.1, weights[1])


@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
def test_notes_are_ones_own_whatever_the_umask(weights, hashed, mask):
    before = os.umask(mask)
    try:
        for _ in range(2):
            read_arrays(*weights, mapped=True)
    finally:
        os.umask(before)
    assert len(hashed) == 1


def test_a_full_disk_is_no_error(weights, hashed, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for _ in range(2):
        read_arrays(*weights, mapped=True)
    assert len(hashed) == 2


@pytest.mark.parametrize("digest", [5, "no digest", ""])
def test_what_is_no_digest_is_damage(weights, digest):
    with pytest.raises(DamagedFile):
        read_arrays(weights[0], digest, mapped=True)


def test_notes_that_others_may_have_written_do_not_count(weights, hashed):
    read_arrays(*weights, mapped=True)
    verified.note_of(weights[1]).chmod(0o666)
    read_arrays(*weights, mapped=True)
    assert len(hashed) == 2


def test_old_notes_go(weights, monkeypatch):
    monkeypatch.setattr(verified, "KEPT", 3)
    status = weights[0].stat()
    for number in range(5):
        verified.note_verified(status, 0.0, f"{number}0")
        os.utime(verified.note_of(f"{number}0"), (number, number))
    assert sorted(path.name for path in verified.note_of("0").parent.iterdir()) == ["20", "30", "40"]
