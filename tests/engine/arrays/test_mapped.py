"""Arrays of safetensors files without a copy: as the library reads them, or refused."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from engine.arrays.mapped import DTYPES, DamagedFile, read_arrays
from tests.support.paths import ROOT

KINDS = [dtype.name for dtype in DTYPES.values()]
HEADER = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'


@pytest.fixture
def file(tmp_path):
    """A file of one array of each dtype, and of arrays without entries and without axes."""
    rng = np.random.default_rng(0)
    arrays = {kind: (9 * rng.standard_normal((3, 2))).astype(kind) for kind in KINDS}
    arrays |= {"empty": np.zeros((0, 3), np.float32), "number": np.array(2.5)}
    safetensors.numpy.save_file(arrays, tmp_path / "arrays", {"note": "of the file"})
    return tmp_path / "arrays"


@pytest.mark.parametrize("mapped", [False, True])
def test_arrays_are_those_that_the_library_reads(file, mapped):
    """They may be written to, and the file stays as it is."""
    before = file.read_bytes()
    expected = safetensors.numpy.load_file(file)
    found = read_arrays(file, hashlib.sha256(before).hexdigest(), mapped)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array), name
        found[name][...] = 1
    assert file.read_bytes() == before and (found["float32"] == 1).all()


def test_mapped_arrays_outlive_their_name(file, tmp_path):
    """Another file is renamed to it, as every writer of this project does."""
    expected, found = safetensors.numpy.load_file(file), read_arrays(file, mapped=True)
    safetensors.numpy.save_file({"float32": np.zeros((3, 2), np.float32)}, tmp_path / "other")
    os.replace(tmp_path / "other", file)
    assert np.array_equal(found["float64"], expected["float64"])
    os.unlink(file)
    assert np.array_equal(found["int64"], expected["int64"])


def written(header, data=b"\0" * 8):
    return len(header).to_bytes(8, "little") + header.encode() + data


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "Expecting value"),
        (b"\xff" * 20, "codec can't decode"),
        (written("[]"), "pop expected"),
        (written('{"a":1}'), "mapping"),
        (written(HEADER.replace("F32", "F8")), "F8"),
        (written(HEADER.replace("[2]", "[3]")), "too small"),
        (written(HEADER.replace("[2]", "[1]")), "4 bytes of an array have 8 bytes of room"),
        (written(HEADER.replace("[2]", "[-2]")), "negative"),
        (written(HEADER, b"\0" * 7), "too small"),
        (written(HEADER.replace("shape", "form")), "form"),
        (written("[" * 100_000), "nested too deep"),
        (written(HEADER.replace("[0,8]", "[]")), "index out of range"),
        (written(HEADER.replace("[2]", f"[{10**30}]")), "Maximum allowed dimension"),
    ],
    ids=range(13),
)
@pytest.mark.parametrize("mapped", [False, True])
def test_damaged_files_are_refused(tmp_path, content, reason, mapped):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DamagedFile, match=f"no safetensors file: .*{reason}"):
        read_arrays(tmp_path / "file", mapped=mapped)


@pytest.mark.parametrize("mapped", [False, True])
def test_another_digest_is_refused(file, mapped):
    with pytest.raises(DamagedFile, match="its SHA-256 is not the one in state.json"):
        read_arrays(file, "0" * 64, mapped)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory of a process")
def test_what_is_not_used_takes_no_memory(tmp_path):
    """Not even while the digest is taken."""
    array = np.ones((1 << 16, 256), np.float32)
    safetensors.numpy.save_file({"table": array}, tmp_path / "file")
    program = (
        "import sys; from engine.arrays.mapped import read_arrays\n"
        "from engine.arrays.backend import peak_memory_bytes as peak\n"
        "before = peak(); table = read_arrays(sys.argv[1], mapped=sys.argv[2] == 'mapped')['table']\n"
        "assert table[777, 0] == 1; print(peak() - before)"
    )
    taken = {}
    for how in ("mapped", "read"):
        done = subprocess.run(
            [sys.executable, "-c", program, tmp_path / "file", how], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        taken[how] = int(done.stdout)
    assert taken["mapped"] < array.nbytes / 4 and taken["read"] > array.nbytes * 0.9
