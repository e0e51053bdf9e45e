"""What reaches the terminal, and what becomes of a command whose output nobody takes."""

import ast
import json
import os
import shlex
import subprocess
import sys

import pytest

from engine.support import output
from engine.support.text import printable, sanitize
from tests.support.paths import ROOT

posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX closes the streams")


def by_shell(words, redirections, **environment):
    """A finished process of train.py whose streams a shell has redirected."""
    line = f"{shlex.join([sys.executable, str(ROOT / 'train.py'), *map(str, words)])} {redirections}"
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=ROOT,
        timeout=60,
        env={**os.environ, **environment},
    )


@posix
@pytest.mark.parametrize("redirections", ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_training_does_not_need_its_streams(tmp_path, arguments, redirections):
    """Closed ones neither end it nor lend their numbers to its files."""
    done = by_shell([*arguments, "--output", tmp_path / "new"], redirections)
    assert done.returncode == 0, done
    assert json.loads((tmp_path / "new" / "result.json").read_text())["epochs"] == 2


@posix
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_log_that_takes_no_more_ends_no_training(tmp_path, arguments):
    """The result is saved, and the exit code tells that its table is lost."""
    done = by_shell([*arguments, "--output", tmp_path / "new"], "> /dev/full")
    assert done.returncode == 2 and done.stderr.startswith("error: standard input or output: No space left")
    assert (tmp_path / "new" / "result.json").exists()
    done = by_shell([*arguments, "--json", "--output", tmp_path / "other"], "2> /dev/full")
    assert done.returncode == 0 and json.loads(done.stdout)["epochs"] == 2


@posix
def test_a_log_whose_reader_has_gone_ends_no_training(tmp_path, arguments):
    done = by_shell([*arguments, "--output", tmp_path / "new"], "| true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (1, "")
    assert (tmp_path / "new" / "result.json").exists()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp1252:strict"])
def test_json_stays_json_where_the_output_lacks_characters(trained, encoding):
    state = trained / "checkpoints" / "best" / "state.json"
    state.write_text(state.read_text(encoding="utf-8").replace('"sport"', '"спорт · 🏀"'), encoding="utf-8")
    done = by_shell(["predict", trained, "--json", "ball goal"], "", PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and "спорт · 🏀" in json.loads(done.stdout)["probabilities"]
    done = by_shell(["predict", trained, "ball goal team"], "", PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and "Traceback" not in done.stderr


FOREIGN = "a\x1b[31mb\x07\x9bc\u202ed\u2066e\rf"
SHOWN = "a␛[31mb␇\ufffdc\ufffdd\ufffde␍f"


def test_text_that_moves_a_cursor_or_turns_a_line_is_made_safe():
    assert printable(f"{FOREIGN}\n\tg\u200d") == f"{SHOWN}\n\tg\u200d"
    assert sanitize(f"{FOREIGN}\n") == f"{SHOWN}␊"


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", FOREIGN],
        ["--resume", FOREIGN],
        ["predict", "x", "--file", FOREIGN],
        [f"--{FOREIGN}"],
        [FOREIGN],
        ["--device", FOREIGN],
        ["sweep", FOREIGN],
        ["report", FOREIGN],
        ["sweep", "x", FOREIGN],
    ],
)
def test_foreign_names_reach_the_terminal_made_safe(run, words):
    code, out, err = run(*words)
    assert code == 2 and out == ""
    assert not set("\x1b\x07\x9b\u202e\u2066\r") & set(err)


def test_a_run_in_a_folder_of_a_foreign_name(tmp_path, arguments, run):
    folder = tmp_path / FOREIGN
    for words in ([*arguments, "--output", folder], ["describe", folder], ["--resume", folder], ["evaluate", folder]):
        code, out, err = run(*words)
        assert code == 0 and not set("\x1b\x07\x9b\u202e\u2066\r") & set(out + err)


@pytest.mark.parametrize("on_terminal, shown", [(False, FOREIGN), (True, SHOWN)])
def test_data_is_left_as_it_is_where_no_terminal_shows_it(capsys, monkeypatch, on_terminal, shown):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: on_terminal, raising=False)
    output.echo(FOREIGN, nl=False, data=True)
    assert capsys.readouterr().out == shown


def test_everything_that_commands_print_is_made_safe():
    """None calls print() or click.echo() but where another program reads the line."""
    told = {"do_job.py", "launcher.py", "measure.py", "processes.py", "baselines.py"}
    for path in [*ROOT.glob("engine/**/*.py"), *ROOT.glob("layers/**/*.py")]:
        if "gradcheck" in path.parts or path.name in {*told, "output.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in ("print", "click.echo", "click.secho"), f"{path}, line {node.lineno}"
