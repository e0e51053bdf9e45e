"""python train.py benchmark: its options, its messages, and its two forms of output."""

import importlib.util
import json
import time

import pytest

from engine.data.texts import Corpus, LabelledTexts
from engine.support.errors import UserError
from layers.experiments.benchmark import cpu, scale, whole_processes, workloads
from layers.experiments.benchmark.processes import seconds_to_first_step

TEXTS = LabelledTexts(["profits rose", "oil fell again", "the bank cut its rate", "rates rose"] * 10, ["a", "b"] * 20)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(workloads, "load_corpus", lambda name, cache_dir: Corpus(name, TEXTS, test=TEXTS))
    monkeypatch.setattr(workloads, "VOCABULARY", 200)
    monkeypatch.setattr(cpu, "BATCHES", (1, 4))
    monkeypatch.setattr(cpu, "BATCH_LENGTH", 4)


def test_the_chosen_figures_are_printed_as_a_table(run, small):
    code, out, err = run("benchmark", "--only", "train_d128,batch_exponent", "--no-peer", "--repeats", "1")
    assert code == 0, err
    assert out.splitlines()[0].split()[:2] == ["measured", "unit"]
    assert "train_d128" in out and "batch_exponent" in out and "predict" not in out


def test_the_json_holds_machine_and_results(run, small):
    code, out, _ = run("benchmark", "--only", "train_d128", "--no-peer", "--repeats", "1", "--json")
    found = json.loads(out)
    assert code == 0 and found["results"][0]["name"] == "train_d128" and found["machine"]["cores"] >= 1
    assert found["settings"] == {"corpus": "r8", "repeats": 1, "threads": 0}


def test_a_whole_process_is_measured(run, files):
    """A training of ours, started as a user would start it."""
    texts = ["--train-file", files["train"], "--test-file", files["test"]]
    code, out, err = run("benchmark", "--processes", *texts, "--only", "ours_cold", "--repeats", "1", "--json")
    assert code == 0, err
    (row,) = json.loads(out)["results"]
    assert row["cpu_seconds"] > 0.1 and row["peak_bytes"] > 2**25 and 0 <= row["test_accuracy"] <= 1


def test_a_growth_that_is_stopped_shows_what_is_complete(run, monkeypatch):
    def measured(path, *_):
        if path.stat().st_size > 20_000:
            raise KeyboardInterrupt
        return whole_processes.Measured(1.0, 1.0, 2**20, 0.5)

    monkeypatch.setattr(scale, "TRIAL_ROWS", 100)
    monkeypatch.setattr(scale, "train_ours", measured)
    code, out, err = run("benchmark", "--scale", "--rows", "100,1000", "--only", "ours", "--repeats", "2")
    lines = out.splitlines()
    assert code == 130 and lines[0].startswith("estimated: about")
    assert lines[1] == lines[2] == "100 rows, ours: 1.0 CPU s, 1.0 s, 1 MiB, accuracy 50.0 %"
    assert lines[-1].split() == "100 1.0 1 MiB 50.0 %".split()


@pytest.mark.skipif(
    not importlib.util.find_spec("matplotlib"), reason="matplotlib is not installed: pip install -e '.[plots]'"
)
def test_a_figure_is_drawn(run, small, tmp_path):
    code, out, _ = run(
        "benchmark", "--only", "batch_exponent", "--no-peer", "--repeats", "1", "--figure", tmp_path / "time.svg"
    )
    assert code == 0 and "drawn:" in out and (tmp_path / "time.svg").read_text().count("<svg") == 1


def test_the_first_step_is_waited_for_in_a_process_of_its_own(arguments, tmp_path):
    started = time.perf_counter()
    seconds = seconds_to_first_step(*arguments, "--cache-dir", str(tmp_path))
    assert 0 < seconds < time.perf_counter() - started
    (entry,) = (tmp_path / "tokens").iterdir()
    assert {path.suffix for path in entry.iterdir()} == {".json", ".safetensors", ".npy"}


def test_a_first_step_that_never_comes_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="measuring the first step failed: .*missing.tsv"):
        seconds_to_first_step("--train-file", str(tmp_path / "missing.tsv"))


@pytest.mark.parametrize("arguments, words", [
    (["--only", "train_d999"], "--only train_d999: is none of the figures train_d768,"),
    (["--figure", "time.gif"], "time.gif: is no name of a picture"),
    (["--figure", "none/time.svg"], "none/time.svg: cannot be written (its folder does not exist); choose a file in a "
     "folder that you may write to"),
    (["--corpus", "r9"], "corpus 'r9' is unknown"),
    (["--processes", "--corpus", "r9", "--no-peer"], "corpus 'r9' is unknown"),
    (["--processes", "--only", "theirs"], "--only theirs: is none of ours_cold, ours_warm, ours_numpy,"),
    (["--processes", "--train-file", "none.csv", "--no-peer"], "none.csv"),
    (["--processes", "--test-file", "none.csv", "--no-peer"], "go with --train-file; give the training texts too"),
    (["--processes", "--figure", "time.svg"], "measures whole processes on one corpus, so --figure cannot"),
    (["--processes", "--scale"], "--processes and --scale: measure different things; give one of them"),
    (["--scale", "--rows", "1e5", "--no-peer"], "--rows 1e5: expected whole numbers from 100 to"),
    (["--scale", "--corpus", "r8"], "--scale: measures generated corpora, so --corpus cannot be given with it"),
    (["--scale", "--figure", "time.gif"], "time.gif: is no name of a picture"),
    (["--rows", "100"], "--rows: goes with --scale; give that too"),
    (["--test-file", "a.csv"], "--test-file: goes with --processes; give that too"),
])  # fmt: skip
def test_bad_input_is_one_line(run, arguments, words):
    code, out, err = run("benchmark", *arguments)
    assert code == 2 and not out and words in err and err.startswith("error: ") and err.count("\n") == 1
