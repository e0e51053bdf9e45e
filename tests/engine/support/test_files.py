"""A file is whole or as it was before."""

import contextlib
import errno
import hashlib
import os
import subprocess
import sys
import time

import pytest

from engine.support.errors import UserError
from engine.support.files import (
    read_json,
    read_toml,
    remove_leftovers,
    require_vacant,
    sha256_of,
    write_json,
    write_text,
    write_whole,
)
from tests.support.paths import ROOT


def full(temporary):
    """A writer whose disk fills half way."""
    temporary.write_text("half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_replaced_whole_and_nothing_else_stays(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")
    write_json(path, {"b": 1, "a": "é"})
    assert path.read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": "é"\n}\n'
    assert read_json(path) == {"b": 1, "a": "é"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("before", ["old", None])
def test_a_full_disk_leaves_the_old_file_and_no_temporary_one(tmp_path, before):
    path = tmp_path / "a.txt"
    if before:
        path.write_text(before)
    with pytest.raises(
        UserError, match="^.*a.txt: cannot be written .No space left on device.; free some space[^\n]*$"
    ) as caught:
        write_whole(path, full)
    assert str(caught.value).startswith(str(path))
    assert [p.read_text() for p in tmp_path.iterdir()] == ([before] if before else [])


def test_what_a_kill_has_left_goes_when_the_file_is_written_again(tmp_path):
    """A day later: before, another process may still write it. Files of other names stay."""
    old, new, other = (
        tmp_path / f".{name}.tmp" for name in ("a[1].txt.0123abcd", "a[1].txt.89abcdef", "b.txt.0123abcd")
    )
    for path, hours in ((old, 25), (new, 23), (other, 25)):
        path.touch()
        os.utime(path, (time.time() - 3600 * hours,) * 2)
    write_text(tmp_path / "a[1].txt", "whole")
    assert {*tmp_path.iterdir()} == {new, other, tmp_path / "a[1].txt"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError("a bug")])
def test_any_other_error_passes_and_leaves_the_old_file_too(tmp_path, error):
    def write(temporary):
        temporary.write_text("half")
        raise error

    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error if isinstance(error, type) else type(error)):
        write_whole(path, write)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_an_error_without_words_is_named_by_its_class(tmp_path):
    def write(temporary):
        raise OSError

    with pytest.raises(UserError, match="a.txt: cannot be written .OSError."):
        write_whole(tmp_path / "a.txt", write)


@pytest.mark.parametrize("path", ["", ".", "/"])
def test_a_path_without_a_name_is_refused(path):
    with pytest.raises(UserError, match="is no name of a file"):
        write_text(path, "text")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="none/a.txt: cannot be written .No such file or directory."):
        write_text(tmp_path / "none" / "a.txt", "text")


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_real_limit_on_file_size_leaves_the_old_file(tmp_path):
    program = """
import resource, signal, sys
from engine.support.errors import UserError
from engine.support.files import write_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write_text(sys.argv[1], "x" * 100_000)
except UserError as error:
    print(error)
"""
    path = tmp_path / "a.txt"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, cwd=ROOT)
    assert f"{path}: cannot be written (File too large)" in done.stdout, done.stderr
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    "read, content, message",
    [
        (read_json, None, "not found; is this a run directory"),
        (read_json, b"{", "cannot be read (Expecting property name"),
        (read_json, b'{"a": "\xff"}', "cannot be read ('utf-8' codec"),
        (read_json, b"", "cannot be read (Expecting value"),
        (read_json, b"[" * 100_000, "cannot be read ("),
        (read_json, b"[1]", "expected a JSON object, got list"),
        (read_toml, None, "not found; give the path of an existing TOML file"),
        (read_toml, b"a = ", "is not TOML ("),
        (read_toml, b"epochs: 4", "is not TOML ("),
        (read_toml, b"a = " + b"[" * 100_000, "is not TOML ("),
        (read_toml, b"a = '\xff'", "cannot be read ('utf-8' codec"),
        (read_toml, b"a = " + b"9" * 5000, "is not TOML ("),
    ],
)
def test_a_missing_or_damaged_file_is_named_with_the_remedy(tmp_path, read, content, message):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read(path)
    assert (
        str(caught.value).startswith(f"{path}: {message}")
        and "; " in str(caught.value)
        and "\n" not in str(caught.value)
    )


@pytest.mark.parametrize("read", [read_json, read_toml])
def test_a_folder_in_place_of_a_file_is_named(tmp_path, read):
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path)


def test_toml_is_read_as_a_dict(tmp_path):
    (tmp_path / "a.toml").write_text('epochs = 4\n[data]\ncorpus = "r8"\n')
    assert read_toml(tmp_path / "a.toml") == {"epochs": 4, "data": {"corpus": "r8"}}


def test_toml_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfepochs = 4\r\n")
    assert read_toml(tmp_path / "a.toml") == {"epochs": 4}


@pytest.mark.parametrize("size", [0, 3, (1 << 20) + 1])
def test_a_digest_covers_the_whole_file(tmp_path, size):
    (tmp_path / "a").write_bytes(b"x" * size)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"x" * size).hexdigest()


@pytest.mark.parametrize(
    "names, vacant",
    [
        ([], True),
        ([".plan.toml.0123abcd.tmp"], True),
        ([".plan.toml.0123abcd.tmp", "a.txt"], False),
        ([".other.toml.0123abcd.tmp"], False),
        (["plan.toml"], False),
    ],
)
def test_a_folder_is_vacant_where_a_first_file_was_begun(tmp_path, names, vacant):
    """A process that was killed while it wrote what marks a beginning has begun nothing."""
    for name in names:
        (tmp_path / name).touch()
    with contextlib.nullcontext() if vacant else pytest.raises(UserError, match="holds something already"):
        require_vacant(tmp_path, "plan.toml")


def test_leftovers_go_and_other_files_stay(tmp_path):
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
        for name in (".a.json.0123abcd.tmp", ".hidden", "a.tmp"):
            (folder / name).touch()
    remove_leftovers(*folders, tmp_path / "none")
    assert {path.name for folder in folders for path in folder.iterdir()} == {".hidden", "a.tmp"}
