"""tests/on_device.sh: a part that fails or takes too long stops no other, what was found is written as parts end."""

import json
import os
import subprocess
import sys

import pytest

from engine.support.errors import UserError
from tests.support import on_device
from tests.support.emulation import COMPILER
from tests.support.on_device import Choices, Outcome, Part, as_markdown, chosen_parts, parts_of, run_parts
from tests.support.paths import ROOT

DEVICE = {"device": "some GPU", "driver": "1.2", "cuda_runtime": "13.0", "cupy": "14.2"}


class Scripted(Choices):
    """Choices on a machine with a device, with the corpus 20ng missing."""

    def program(self, name, *arguments):
        found = {"machine": DEVICE, "corpora": {"r8": None, "20ng": "cannot be fetched"}}[arguments[0]]
        return ["-c", f"print({json.dumps(found)!r})"]


def part(name, code, limit=30.0, **more):
    return Part(name, limit, ["-c", code], on_device.read_json, **more)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run(*parts) → (exit code, {name: its entry in on_device.json}, lines that were printed)."""
    monkeypatch.setattr(
        on_device, "TABLES", dict.fromkeys(["first", "wrong", "last"], lambda outcomes: "a table of figures")
    )

    def run(*parts, choices=None):
        lines = []
        code = run_parts(choices or Scripted(tmp_path), list(parts), lines.append)
        file = tmp_path / "on_device.json"
        found = json.loads(file.read_text())["parts"] if file.exists() else []
        return code, {entry["name"]: entry for entry in found}, lines

    return run


def test_a_part_that_fails_stops_no_other(run, tmp_path):
    code, found, lines = run(
        part("first", "print(1)"),
        part("wrong", "import sys; print(2); sys.exit('error: no memory')"),
        part("empty", "pass"),
        part("last", "print(3)"),
    )
    assert code == 1 and [entry["status"] for entry in found.values()] == ["passed", "failed", "failed", "passed"]
    assert found["wrong"]["reason"] == "no memory" and found["empty"]["reason"].startswith("its figures cannot be read")
    assert (found["first"]["figures"], found["last"]["figures"]) == (1, 3)
    assert lines[1].startswith("wrong: failed, ") and lines[1].endswith(" s: no memory")
    text = (tmp_path / "on_device.md").read_text()
    assert "| wrong | failed |" in text and text.count("a table of figures") == 3 and text.startswith("some GPU")
    assert (tmp_path / "logs" / "wrong.out").read_text() == "2\n"


def test_all_passed_is_exit_code_0(run):
    code, found, _ = run(part("first", "print(1)"), part("last", "print(1)", corpus="20ng"))
    assert code == 0 and found["last"]["status"] == "not run" and found["last"]["reason"] == "cannot be fetched"
    code, found, _ = run(part("first", "print(1)", corpus="r8"), part("last", "", why_not="no files"))
    assert code == 0 and found["first"]["status"] == "passed" and found["last"]["reason"] == "no files"


def test_a_part_is_ended_at_its_limit(run, tmp_path):
    """With what it started."""
    mark = f"__import__('pathlib').Path({str(tmp_path / 'mark')!r})"
    child = f"import time\nwhile True:\n {mark}.touch(); time.sleep(0.05)"
    slow = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    last = f"import time; {mark}.unlink(missing_ok=True); time.sleep(0.3); print(1)"
    code, found, _ = run(part("slow", slow, limit=1.0), part("last", last))
    assert code == 1 and found["slow"]["reason"] == "it took longer than 1 s"
    assert found["last"]["status"] == "passed" and not (tmp_path / "mark").exists()


def test_what_was_found_is_written_as_parts_end(run, tmp_path):
    read = f"import json; print(json.dumps(json.load(open({str(tmp_path / 'on_device.json')!r}))))"
    _, found, _ = run(part("first", "print(7)"), part("last", read))
    assert [entry["figures"] for entry in found["last"]["figures"]["parts"]] == [7]


def test_parts_after_the_minutes_are_failures(run, tmp_path):
    code, found, _ = run(part("first", "print(1)"), choices=Scripted(tmp_path, minutes=0.0))
    assert code == 1 and found["first"]["reason"] == "the 0 minutes were over"


def test_without_a_gpu_nothing_is_measured(run, tmp_path):
    class Without(Choices):
        def program(self, name, *arguments):
            return ["-c", "import sys; sys.exit('error: no GPU: there is no driver')"]

    with pytest.raises(UserError, match="^no GPU: there is no driver$"):
        run(part("first", "print(1)"), choices=Without(tmp_path))
    assert not (tmp_path / "on_device.json").exists()


def test_every_part_fits_into_its_time(tmp_path):
    """And the parts are those that were promised; without its files AG News is left out."""
    names = [
        "tests", "check interference", "check modulation", "check correlation", "steps 64", "steps 256", "steps 1024",
        "memory", "20ng recommended", "20ng paper", "ag_news recommended", "ag_news paper", "study", "complexity",
    ]  # fmt: skip
    parts = parts_of(Choices(tmp_path))
    assert [part.name for part in parts] == names and all(0 < part.limit <= 150 for part in parts)
    assert [part.name for part in parts if part.why_not] == ["ag_news recommended", "ag_news paper"]
    files = ("--train-file", "a.csv", "--test-file", "b.csv")
    given = {part.name: part for part in parts_of(Choices(tmp_path, ag_news=files, cache_dir="here"))}
    assert not given["ag_news paper"].why_not and set(files) < set(given["ag_news paper"].command)
    assert "here" in given["study"].command and given["check modulation"].corpus == given["study"].corpus == "r8"


@pytest.mark.parametrize("arguments, words", [
    (["--only", "stpes"], "--only stpes: is none of the parts tests, check interference,"),
    ([], "AG_NEWS: No closing quotation"),
])  # fmt: skip
def test_bad_input_is_one_line(arguments, words, monkeypatch, capsys):
    monkeypatch.setenv("AG_NEWS", "" if arguments else "--train-file 'a.csv")
    assert on_device.main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and words in err and err.count("\n") == 1


def test_parts_are_chosen_by_how_their_names_begin(tmp_path):
    chosen = chosen_parts(Choices(tmp_path, only=("steps", "check mod")))
    assert [part.name for part in chosen] == ["check modulation", "steps 64", "steps 256", "steps 1024"]


def test_a_corpus_that_cannot_be_had_has_a_reason(monkeypatch):
    def load(name, cache_dir):
        if name == "20ng":
            raise UserError("pip says no")
        return cache_dir

    monkeypatch.setattr(on_device, "load_corpus", load)
    assert on_device.corpora("", "r8", "20ng") == {"r8": None, "20ng": "pip says no"}


@pytest.mark.parametrize("read, output, message", [
    (on_device.read_memory, [[1, 5], [2, 10], [4, 12]], "12 bytes after 4 steps, 10 after half of them"),
    (on_device.read_check, {"differences": {}}, "no function was held against its equation"),
    (on_device.read_check, {}, "no function was held against its equation"),
])  # fmt: skip
def test_figures_that_prove_nothing_are_failures(tmp_path, read, output, message):
    with pytest.raises(ValueError, match=message):
        read(json.dumps(output), tmp_path)
    assert on_device.read_memory("[[1, 5], [2, 10], [4, 11]]", tmp_path) == {"bytes": [[1, 5], [2, 10], [4, 11]]}


@pytest.mark.parametrize("failures, skipped, passed", [(1, 2, 3), (0, 6, None)])
def test_tests_are_counted(tmp_path, failures, skipped, passed):
    suite = f'<testsuite tests="6" failures="{failures}" errors="0" skipped="{skipped}"/>'
    (tmp_path / "tests.xml").write_text(f"<testsuites>{suite}</testsuites>")
    if passed:
        assert on_device.read_tests("", tmp_path) == {"passed": passed, "failed": failures, "skipped": skipped}
    else:
        with pytest.raises(ValueError, match="no test ran on the device"):
            on_device.read_tests("", tmp_path)


def test_the_tables_show_the_figures():
    row = {"spread": {"ours": [1.0, 3.0]}, "share_of_limit": 0.5, "ratio": 4.0}
    rows = [{**row, "name": "step_64_tf32", "ours": 2.0, "peer": 8.0, "compiled": None, "compiled_ratio": None}]
    outcomes = [
        Outcome("steps 64", "passed", 9.0, None, {"results": [*rows, {**rows[0], "name": "train_64_tf32"}]}),
        Outcome("memory", "passed", 1.0, None, {"bytes": [[1, 2**20], [2000, 3 * 2**20]]}),
        Outcome("steps 256", "failed", 75.0, "it took longer than 75 s"),
    ]
    lines = as_markdown(DEVICE, outcomes).splitlines()
    assert "| 64 | tf32 | 2.00 (1.00 to 3.00) | 50 % | 8.00, 4.0 times | - |" in lines
    assert "| memory held | 1 MiB | 3 MiB |" in lines and "| steps | 1 | 2,000 |" in lines
    assert "| steps 256 | failed | 75.0 | it took longer than 75 s |" in lines


@pytest.mark.thorough
def test_the_script_runs_to_its_end_on_the_emulated_device(tmp_path):
    """Every part of it, with tiny sizes."""
    if COMPILER is None:
        pytest.skip("no g++: kernels cannot be executed on the CPU")
    for name in ("matplotlib", "jinja2"):
        pytest.importorskip(name, reason="the study needs pip install -e '.[plots]'")
    environment = {**os.environ, "PYTHON": sys.executable}
    command = [ROOT / "tests" / "on_device.sh", "--emulated", "--minutes", "30", "--output", tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    found = json.loads((tmp_path / "on_device.json").read_text())
    names = [part.name for part in parts_of(Choices(tmp_path, emulated=True))]
    assert done.returncode == 0, [entry for entry in found["parts"] if entry["status"] == "failed"]
    assert [(entry["name"], entry["status"]) for entry in found["parts"]] == [(name, "passed") for name in names]
    assert found["machine"]["device"] == "emulated device"
    text = (tmp_path / "on_device.md").read_text()
    assert text.count("| --- |") >= 8 and "| 4 | tf32 |" in text and "| transformer |" in text
