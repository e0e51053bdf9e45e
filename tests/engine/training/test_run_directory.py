"""A run's folder: new and empty, or a run; metrics without torn or later lines."""

import json

import pytest

from engine.support.errors import UserError
from engine.training.run_directory import RunDirectory
from engine.training.saved_result import NUMBER, RESULT_KEYS

CLASS = {"name": "a", "texts": 5, "precision": 0.5, "recall": 1.0, "f1": 0.5}
RESULT = {
    **dict.fromkeys(RESULT_KEYS, 1),
    "test_accuracy": None,
    "device": "cpu",
    "run_directory": "run",
    "classes": [CLASS],
}
SECTIONS = {name: {"name": name} for name in ("run", "data", "network", "training")}


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory.create(tmp_path / "deep" / "run")
    directory.write_config(SECTIONS)
    return directory


def test_a_run_is_created_and_opened_again(run):
    opened = RunDirectory.open(run.path)
    assert opened.read_config() == SECTIONS and opened.result() is None and not opened.has_checkpoint()
    opened.result_file.write_text(json.dumps(RESULT))
    assert opened.result() == {**RESULT, "run_directory": str(run.path)}
    opened.result_file.write_text('{"seed": 1}')
    with pytest.raises(UserError, match="result.json: lacks best_epoch, .*; delete the file and resume"):
        opened.result()


WRONG = [
    *((key, value) for key, kind in RESULT_KEYS.items() for value in ("5", {}) if not isinstance(value, kind)),
    *((key, True) for key in RESULT_KEYS),
    *((key, None) for key, kind in RESULT_KEYS.items() if kind == NUMBER),
    *(("classes", [value]) for value in (5, {}, {**CLASS, "name": 5}, {**CLASS, "f1": "x"}, {**CLASS, "more": 1})),
    ("steps", "8"), ("texts", 5), ("texts", {"test": "5"}),
]  # fmt: skip


@pytest.mark.parametrize("key, value", WRONG)
def test_a_result_of_another_type_is_named(run, key, value):
    run.result_file.write_text(json.dumps({**RESULT, key: value}))
    with pytest.raises(
        UserError, match=f"result.json: {key} cannot be .*; delete the file and resume the run to write it anew"
    ):
        run.result()


def test_of_two_runs_in_one_folder_only_the_first_begins(tmp_path, monkeypatch):
    second = RunDirectory.require_vacant(tmp_path / "run")
    first = RunDirectory.create(tmp_path / "run")
    first.write_config(SECTIONS)
    monkeypatch.setattr(RunDirectory, "require_vacant", lambda path: second)  # it looked before the first had begun
    with pytest.raises(UserError, match="another run has just begun"):
        RunDirectory.create(tmp_path / "run")
    first.discard()
    assert not (tmp_path / "run").exists()


def test_a_folder_with_something_else_in_it_is_not_discarded(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    (tmp_path / "run" / "notes").touch()
    run.discard()
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["notes"]


KILLED = ("config.toml", "tokenizer.json", ".ngrams.safetensors.0123abcd.tmp", ".tmpAb3dEf", "lock")


def test_a_killed_start_gives_way_to_a_new_run(tmp_path):
    """The files left by a killed start give way to a new run."""
    for name in KILLED:
        (tmp_path / name).touch()
    RunDirectory.create(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["config.toml"]


@pytest.mark.parametrize("name, content", [("config.toml", "[run]"), ("notes", "mine")])
def test_what_is_more_than_that_stays(tmp_path, name, content):
    for file in KILLED:
        (tmp_path / file).touch()
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match="holds something already"):
        RunDirectory.create(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {*KILLED, name}


def test_a_start_that_is_still_alive_keeps_its_folder(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    with run.held():
        with pytest.raises(UserError, match="^[^;]*run: another process is training this run; wait until it has ended"):
            RunDirectory.create(tmp_path / "run")
        assert run.config_file.exists()
        run.discard()
    assert not (tmp_path / "run").exists()


def test_an_empty_folder_may_become_a_run(tmp_path):
    assert RunDirectory.create(tmp_path).path == tmp_path


def test_a_folder_that_holds_something_is_no_place_for_a_new_run(run, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    for path in (tmp_path / "full", tmp_path / "full" / "file"):
        with pytest.raises(UserError, match="^--output .*: holds something already; choose a new or empty folder$"):
            RunDirectory.create(path)
    with pytest.raises(UserError, match=f"continue it with --resume {run.path}, or choose a new"):
        RunDirectory.create(run.path)
    with pytest.raises(UserError, match="^--output .*: cannot be made .Not a directory."):
        RunDirectory.create(tmp_path / "full" / "file" / "run")


def test_only_a_run_can_be_opened(tmp_path):
    (tmp_path / "file").write_text("")
    for path, reason in (
        (tmp_path, "has no config.toml"),
        (tmp_path / "file", "is not a folder"),
        (tmp_path / "none", "does not exist"),
    ):
        with pytest.raises(UserError, match=f"{path}: not a run directory .{reason}."):
            RunDirectory.open(path)


@pytest.mark.parametrize(
    "content, message",
    [
        ("[run", "is not TOML"),
        ("", "lacks the section .run."),
        ("run = 1\n", "lacks the section .run."),
        ("[run]\n[data]\n[network]\n", "lacks the section .training."),
    ],
)
def test_a_damaged_config_is_refused_by_name(run, content, message):
    run.config_file.write_text(content)
    with pytest.raises(UserError, match=f"config.toml: {message}"):
        run.read_config()


def lines(*steps):
    return [{"step": step, "loss": 1 / step} for step in steps]


def kept(run):
    return [json.loads(line) for line in run.metrics_file.read_text().splitlines()]


def test_metrics_are_appended_a_line_each(run):
    run.append_metrics(lines(1, 2))
    run.append_metrics([])
    run.append_metrics(lines(3))
    assert kept(run) == lines(1, 2, 3)


@pytest.mark.parametrize("step, steps", [(9, (1, 2, 3)), (3, (1, 2, 3)), (2, (1, 2)), (0, ())])
def test_cutting_drops_the_lines_of_later_steps(run, step, steps):
    run.append_metrics(lines(1, 2, 3))
    run.cut_metrics(step)
    assert kept(run) == lines(*steps)


@pytest.mark.parametrize("torn", ['{"step": 3, "lo', '{"step"', "{}", "[]", "3", '{"step": "3"}', "\0\0\0"])
@pytest.mark.parametrize("following", ["", '\n{"step": 4}\n'])
def test_cutting_drops_a_torn_line_and_what_follows(run, torn, following):
    run.append_metrics(lines(1, 2))
    with open(run.metrics_file, "a") as file:
        file.write(torn + following)
    run.cut_metrics(9)
    assert kept(run) == lines(1, 2)
    run.append_metrics(lines(3))
    assert kept(run) == lines(1, 2, 3)


def test_a_last_line_that_lacks_only_its_end_is_kept_and_ended(run):
    run.metrics_file.write_text('{"step": 1, "loss": 1.0}')
    run.cut_metrics(1)
    run.append_metrics(lines(2))
    assert kept(run) == lines(1, 2)


def test_without_metrics_there_is_nothing_to_cut(run):
    run.cut_metrics(0)
    assert not run.metrics_file.exists()


def test_metrics_that_cannot_be_written_are_named(run):
    """Metrics that cannot be written are named with the remedy."""
    run.metrics_file.mkdir()
    remedy = f"free some space, then continue with --resume {run.path}"
    with pytest.raises(UserError, match=f"metrics.jsonl: cannot be written .Is a directory.; {remedy}"):
        run.append_metrics(lines(1))


def test_metrics_are_read_but_for_a_torn_end(run):
    """Metrics are read but for a torn end of an unfinished run."""
    run.append_metrics(lines(1, 2))
    with open(run.metrics_file, "a") as file:
        file.write('{"step": 3, "lo')
    assert run.read_metrics() == lines(1, 2)
    run.result_file.touch()
    with pytest.raises(UserError, match="metrics.jsonl, line 3: is no JSON .*; restore the file"):
        run.read_metrics()


@pytest.mark.parametrize(
    "line, reason",
    [
        ("[1]", "expected a JSON object, got list"),
        ("", "is no JSON"),
        ("\0\0", "is no JSON"),
        ('{"a" 1}', "is no JSON"),
    ],
)
def test_a_damaged_line_of_metrics_is_named(run, line, reason):
    run.append_metrics(lines(1))
    with open(run.metrics_file, "a") as file:
        file.write(line + "\n")
    run.append_metrics(lines(3))
    with pytest.raises(UserError, match=f"metrics.jsonl, line 2: {reason}"):
        run.read_metrics()


def test_metrics_that_are_not_there_are_named(run):
    with pytest.raises(UserError, match="metrics.jsonl: not found; the run has trained no step yet"):
        run.read_metrics()
    run.metrics_file.mkdir()
    with pytest.raises(UserError, match="metrics.jsonl: cannot be read .Is a directory."):
        run.read_metrics()
