"""Functions in C: found, compiled once, kept, refused; and NumPy in their place wherever they cannot be had."""

import subprocess
import sys

import numpy as np
import pytest

from engine.compiled import c_file
from engine.compiled.c_file import CFile, find_compiler, library, verdicts
from engine.support import cache_folder
from engine.support.errors import UserError
from engine.support.implementation import using

SOURCE = """#include <stdint.h>
void add(const float *x, int64_t n, float y, float *sum) { for (int64_t i = 0; i < n; i++) sum[i] = x[i] + y; }
"""


def compiler_is_missing():
    try:
        find_compiler()
    except c_file.NoLibrary:
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
        return CFile(tmp_path / "sums.py", add="FirF")

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
    monkeypatch.setattr(c_file, "compile_file", lambda *_: pytest.fail("compiled again"))
    assert adds(made())


@needs_compiler
@pytest.mark.parametrize(
    "change",
    [
        lambda monkeypatch: monkeypatch.setattr(c_file, "FLAGS", (*c_file.FLAGS, "-DX")),
        lambda monkeypatch: monkeypatch.setattr(c_file, "processor", lambda: "another"),
        lambda monkeypatch: monkeypatch.setattr(c_file.platform, "machine", lambda: "another"),
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
        f"f = CFile({str(tmp_path / 'sums.py')!r}, add='FirF');"
        "x = np.ones(2, np.float32); f.call('add', x, 2, 1.0, x); assert x.tolist() == [2, 2]"
    )
    return subprocess.Popen([sys.executable, "-c", code])


@needs_compiler
def test_a_damaged_library_is_made_anew(made, tmp_path):
    made()
    assert elsewhere(tmp_path).wait() == 0
    (path,) = kept(tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    assert elsewhere(tmp_path).wait() == 0 and path.stat().st_size > 100


@needs_compiler
def test_a_library_that_others_may_write_is_not_loaded(made, tmp_path):
    made(SOURCE.replace("+ y", "- y"))
    assert elsewhere(tmp_path).wait() != 0  # it subtracts
    (wrong,) = kept(tmp_path)
    made()
    assert elsewhere(tmp_path).wait() == 0
    (path,) = {*kept(tmp_path)} - {wrong}
    path.write_bytes(wrong.read_bytes())
    assert elsewhere(tmp_path).wait() != 0
    path.chmod(0o777)
    assert elsewhere(tmp_path).wait() == 0


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
    ],
)
def test_without_a_compiler(made, monkeypatch, environment, reason):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(c_file.importlib.util, "find_spec", lambda name: None)
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
    assert verdicts()["sums.c"].startswith(f"sums.c cannot be compiled into {tmp_path / 'cache' / 'compiled'} (")


@needs_compiler
def test_a_compiler_that_does_not_come_back(made, tmp_path, monkeypatch):
    monkeypatch.setattr(c_file, "SECONDS", 0.2)
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    monkeypatch.setattr(c_file, "find_compiler", lambda: c_file.Compiler(command, sys.executable))
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
    import layers.fast.bag_squares_c

    assert {name: verdict for name, verdict in verdicts().items() if verdict != "compiled"} == {}
    for module in (engine.training.adamw_c, layers.fast.bag_squares_c):
        assert not isinstance(library(module.FUNCTIONS), str)
