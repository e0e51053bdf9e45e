"""The command accuracy: a sweep that is planned from its options. Its processes are stand-ins that know the result."""

import json
import sys

import pytest

import train
from engine.commands.options import rounded

# Writes the result of a run, an accuracy of 0.8 for seed 0 and of 0.9 for others, and adds its name to those started.
STAND_IN = """
import json, pathlib, sys
job = json.loads(sys.stdin.readline())
if job["kind"] == "prepare":
    print(json.dumps({"notes": []}))
else:
    output = pathlib.Path(job["output"])
    if job["kind"] == "linear":
        accuracy, name = 0.97, output.stem
    else:
        settings, name = job["settings"], output.name
        accuracy = 0.9 if settings["training"]["seed"] else 0.8
        output.mkdir()
        output = output / "result.json"
    with open(pathlib.Path(job["output"]).parents[1] / "started", "a") as started:
        started.write(name + "\\n")
    keys = "tokens_per_second parameters seed epochs".split()
    output.write_text(json.dumps({
        **dict.fromkeys(keys, 0), "device": "cpu", "classes": [], "run_directory": "",
        "test_accuracy": accuracy, "test_macro_f1": 0.5, "validation_accuracy": None, "train_seconds": 2.0,
        "peak_memory_bytes": 2**20, "best_epoch": 1,
    }))
"""


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr("engine.commands.sweep.job_command", lambda project: [sys.executable, "-S", "-c", STAND_IN])


def test_accuracy_reports_mean_and_spread(tmp_path, run):
    arguments = ["accuracy", "--corpora", "r8, r52", "--operations", "modulation", "--seeds", "1, 0", "--jobs", "1"]
    code, out, err = run(*arguments, "--json", "--output", tmp_path / "a")
    names = ["r8-modulation-1", "r8-modulation-0", "r52-modulation-1", "r52-modulation-0"]
    assert code == 0 and (tmp_path / "a" / "started").read_text().split() == names
    assert (
        [line.split(": ")[0] for line in err.splitlines()[:4]] == names
        and "(4 of 4)" in err
        and str(tmp_path / "a") in err
    )
    report = json.loads(out)
    assert report == rounded(json.loads((tmp_path / "a" / "results.json").read_text()))
    assert report["seeds"] == [0, 1] and [row["corpus"] for row in report["rows"]] == ["r8", "r52"]
    for row in report["rows"]:
        assert row["mean"] == pytest.approx(0.85) and row["mean_spread"] == pytest.approx(0.05 * 2**0.5)
        assert (row["macro_f1"], row["macro_f1_spread"], row["validation"], row["validation_spread"]) == (
            0.5,
            0,
            None,
            None,
        )
        assert (row["network"], row["seconds"], row["seeds"]) == ("modulation", 2.0, 2)
    out = run(*arguments, "--output", tmp_path / "b")[1]
    assert "85.00 ± 7.07 %" in out and "50.00 ± 0.00 %" in out and "seeds 0, 1" in out


def test_the_linear_peer_is_measured_once_for_each_corpus(tmp_path, run, monkeypatch):
    monkeypatch.setattr("engine.sweep.run.require_linear", lambda option: None)
    code, out, _ = run(
        "accuracy", "--corpora", "r8,r52", "--seeds", "0", "--linear", "--jobs", "1", "--output", tmp_path / "a"
    )
    assert code == 0 and sorted((tmp_path / "a" / "started").read_text().split())[:2] == ["linear-r52", "linear-r8"]
    assert [line.split("  ")[0] for line in out.splitlines()[2:8]] == ["r8", "r8", "r8", "r52", "r52", "r52"]
    assert [line for line in out.splitlines() if "TF-IDF" in line and "97.00 %" in line] == [
        out.splitlines()[4],
        out.splitlines()[7],
    ]


def test_the_linear_peer_needs_scikit_learn(tmp_path, run, monkeypatch):
    """Without it the linear peer is refused before anything runs."""
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    code, out, err = run("accuracy", "--linear", "--output", tmp_path / "a")
    assert (
        code == 2
        and out == ""
        and err.count("\n") == 1
        and "--linear" in err
        and "pip install -e '.[bench]'" in err
        and not (tmp_path / "a").exists()
    )


def test_accuracy_of_a_transformer_has_no_operations(tmp_path, run):
    arguments = ["accuracy", "--corpora", "r8", "--seeds", "0"]
    for number, chosen in enumerate((["--model", "transformer"], ["--preset", "transformer-1"])):
        code, out, _ = run(*arguments, *chosen, "--output", tmp_path / str(number))
        assert (
            code == 0
            and "transformer" in out
            and (tmp_path / str(number) / "started").read_text() == "r8-transformer-0\n"
        )
        assert 'model = "transformer"' in (tmp_path / str(number) / "sweep.toml").read_text()
    code, out, err = run(
        *arguments, "--model", "transformer", "--operations", "modulation", "--output", tmp_path / "no"
    )
    assert code == 2 and out == "" and "operation" in err


def test_settings_come_from_preset_file_and_set(tmp_path, run):
    """The corpus comes from the option."""
    (tmp_path / "config.toml").write_text('[data]\ncorpus = "20ng"\nmax_tokens = 9\n[training]\nseed = 5\nepochs = 7\n')
    more = ["--preset", "paper", "--config", tmp_path / "config.toml", "--set", "epochs=8"]
    code, _, err = run(
        "accuracy", *more, "--corpora", "r8", "--seeds", "0", "--operations", "modulation", "--output", tmp_path / "a"
    )
    assert code == 0, err
    again, where = train_plan(tmp_path / "a")
    (only,) = again
    assert (only.settings.data.corpus, only.settings.data.max_tokens, only.settings.training.seed) == ("r8", 9, 0)
    assert (only.settings.training.epochs, only.settings.network.dimension) == (8, 768) and where == {
        "device": "cpu",
        "linear": False,
        "ensemble": 0,
    }


def train_plan(folder):
    """(PlannedRuns, where) of a sweep's folder."""
    from engine.sweep.description import plan
    from engine.sweep.run import read_sweep

    description, where = read_sweep(folder, train.PROJECT.choices)
    return plan(description, train.PROJECT.choices), where


def test_accuracy_is_continued_as_a_sweep_is(tmp_path, run):
    folder = tmp_path / "a"
    arguments = ["accuracy", "--corpora", "r8", "--seeds", "0,1", "--operations", "modulation"]
    assert run(*arguments, "--output", folder)[0] == 0
    damaged = folder / "runs" / "r8-modulation-1" / "result.json"
    damaged.write_text(json.dumps({**json.loads(damaged.read_text()), "test_accuracy": "0.9"}))
    code, _, err = run("accuracy", "--resume", folder)
    assert (
        code == 2
        and err
        == f"error: {damaged}: test_accuracy cannot be '0.9'; delete the file and resume the run to write it anew\n"
    )
    damaged.unlink()
    (folder / "runs" / "r8-modulation-1").rmdir()
    code, out, err = run("accuracy", "--resume", folder)
    assert code == 0 and (folder / "started").read_text().split()[2:] == ["r8-modulation-1"] and "85.00 ± 7.07 %" in out
    assert run("sweep", "--resume", folder)[1] == out
    code, out, err = run("accuracy", "--resume", folder, "--corpora", "r8")
    assert code == 2 and out == "" and "--corpora" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "more, words",
    [
        (["--corpora", "r8,r9"], ["'r9'"]),
        (["--corpora", "r8,r8"], ["--corpora", "r8", "twice"]),
        (["--operations", "sum"], ["operation", "sum"]),
        (["--operations", "modulation,modulation"], ["--operations", "modulation", "twice"]),
        (["--seeds", "0,x"], ["seed", "x"]),
        (["--seeds", "0,0"], ["twice"]),
        (["--set", "train_file=a.tsv"], ["train_file"]),
        (["--set", "epoch=1"], ["epoch"]),
        (["--output", "FULL"], ["FULL", "holds something"]),
        (["--resume", "FULL"], ["FULL", "sweep.toml"]),
        (["--device", "cuda"], ["--device cuda"]),
    ],
)
def test_accuracy_refuses_before_the_first_training(tmp_path, run, monkeypatch, more, words):
    (tmp_path / "FULL" / "r8-modulation-2").mkdir(parents=True)
    (tmp_path / "FULL" / "r8-modulation-2" / "file").touch()
    monkeypatch.setattr("engine.arrays.backend.why_no_cuda", lambda: "no CUDA device is usable")
    monkeypatch.chdir(tmp_path)
    code, out, err = run("accuracy", *more)
    assert code == 2 and out == "" and err.count("\n") == 1 and all(word in err for word in words), err
    assert [path.name for path in tmp_path.iterdir()] == ["FULL"]  # and no process has started
