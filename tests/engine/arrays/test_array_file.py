"""Safetensors files are those of the library, whole or absent, with the permissions of any other file."""

import hashlib
import json
import os
import sys
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

from engine.arrays.array_file import TYPES, write_arrays
from engine.support.errors import UserError

ARRAYS = {
    "number": np.array(0.1 + 0.2),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "strided": np.random.default_rng(0).standard_normal((6, 4))[::2, ::-1],
    "special": np.array([-0.0, np.nan, np.inf, 5e-324]),
    "big endian": np.arange(3, dtype=">i4"),
    "empty": np.zeros((0, 3), np.float32),
    'a "quoted" näme': np.array([True, False, True]),
    **{dtype: np.ones(3, dtype) for dtype in TYPES},
}


@pytest.mark.parametrize("names", [list(ARRAYS), list(reversed(ARRAYS)), ["empty"], []])
def test_a_file_is_read_by_the_library_bit_for_bit(tmp_path, names):
    written = write_arrays(tmp_path / "a.safetensors", {name: ARRAYS[name] for name in names})
    content = (tmp_path / "a.safetensors").read_bytes()
    assert written == (len(content), hashlib.sha256(content).hexdigest())
    found = safetensors.numpy.load(content)
    assert set(found) == set(names)
    for name, array in found.items():
        right = ARRAYS[name].astype(ARRAYS[name].dtype.newbyteorder("<"))
        assert array.dtype == right.dtype and array.shape == right.shape and array.tobytes() == right.tobytes()


def test_every_array_begins_at_a_multiple_of_its_item(tmp_path):
    """So that a mapped file can be read in place."""
    write_arrays(tmp_path / "a.safetensors", ARRAYS)
    content = (tmp_path / "a.safetensors").read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    assert begin % 8 == 0
    for name, entry in json.loads(content[8:begin]).items():
        assert entry["data_offsets"][0] % ARRAYS[name].itemsize == 0, name


@pytest.mark.skipif(sys.platform == "win32", reason="needs permissions as POSIX has them")
@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o027, 0o640)])
def test_the_umask_decides_who_may_read(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_arrays(tmp_path / "a.safetensors", ARRAYS)
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == mode


def test_writing_holds_no_second_copy(tmp_path):
    table = np.ones((1000, 1000))
    tracemalloc.start()
    try:
        write_arrays(tmp_path / "a.safetensors", {"table": table})
        assert tracemalloc.get_traced_memory()[1] < table.nbytes / 10
    finally:
        tracemalloc.stop()


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    path.write_text("old")

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="a.safetensors: cannot be written .No space left on device."):
        write_arrays(path, ARRAYS)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_type_without_a_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="x: arrays of complex128 cannot be written"):
        write_arrays(tmp_path / "a.safetensors", {"x": np.ones(2, complex)})
