"""Bad input gets one line on stderr that names what is wrong, exit code 2, no traceback, and nothing half-written."""

import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from engine.support.files import sha256_of, write_whole
from layers.networks import NETWORKS
from tests.support.paths import ROOT


def refused(outcome, *words):
    """Assert that an (exit code, stdout, stderr) is a one-line error which holds all these words."""
    code, _, err = outcome
    assert code == 2
    (line,) = err.strip().splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert str(word) in line, (word, line)


@pytest.fixture
def train_on(tmp_path, run):
    """train_on(bytes, name="train.tsv", *options): train on a file of these bytes; no run directory appears."""

    def train_on(content, name="train.tsv", *options):
        path = tmp_path / name
        path.write_bytes(content)
        outcome = run(
            "--train-file", path, "--epochs", "1", "--vocabulary-size", "200", "--output", tmp_path / "new", *options
        )
        assert not (tmp_path / "new").exists() or not any((tmp_path / "new").iterdir())
        return path, outcome

    return train_on


ROWS = b"sport\tball goal\nmoney\tbank rate\n" * 10


def test_missing_file(tmp_path, run):
    refused(run("--train-file", tmp_path / "absent.csv"), "absent.csv")


def test_empty_file(train_on):
    path, outcome = train_on(b"")
    refused(outcome, path, "no rows")


def test_only_one_class(train_on):
    path, outcome = train_on(b"sport\tball goal\n" * 20)
    refused(outcome, path, "'sport'", "two classes")


def test_missing_label(train_on):
    path, outcome = train_on(ROWS + b"\tball without label\n" + ROWS)
    refused(outcome, path, "line 21", "label")


def test_row_with_too_few_columns(train_on):
    path, outcome = train_on(ROWS + b"sport\n" + ROWS)
    refused(outcome, path, "line 21", "columns")


def test_row_with_too_few_columns_after_quoted_line_breaks(train_on):
    """Line breaks in quotes count as lines of the CSV."""
    path, outcome = train_on(b'label,text\nsport,"ball\ngoal"\nmoney,"bank"\nmoney\n', "train.csv")
    refused(outcome, path, "line 5", "columns")


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_invalid_utf8(train_on, pack):
    path, outcome = train_on(pack(ROWS + b"sport\tb\xffll\n" + ROWS))
    refused(outcome, path, "line 21", "UTF-8")


def test_truncated_gzip(train_on):
    path, outcome = train_on(gzip.compress(ROWS * 50)[:-20], "train.tsv.gz")
    refused(outcome, path)


def test_bad_json_line(train_on):
    path, outcome = train_on(b'{"text": "ball", "label": "a"}\n{"text": "bank", "label": \n', "train.jsonl")
    refused(outcome, path, "line 2")


def test_unknown_column(train_on):
    path, outcome = train_on(b"label,text\nsport,ball\nmoney,bank\n", "train.csv", "--label-column", "topic")
    refused(outcome, path, "topic", "label")


def test_test_label_unknown_in_training(tmp_path, files, run):
    files["test"].write_text("sport\tball\nweather\train\n")
    refused(
        run("--train-file", files["train"], "--test-file", files["test"], "--output", tmp_path / "new"),
        files["test"],
        "line 2",
        "weather",
    )


def test_unknown_corpus(run):
    refused(run("--corpus", "r9"), "r9", "r8")


def test_corpus_without_network_and_without_cache(tmp_path, run, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    refused(run("--cache-dir", tmp_path / "cache", "--output", tmp_path / "new"), "--train-file")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", ["evaluate", "predict", "describe"])
@pytest.mark.parametrize("kind", ["absent", "a file", "another folder"])
def test_not_a_run_directory(tmp_path, run, command, kind):
    path = tmp_path / "place"
    if kind == "a file":
        path.write_text("hello")
    elif kind == "another folder":
        path.mkdir()
    refused(run(command, path, *(["text"] if command == "predict" else [])), path, "not a run directory")


def test_resume_of_no_run_directory(tmp_path, run):
    refused(run("--resume", tmp_path), tmp_path, "not a run directory")


def test_output_that_holds_something(tmp_path, arguments, run):
    (tmp_path / "notes.txt").write_text("mine")
    refused(run(*arguments, "--output", tmp_path), tmp_path, "holds something")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_output_that_is_another_run(trained, arguments, run):
    refused(run(*arguments, "--output", trained), trained, "--resume")


def weights_file(run_path):
    (file,) = (run_path / "checkpoints" / "best").glob("weights-*.safetensors")
    return file


@pytest.mark.parametrize("damage", ["truncated", "one bit", "removed"])
def test_damaged_weights(trained, run, damage):
    file = weights_file(trained)
    content = bytearray(file.read_bytes())
    if damage == "removed":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(content[:-100])
    else:
        content[-1] ^= 1
        file.write_bytes(content)
    refused(run("predict", trained, "ball"), file.name)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_damaged_state(trained, run, content):
    (trained / "checkpoints" / "best" / "state.json").write_text(content)
    refused(run("predict", trained, "ball"), "state.json")


@pytest.mark.parametrize(
    "content", ["", "[run]\n[data]\n", "dimension = [", "[run]\n[data]\n[training]\n[network]\ndimension = -1\n"]
)
def test_damaged_config(trained, run, content):
    (trained / "config.toml").write_text(content)
    refused(run("predict", trained, "ball"), "config.toml")


def test_damaged_tokenizer(trained, run):
    (trained / "tokenizer.json").write_text("{}")
    refused(run("predict", trained, "ball"), "tokenizer.json")


def test_checkpoint_of_another_shape(trained, run):
    file = weights_file(trained)
    weights = safetensors.numpy.load_file(file)
    weights["classifier.weight"] = np.zeros((8, 4), np.float32)
    safetensors.numpy.save_file(weights, file)
    state_file = file.parent / "state.json"
    state = json.loads(state_file.read_text())
    state["files"]["weights"]["sha256"] = sha256_of(file)
    state_file.write_text(json.dumps(state))
    refused(run("predict", trained, "ball"), "classifier.weight", "(8, 4)", "(8, 3)")


@pytest.mark.parametrize("options", [["--label-column", "1"], ["--text-columns", "2"]])
def test_columns_without_a_file_to_evaluate(trained, run, options):
    refused(run("evaluate", trained, *options), options[0], "--test-file")


def test_a_run_is_described_with_its_own_settings(trained, run):
    refused(run("describe", trained, "--dimension", "9", "--set", "hidden=3"), trained, "--dimension", "--set")


def test_a_config_that_is_not_of_the_weights(trained, run):
    config = trained / "config.toml"
    config.write_text(config.read_text().replace("max_tokens = 1024", "max_tokens = 1023"))
    refused(run("predict", trained, "ball"), config, "state.json")


def test_an_argument_that_is_not_utf8(trained, run):
    refused(run("predict", trained, "ball", "b\udcffll"), "TEXT 2", "UTF-8")


@pytest.mark.parametrize(
    "option, value, words",
    [("--output", "b\udcffd", "--output 'b\\udcffd'"), ("--label-column", "b\udcffd", "label_column 'b\\udcffd'")],
)
def test_a_name_that_is_not_utf8(tmp_path, arguments, run, monkeypatch, option, value, words):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    refused(run(*arguments, "--output", "new", option, value), words, "is not UTF-8; ")
    assert sorted(tmp_path.iterdir()) == before


def test_closed_standard_input(trained, run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    refused(run("predict", trained), "standard input is closed; give each TEXT as an argument")
    assert run("predict", trained, "ball")[0] == 0


def test_a_failed_start_leaves_no_run_directory(tmp_path, arguments, run):
    refused(run(*arguments, "--output", tmp_path / "new", "--tokenizer", tmp_path / "train.tsv"), "train.tsv")
    assert not (tmp_path / "new").exists()


def test_resume_with_other_data(tmp_path, arguments, files, trained, run):
    (trained / "result.json").unlink()
    files["train"].write_text(files["train"].read_text().replace("ball", "goal"))
    refused(run("--resume", trained), "data fingerprint")


@pytest.mark.parametrize("command", [["train"], ["evaluate", "x"], ["predict", "x", "text"]])
def test_cuda_without_a_usable_device(run, command, monkeypatch):
    monkeypatch.setattr("engine.arrays.backend.why_no_cuda", lambda: "no CUDA device is usable")
    refused(run(*command, "--device", "cuda"), "--device cuda", "--device cpu")


@pytest.mark.parametrize(
    "options, words",
    [
        (["--set", "dropout=2"], ["dropout", "2"]),
        (["--set", "dropuot=0.1"], ["dropuot", "dropout"]),
        (["--set", "dropout"], ["name=value"]),
        (["--epochs", "many"], ["epochs", "many"]),
        (["--learning-rate", "nan"], ["learning_rate", "nan"]),
        (["--batch-size", "0"], ["batch_size", "0"]),
        (["--vocabulary-size", "7", "--tokens", "wordpieces"], ["7", "--vocabulary-size"]),
        (["--tokenizer", "absent.json"], ["absent.json"]),
        (["--config", "absent.toml"], ["absent.toml"]),
        (["--corpus", "r8"], ["corpus", "train_file"]),
        (["--set", "weight_decay=1e9"], ["weight_decay", "learning_rate", "below 1"]),
        (["--vocabulary-size", "9" * 20], ["vocabulary_size: expected a whole number from 5 to 10000000, got"]),
        (["--dimension", "9" * 20], ["dimension: expected a whole number from 1 to 1000000, got"]),
        (["--set", f"hidden={'9' * 20}"], ["hidden: expected a whole number from 0 to 1000000, got"]),
    ],
)
def test_bad_values(tmp_path, arguments, run, options, words):
    refused(run(*arguments, "--output", tmp_path / "new", *options), *words)


@pytest.mark.parametrize(
    "options", [["--operation", "addition"], ["--unknown"], ["--device", "tpu"], ["train", "stray"]]
)
def test_usage_errors_keep_clicks_three_lines(run, options):
    code, _, err = run(*options)
    assert code == 2
    assert err.startswith("Usage: ") and "Traceback" not in err
    assert len(err.strip().splitlines()) <= 4
    assert options[-1].lstrip("-") in err


def test_standard_input_that_is_not_utf8(trained):
    outcome = subprocess.run(
        [sys.executable, ROOT / "train.py", "predict", trained], input=b"fine\nb\xffd\n", capture_output=True, cwd=ROOT
    )
    refused((outcome.returncode, "", outcome.stderr.decode()), "line 2", "UTF-8")
    assert outcome.stdout.count(b"\t") == 1  # the line before it is answered


def test_disk_full_while_saving(tmp_path, arguments):
    """A limit on the size of files stands for the full disk: the error names the file, no temporary file is left."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))  # the tokenizer fits, the optimizer state does not

    outcome = subprocess.run(
        [sys.executable, ROOT / "train.py", *arguments, "--output", tmp_path / "new"],
        capture_output=True, text=True, cwd=ROOT, preexec_fn=limit, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    refused((outcome.returncode, outcome.stdout, outcome.stderr), ".safetensors", "cannot be written")
    assert not [path for path in (tmp_path / "new").rglob("*") if path.name.endswith(".tmp")]
    assert not (tmp_path / "new" / "result.json").exists()


def test_a_full_disk_keeps_the_checkpoint_that_was_there(tmp_path, arguments, trained, run, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)

    def full(path, arrays):
        def write(temporary):
            temporary.write_bytes(b"half")
            raise OSError(28, "No space left on device")

        write_whole(path, write)

    monkeypatch.setattr("engine.training.checkpoint.write_arrays", full)
    (copy / "result.json").unlink()
    state_file = copy / "checkpoints" / "last" / "state.json"
    state = json.loads(state_file.read_text())
    state["progress"]["epoch"] = 1  # so that there is an epoch left to train and to save
    state_file.write_text(json.dumps(state))
    refused(run("--resume", copy), "No space left on device", "cannot be written")
    monkeypatch.undo()
    assert run("predict", copy, "ball")[0] == 0


LONG = "a text of more characters than a name may have\n" * 9


@pytest.mark.parametrize(
    "command", [["predict", LONG], ["evaluate", LONG], ["--resume", LONG], ["sweep", "--resume", LONG]]
)
def test_a_name_that_is_too_long(run, command):
    refused(run(*command), "error: 'a text of more characters", "File name too long; see to the name")


def test_output_with_a_name_that_is_too_long(run, arguments):
    refused(
        run(*arguments, "--output", LONG), "error: 'a text of more characters", "File name too long; see to the name"
    )


def test_a_folder_that_may_not_be_searched(run, trained, monkeypatch):
    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", forbidden)
    refused(
        run("predict", trained, "ball"), trained, "config.toml': Permission denied; see to the name, the permissions"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_standard_output():
    with open("/dev/full", "w") as full:
        outcome = subprocess.run(
            [sys.executable, ROOT / "train.py", "corpora"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
    refused((outcome.returncode, "", outcome.stderr), "standard input or output: No space left on device; see to ")


def test_more_memory_than_there_is_leaves_no_run_directory(tmp_path, arguments, run, monkeypatch):
    def too_large(*_):
        raise MemoryError("Unable to allocate 7.28 TiB")

    monkeypatch.setitem(NETWORKS["wave"], "fast", too_large)
    refused(
        run(*arguments, "--output", tmp_path / "new"),
        "too little memory (Unable to allocate 7.28 TiB); lower the dimension",
    )
    assert not (tmp_path / "new").exists()


def test_divergence_names_step_layer_and_parameter(tmp_path, arguments, run):
    """A learning rate at which training diverges is told with step, layer and parameter."""
    outcome = run(
        *arguments,
        "--learning-rate",
        "1e39",
        "--set",
        "clip_norm=0",
        "--set",
        "warmup=0",
        "--set",
        "weight_decay=0",
        "--output",
        tmp_path / "new",
    )
    refused(outcome, "step ", "layer ", "parameter ", "--learning-rate")


def test_tensor_cores_are_not_on_a_cpu(run, arguments, tmp_path):
    code, _, err = run(*arguments, "--precision", "tf32", "--output", tmp_path / "run")
    remedy = "give --device cuda, or set precision=float32"
    assert code == 2 and err == f"error: precision tf32: only the tensor cores of a GPU multiply so; {remedy}\n"
    assert not (tmp_path / "run").exists()
