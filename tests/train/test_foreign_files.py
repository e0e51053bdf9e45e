"""Settings and files that another program, another version or a mischievous person may have written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.train.test_bad_input import refused

DIGITS = "9" * 5000
DEEP = '{"a":' * 200_000


@pytest.fixture
def attempt(tmp_path, arguments, run):
    """attempt(*options): train into "new", which must not be there afterwards."""

    def attempt(*options):
        outcome = run(*arguments, "--output", tmp_path / "new", *options)
        assert not (tmp_path / "new").exists()
        return outcome

    return attempt


@pytest.fixture
def circle(tmp_path):
    """A link to a link to it."""
    (tmp_path / "circle").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "circle")
    return tmp_path / "circle"


@pytest.mark.parametrize("option", ["--test-file", "--validation-file", "--tokenizer", "--vectors", "--config"])
def test_links_in_a_circle(attempt, circle, option):
    refused(attempt(option, circle), circle)


def test_a_sweep_with_links_in_a_circle(tmp_path, circle, run):
    (tmp_path / "sweep.toml").write_text(f"seeds = [0]\n[set]\ntrain_file = '{circle.name}'\n")
    refused(run("sweep", tmp_path / "sweep.toml", "--output", tmp_path / "new"), "train_file", "is no file")


@pytest.fixture
def pipe(tmp_path):
    """A named pipe into which nobody writes: whoever opens it waits."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes of POSIX")
@pytest.mark.parametrize("option", ["--test-file", "--validation-file", "--tokenizer", "--vectors", "--config"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(attempt, pipe, option):
    refused(attempt(option, pipe), pipe, "it is a pipe or a device, not a file")


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes of POSIX")
@pytest.mark.parametrize(
    "name", ["tokenizer.json", "ngrams.safetensors", "affixes.json", "checkpoints/best/state.json", "metrics.jsonl"]
)
def test_a_pipe_in_a_run_is_not_waited_for(trained, pipe, run, name):
    pytest.importorskip("matplotlib")  # which report draws with
    (trained / name).unlink()
    shutil.move(pipe, trained / name)
    refused(run("report", trained, "--output", trained.parent / "page.html"), name)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
def test_process_substitution_is_named_as_what_it_is(files, tmp_path):
    line = f"{sys.executable} {ROOT}/train.py --train-file <(cat {files['train']}) --output {tmp_path / 'new'}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=ROOT, timeout=60)
    refused((done.returncode, "", done.stderr), "/dev/fd/", "it is a pipe or a device, not a file")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("option", ["--label-column", "--text-columns", "--epochs", "--dimension"])
def test_numbers_of_thousands_of_digits(attempt, option):
    outcome = attempt(option, DIGITS)
    refused(outcome, "9999")
    assert len(outcome[2]) < 500


def test_labels_of_thousands_of_digits(tmp_path, run):
    (tmp_path / "train.tsv").write_text(f"{DIGITS}\tball goal\n7\tbank rate\n" * 10)
    assert run("--train-file", tmp_path / "train.tsv", "--epochs", "1", "--output", tmp_path / "new")[0] == 0


@pytest.mark.parametrize("name", ["train.jsonl", "train.json"])
def test_json_with_numbers_of_thousands_of_digits(tmp_path, run, name):
    rows = f'{{"label": {DIGITS}, "text": "a"}}'
    (tmp_path / name).write_text(f"[{rows}]" if name.endswith(".json") else rows)
    outcome = run("--train-file", tmp_path / name, "--output", tmp_path / "new")
    refused(outcome, name, "line 1", "a number of thousands of digits")


@pytest.mark.parametrize("content, reason", [(DEEP, "nested too deep"), (f'{{"step": {DIGITS}}}', "thousands of dig")])
def test_metrics_that_python_cannot_hold(trained, run, content, reason):
    pytest.importorskip("matplotlib")
    (trained / "metrics.jsonl").write_text(content + "\n")
    refused(run("report", trained, "--output", trained.parent / "page.html"), "metrics.jsonl, line 1", reason)
    (trained / "result.json").unlink()
    assert run("--resume", trained)[0] == 0  # they are cut off, as what a killed run has left


@pytest.mark.parametrize(
    "field, value, most",
    [
        ("positions", 10**30, 1_000_000),
        ("blocks", 10**9, 1000),
        ("step_budget", 10**30, 10**9),
        ("largest_batch_size", 10**30, 10**9),
        ("max_tokens", 10**10, 10**9),
    ],
)
def test_every_whole_number_has_a_limit(attempt, field, value, most):
    refused(attempt("--set", f"{field}={value}"), field, f"to {most}, got", value)


def test_every_whole_number_of_any_model_has_a_limit(run):
    for model in ("wave", "transformer"):
        _, out, _ = run("describe", "--model", model, "--fields", "--json")
        whole = [row for row in json.loads(out) if str(row["allowed"]).startswith("a whole number")]
        assert len(whole) > 15 and all(" to " in row["allowed"] for row in whole)


@pytest.mark.parametrize("field", ["train_file", "label_separator", "corpus", "tokenizer", "encoding"])
def test_nul_in_a_name(tmp_path, run, field):
    (tmp_path / "a.toml").write_text(f'{field} = "a\\u0000b"\n')
    refused(run("--config", tmp_path / "a.toml", "--output", tmp_path / "new"), "a.toml", field, "NUL")


CONFIGS = [
    "dropout = 2", "epochs = 'many'", "epochs = 0", "dropuot = 0.1", "model = 'none'", "operation = 'addition'",
    "beta1 = 0.9999", "freeze_vectors = true", "weight_decay = 1e9", "corpus = 'r8'\ntrain_file = 'x'\nseed = -1",
    "label_columns = 'a'", "char_ngrams = 'x'", "positions = 9\nposition_encoding = 'learned'", "heads = 3.5",
    "[network]\nmodel = 'transformer'\nheads = 5", "[run]\nversion = '1'\n[network]\nmodel = 'none'",
    "readout = 'phase'\nwave = 'real'", "class_weights = 'given'", "affixes = 1", "[network]\ndimension = -1",
]  # fmt: skip


@pytest.mark.parametrize("text", CONFIGS)
def test_a_wrong_config_is_named(tmp_path, run, text):
    (tmp_path / "a.toml").write_text(text + "\n")
    refused(run("--config", tmp_path / "a.toml", "--output", tmp_path / "new"), tmp_path / "a.toml")


def test_a_config_is_not_blamed_for_an_option(tmp_path, run):
    (tmp_path / "a.toml").write_text("epochs = 2\n")
    code, _, err = run("--config", tmp_path / "a.toml", "--set", "dropout=2", "--output", tmp_path / "new")
    assert code == 2 and err.startswith("error: dropout: ")


def test_a_sweep_of_a_million_runs(tmp_path, run):
    (tmp_path / "a.toml").write_text(f"seeds = {list(range(1000))}\n[grid]\nepochs = {list(range(1, 1001))}\n")
    outcome = run("sweep", tmp_path / "a.toml", "--output", tmp_path / "new")
    refused(outcome, "a.toml: asks for 1,000,000 runs, 10,000 at most")


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "0", "9" * 400])
def test_a_search_without_a_limit(attempt, seconds):
    refused(attempt("--autotune", seconds), "--autotune", "expected a time such as")


def test_whole_numbers_are_one_label_however_json_writes_them(tmp_path, run):
    rows = [
        f'{{"label": {label}, "text": "{text}"}}\n' for label, text in [("1", "ball"), ("1.0", "goal"), ("2.0", "bank")]
    ]
    (tmp_path / "train.jsonl").write_text("".join(rows * 5))
    assert run("--train-file", tmp_path / "train.jsonl", "--epochs", "1", "--output", tmp_path / "new")[0] == 0
    state = json.loads((tmp_path / "new" / "checkpoints" / "best" / "state.json").read_text())
    assert state["labels"] == ["1", "2"]


@pytest.mark.parametrize("what", ["WAVE_GRAPHS", "WAVE_C", "memory", "an interrupt"])
def test_what_ends_before_the_first_step_leaves_no_folder(attempt, monkeypatch, what):
    from engine.training import trainer

    if what.startswith("WAVE"):
        monkeypatch.setenv(what, "nope")
        refused(attempt(), f"{what}=nope: must be one of on, off")
        return

    def fail(*_, **__):
        raise MemoryError("Unable to allocate 7 TiB") if what == "memory" else KeyboardInterrupt

    monkeypatch.setattr(trainer, "update", fail)
    code, _, err = attempt()
    assert (code, "too little memory" in err) == ((2, True) if what == "memory" else (130, False))


def test_what_was_trained_stays_in_its_folder(tmp_path, arguments, run, monkeypatch):
    from engine.training import trainer

    update, steps = trainer.update, []

    def fail(*given, **named):
        steps.append(1)
        if len(steps) > 5:
            raise MemoryError
        return update(*given, **named)

    monkeypatch.setattr(trainer, "update", fail)
    assert run(*arguments, "--output", tmp_path / "new")[0] == 2
    assert (tmp_path / "new" / "config.toml").stat().st_size
    monkeypatch.undo()
    assert run("--resume", tmp_path / "new")[0] == 0
