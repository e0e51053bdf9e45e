"""Run directories are read whole, or refused with file and line."""

import json

import pytest

from engine.report.runs import names_of
from engine.support.errors import UserError


def lines_of(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_curves_are_the_lines_of_metrics(make_run, read):
    path = make_run(steps=6, epochs=2, seed=3)
    (run,) = read(path)
    lines = lines_of(path)
    for key in ("step", "loss", "accuracy", "learning_rate", "gradient_norm"):
        assert run.curves[key] == [line[key] for line in lines]
    checked = [(line["step"], line["validation_accuracy"], line["validation_loss"]) for line in (lines[2], lines[5])]
    assert [(entry["step"], entry["accuracy"], entry["loss"]) for entry in run.curves["validation"]] == checked
    assert (run.name, run.epochs, run.result["steps"]) == ("run", 2, 6)
    assert run.settings.training.seed == 3 and run.made_with == {"device": "cpu", "version": "1"}


def test_an_unfinished_run_may_end_in_a_line_that_is_cut_short(make_run, read):
    path = make_run(steps=6, finished=False)
    with open(path / "metrics.jsonl", "a") as file:
        file.write('{"step": 7, "lo')
    (run,) = read(path)
    assert run.result is None and run.curves["step"] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"step": 3, "lo', "metrics.jsonl, line 3: is no JSON"),
        ("[3]", "metrics.jsonl, line 3: expected a JSON object, got list"),
        ("", "metrics.jsonl, line 3: is no JSON"),
        ({"loss": "x"}, "metrics.jsonl, line 3: expected a number as loss, got 'x'"),
        ({"loss": True}, "metrics.jsonl, line 3: expected a number as loss, got True"),
        ({"gradient_norm": None}, "metrics.jsonl, line 3: expected a number as gradient_norm, got None"),
        ({"step": 2}, "metrics.jsonl, line 3: step 2 does not come after step 2"),
        ({"validation_loss": 1}, "metrics.jsonl, line 3: expected a number as validation_accuracy, got none"),
    ],
)
def test_a_damaged_line_is_named(make_run, read, line, message):
    path = make_run(steps=8)
    lines = (path / "metrics.jsonl").read_text().splitlines()
    lines[2] = line if isinstance(line, str) else json.dumps(json.loads(lines[2]) | line)
    (path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError) as caught:
        read(path)
    assert message in str(caught.value) and str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_metrics_that_are_missing_empty_or_cut_off_are_named(make_run, read):
    path = make_run(steps=8)
    file = path / "metrics.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:7]))
    with pytest.raises(UserError, match="metrics.jsonl: holds 7 steps, but result.json tells of 8"):
        read(path)
    file.write_text("")
    with pytest.raises(UserError, match="metrics.jsonl: holds no step yet"):
        read(path)
    file.unlink()
    with pytest.raises(UserError, match="metrics.jsonl: not found; the run has trained no step yet"):
        read(path)


def test_what_is_no_run_and_what_is_named_twice_is_refused(make_run, read, tmp_path, monkeypatch):
    path = make_run()
    with pytest.raises(UserError, match="not a run directory .has no config.toml."):
        read(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"^run: is the same run as {path}; name each once"):
        read(path, "run")


def test_names_tell_runs_apart(make_run, read):
    paths = [make_run(name) for name in ("a/x", "b/x", "b/y")]
    assert [run.name for run in read(*paths)] == ["a/x", "b/x", "y"]
    assert [run.name for run in read(paths[0])] == ["x"]
    deep = [paths[0] / end for end in ("p/q/r", "o/q/r", "q/r/s")]
    assert names_of(deep) == ["p/q/r", "o/q/r", "s"]
