"""Functions in C: found, compiled once, kept, refused; and NumPy in their place wherever they cannot be had."""

import subprocess
import sys

import numpy as np
import pytest

from engine.compiled import c_file, compiler
from engine.compiled.c_file import CFile, library, verdicts
from engine.compiled.compiler import find_compiler
from engine.support import cache_folder
from engine.support.errors import UserError
from engine.support.implementation import using

SOURCE = """#include <stdint.h>
void add(const float *x, int64_t n, float y, float *sum) { for (int64_t i = 0; i < n; i++) sum[i] = x[i] + y; }
"""


def compiler_is_missing():
    try:
        find_compiler()
    except compiler.NoLibrary:
        return True
    return False


needs_compiler = pytest.mark.skipif(compiler_is_missing(), reason="no C compiler")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """(text) → the CFile of a text, with an own folder for its library; files are forgotten afterwards."""
    monkeypatch.setattr(cache_folder, "user_folder", lambda: str(tmp_path / "cache"))
    monkeypatch.setattr(c_file, "files", [])

    def of(text=SOURCE):
        (tmp_path / "sums.c").write_text(text)
        return CFile(tmp_path / "sums.py", add="Firf")

    return of


def kept(tmp_path):
    return sorted((tmp_path / "cache" / "compiled").iterdir())


def adds(file):
    x, total = np.arange(3, dtype=np.float32), np.empty(3, np.float32)
    file.call("add", x, 3, 0.5, total)
    return total.tolist() == [0.5, 1.5, 2.5]


@needs_compiler
def test_compiled_once_and_loaded_again(made, tmp_path, monkeypatch):
    assert made().is_usable() and adds(made())
    (path,) = kept(tmp_path)
    assert path.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(compiler, "compiled", lambda *_: pytest.fail("compiled again"))
    assert adds(made())


@needs_compiler
@pytest.mark.parametrize(
    "change",
    [
        lambda monkeypatch: monkeypatch.setattr(compiler, "FLAGS", (*compiler.FLAGS, "-DX")),
        lambda monkeypatch: monkeypatch.setattr(compiler, "processor", lambda: "another"),
        lambda monkeypatch: monkeypatch.setattr(compiler.platform, "machine", lambda: "another"),
    ],
)
def test_other_flags_and_processors_have_libraries_of_their_own(made, tmp_path, monkeypatch, change):
    assert made().is_usable()
    change(monkeypatch)
    assert adds(made()) and len(kept(tmp_path)) == 2


@needs_compiler
def test_a_changed_file_is_compiled(made, tmp_path):
    assert adds(made())
    assert not adds(made(SOURCE.replace("+ y", "- y"))) and len(kept(tmp_path)) == 2


def elsewhere(tmp_path):
    """Start a process that loads the library and adds two numbers; its exit code is 0 where their sum is right."""
    code = (
        "from engine.compiled.c_file import *; from engine.support import cache_folder as c;"
        f"c.user_folder = lambda: {str(tmp_path / 'cache')!r};"
        f"f = CFile({str(tmp_path / 'sums.py')!r}, add='Firf');"
        "x = np.ones(2, np.float32); f.call('add', x, 2, 1.0, x); assert x.tolist() == [2, 2]"
    )
    return subprocess.Popen([sys.executable, "-c", code])


@needs_compiler
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9, 0.99])
def test_a_damaged_library_is_made_anew(made, tmp_path, share):
    made()
    assert elsewhere(tmp_path).wait() == 0
    (path,) = kept(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert elsewhere(tmp_path).wait() == 0 and path.read_bytes() == whole


@needs_compiler
def test_a_library_that_others_may_write_is_not_loaded(made, tmp_path, monkeypatch):
    assert made().is_usable()
    monkeypatch.setattr(compiler, "compiled", refused("compiled anew"))
    assert made().is_usable()
    (path,) = kept(tmp_path)
    path.chmod(0o777)
    assert not made().is_usable() and verdicts()["sums.c"] == "compiled anew"


def refused(reason):
    def refuse(*_):
        raise compiler.NoLibrary(reason)

    return refuse


@needs_compiler
def test_a_folder_that_others_may_write(made, tmp_path):
    folder = tmp_path / "cache" / "compiled"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert not made().is_usable() and verdicts() == {"sums.c": f"{folder}: others may write there"}


@pytest.mark.parametrize(
    "environment, reason",
    [
        ({"CC": "nowhere"}, "no program is called nowhere, which CC names"),
        ({"PATH": "/nowhere"}, "there is no C compiler"),
        ({"PATH": "/nowhere", "CC": " "}, "there is no C compiler"),
    ],
)
def test_without_a_compiler(made, monkeypatch, environment, reason):
    monkeypatch.delenv("CC", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)
    file = made()
    assert not file.is_usable() and verdicts() == {"sums.c": reason}


@needs_compiler
def test_what_the_compiler_says_is_told(made, tmp_path):
    file = made(SOURCE.replace("sum[i]", "total[i]"))
    assert not file.is_usable() and kept(tmp_path) == []
    assert " refuses sums.c (" in verdicts()["sums.c"] and "\n" not in verdicts()["sums.c"]


@needs_compiler
def test_a_folder_that_cannot_be_written(made, tmp_path):
    (tmp_path / "cache").write_text("")
    assert not made().is_usable()
    assert verdicts()["sums.c"].startswith("sums.c cannot be compiled (")
    assert str(tmp_path / "cache" / "compiled") in verdicts()["sums.c"]


def test_without_a_home_folder(made, monkeypatch):
    def fail():
        raise RuntimeError("could not determine the home directory")

    file = made()
    monkeypatch.setattr(cache_folder, "user_folder", fail)
    assert not file.is_usable()


def test_without_its_source(made, tmp_path):
    file = made()
    (tmp_path / "sums.c").unlink()
    assert not file.is_usable()


@needs_compiler
def test_a_library_that_the_system_does_not_load_is_compiled_once(made, tmp_path, monkeypatch):
    def fail(path):
        raise OSError("failed to map segment: Operation not permitted")

    monkeypatch.setattr(compiler.ctypes, "CDLL", fail)
    assert not made().is_usable()
    (path,) = kept(tmp_path)
    monkeypatch.setattr(compiler, "compiled", refused("compiled anew"))
    assert not made().is_usable() and verdicts()["sums.c"].startswith(f"{path} cannot be loaded (")


@needs_compiler
def test_a_compiler_that_does_not_know_native(made, monkeypatch):
    monkeypatch.setattr(compiler, "NATIVE", "-march=nothing")
    assert adds(made())


@needs_compiler
def test_cc_may_have_arguments(made, monkeypatch):
    monkeypatch.setenv("CC", f"{find_compiler().program} -DHALF=0.5")
    assert find_compiler().command[1:] == ("-DHALF=0.5",) and adds(made(SOURCE.replace("+ y", "+ HALF")))


@needs_compiler
def test_a_compiler_that_does_not_come_back(made, tmp_path, monkeypatch):
    monkeypatch.setattr(compiler, "SECONDS", 0.2)
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    monkeypatch.setattr(compiler, "find_compiler", lambda: compiler.Compiler(command, sys.executable))
    monkeypatch.setattr(compiler, "hanging", set())
    assert not made().is_usable() and "timed out" in verdicts()["sums.c"]
    monkeypatch.setattr(compiler.subprocess, "run", lambda *_, **__: pytest.fail("waited again"))
    assert not made().is_usable() and "timed out" in verdicts()["sums.c"]


@needs_compiler
def test_switched_off(made, monkeypatch):
    file = made()
    with using("equations"):
        assert not file.is_usable()
    monkeypatch.setenv("WAVE_C", "off")
    assert not file.is_usable()
    monkeypatch.setenv("WAVE_C", "no")
    with pytest.raises(UserError, match="^WAVE_C=no: must be one of on, off$"):
        file.is_usable()


@needs_compiler
@pytest.mark.parametrize("x", [np.zeros(6, np.float32)[::2], np.zeros(3), np.zeros(3, np.int32)])
def test_arrays_that_c_would_read_wrongly(made, x):
    message = rf"float32 in C order, got {x.dtype} of shape \(3,\) and strides \({x.strides[0]},\)"
    with pytest.raises(ValueError, match=message):
        made().call("add", x, 3, 0.5, np.zeros(3, np.float32))


@needs_compiler
def test_arrays_that_c_would_write_wrongly(made):
    x, total, file = np.zeros(3, np.float32), np.zeros(3, np.float32), made()
    total.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        file.call("add", x, 3, 0.5, total)
    with pytest.raises(ValueError, match="in C order"):
        file.call("add", np.zeros(13, np.uint8)[1:].view(np.float32), 3, 0.5, x)


@needs_compiler
def test_arguments_that_are_too_few(made):
    with pytest.raises(ValueError, match="shorter"):
        made().call("add", np.zeros(3, np.float32), 3, 0.5)


@needs_compiler
def test_processes_that_compile_at_once(made, tmp_path):
    """Each finds a whole library, whoever has renamed his first."""
    made()
    processes = [elsewhere(tmp_path) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4 and len(kept(tmp_path)) == 1


@needs_compiler
def test_every_c_file_of_the_project_compiles():
    import engine.training.adamw_c
    import layers.fast.bag_magnitude_c

    assert {name: verdict for name, verdict in verdicts().items() if verdict != "compiled"} == {}
    for module in (engine.training.adamw_c, layers.fast.bag_magnitude_c):
        assert not isinstance(library(module.FUNCTIONS), str)
