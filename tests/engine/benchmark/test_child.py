"""Values are read from a child process as it prints them, and its failure is told in one line."""

import sys
import time

import pytest

from engine.benchmark import timing as child
from engine.benchmark.timing import child_value, child_values
from engine.support.errors import UserError


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that writes the text of a module which a child process can run, and returns its name."""
    monkeypatch.setattr(child, "ROOT", tmp_path)

    def write(text):
        (tmp_path / "measuring.py").write_text(text)
        return "measuring"

    return write


def test_a_value_of_every_line_is_read(module):
    name = module("import json, sys\nfor a in sys.argv[1:]: print(json.dumps({'got': a}))")
    assert list(child_values("it", name, 1, "two")) == [{"got": "1"}, {"got": "two"}]
    assert child_value("it", module("print(7)")) == 7


@pytest.mark.parametrize("text, reason", [
    ("print(1); raise KeyError('nothing')", "KeyError: 'nothing'"),
    ("import sys; sys.exit('first\\nerror: the last line\\n\\n')", "the last line"),
    ("import sys; sys.exit('error: bad file')", "bad file"),
    ("import sys; sys.exit(3)", "it ended with code 3"),
])  # fmt: skip
def test_a_failure_is_a_user_error_with_its_last_words(module, text, reason):
    with pytest.raises(UserError) as caught:
        list(child_values("the speed", module(text)))
    assert str(caught.value) == f"measuring the speed failed: {reason}"


def test_a_child_that_nobody_reads_is_killed(module, monkeypatch):
    started, popen = [], child.subprocess.Popen
    monkeypatch.setattr(
        child.subprocess, "Popen", lambda *args, **options: started.append(popen(*args, **options)) or started[-1]
    )
    values = child_values("it", module("import time\nprint(1, flush=True)\ntime.sleep(600)"))
    began = time.monotonic()
    assert next(values) == 1
    values.close()
    assert time.monotonic() - began < 60 and (started[0].returncode < 0 or sys.platform == "win32")
