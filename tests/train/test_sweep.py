"""The command sweep with real trainings: in processes side by side, stopped and continued, with a run that fails."""

import itertools
import json
import re
import signal
import time
from pathlib import Path

import pytest

import train
from engine.commands.options import rounded
from engine.support.files import read_toml
from engine.sweep.description import plan, read_description
from engine.sweep.setup import default_jobs
from engine.training.run_directory import locked
from layers.networks.presets import DEFAULTS
from tests.support.paths import ROOT
from tests.support.sweep_jobs import processes_of
from tests.support.sweep_runs import start, wait_for, weights

pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")

CHOICES = train.PROJECT.choices
NAMES = ["none-0", "none-1", "no_dropout-0", "no_dropout-1"]
ONE_RUN = {"seeds": "seeds = [0]", '"no dropout"': ""}  # lines of a sweep of the run none-0 alone


@pytest.mark.thorough
@pytest.mark.slow
def test_runs_side_by_side_are_those_one_after_the_other(tmp_path, sweep_file, run):
    """They are those of the command train, too."""
    path = sweep_file()
    outputs = {}
    for jobs in (1, 2):
        code, out, err = run("sweep", path, "--jobs", jobs, "--output", tmp_path / f"jobs{jobs}", "--json")
        assert code == 0, err
        outputs[jobs] = json.loads(out)
    first, second = weights(tmp_path / "jobs1"), weights(tmp_path / "jobs2")
    assert sorted(first) == sorted(NAMES) and all(first.values()) and first == second
    for a, b in zip(outputs[1]["rows"], outputs[2]["rows"]):
        assert [run["test_accuracy"] for run in a["runs"]] == [run["test_accuracy"] for run in b["runs"]] and a[
            "mean"
        ] == b["mean"]
    options = [
        "--set",
        "hidden=8",
        "--epochs",
        "2",
        "--batch-size",
        "8",
        "--vocabulary-size",
        "200",
        "--dimension",
        "8",
        "--seed",
        "1",
    ]
    assert (
        run(
            "--train-file",
            tmp_path / "train.tsv",
            "--test-file",
            tmp_path / "test.tsv",
            *options,
            "--output",
            tmp_path / "alone" / "runs" / "none-1",
        )[0]
        == 0
    )
    assert weights(tmp_path / "alone")["none-1"] == first["none-1"]
    folder = tmp_path / "jobs2"
    assert sorted(entry.name for entry in folder.iterdir()) == [
        "logs",
        "results.json",
        "runs",
        "sweep.toml",
        "table.csv",
        "table.md",
    ]
    assert read_toml(folder / "sweep.toml")["preset"] == DEFAULTS["wave"]
    assert outputs[2] == rounded(json.loads((folder / "results.json").read_text()))
    for row, label in zip(outputs[2]["rows"], ["none", "no dropout"]):
        accuracies = [
            json.loads((folder / "runs" / run["run"] / "result.json").read_text())["test_accuracy"]
            for run in row["runs"]
        ]
        assert (
            row["change"] == label
            and row["mean"] == pytest.approx(sum(accuracies) / 2, rel=1e-5)
            and len(accuracies) == 2
        )
    assert (folder / "table.md").read_text().startswith("| change | seeds | test accuracy |")
    assert (folder / "table.csv").read_text().count("\n") == 3
    assert "3 classes" in (folder / "logs" / "none-0.log").read_text()
    assert "TSV" in err  # what was guessed of the files


@pytest.mark.thorough
def test_a_stopped_sweep_saves_and_continues_to_the_same_bits(tmp_path, sweep_file, run):
    """Stopped in the first of the two longer runs."""
    path = sweep_file(
        epochs="epochs = 1",
        batch_size="batch_size = 1",
        seeds="seeds = [0]",
        **{"none": "none = {}\nlong = { epochs = 12 }"},
    )
    folder, names = tmp_path / "cut", ["none-0", "long-0", "no_dropout-0"]
    process = start(path, "--jobs", 1, "--output", folder)

    def second_trains():
        metrics = folder / "runs" / names[1] / "metrics.jsonl"
        return metrics.exists() and metrics.read_text().count("\n") >= 50

    wait_for(second_trains, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert (
        err.splitlines()[-1] == f"stopped by SIGINT: saved; continue with --resume {folder}" and "Traceback" not in err
    )
    assert processes_of(folder) == set()
    results = [folder / "runs" / name / "result.json" for name in names]
    assert [file.exists() for file in results] == [True, False, False] and not results[2].parent.exists()
    assert (results[1].parent / "checkpoints" / "last" / "state.json").exists()
    finished = results[0].stat().st_mtime_ns
    code, out, err = run("sweep", "--resume", folder, "--jobs", "2")
    assert code == 0 and [line.split("  ")[0] for line in out.splitlines()[2:5]] == ["none", "long", "no dropout"], err
    assert results[0].stat().st_mtime_ns == finished  # left as it was
    assert "resumed after step" in (folder / "logs" / f"{names[1]}.log").read_text()
    assert run("sweep", path, "--jobs", "2", "--output", tmp_path / "whole")[0] == 0
    assert weights(folder) == weights(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks for processes in /proc")
def test_no_run_outlives_a_sweep_that_is_killed(tmp_path, sweep_file):
    folder = tmp_path / "cut"
    process = start(sweep_file(epochs="epochs = 1000\npatience = 0"), "--jobs", 2, "--output", folder)
    logs = [folder / "logs" / f"{name}.log" for name in NAMES[:2]]
    wait_for(
        lambda: all(log.exists() and "network" in log.read_text() for log in logs) and len(processes_of(folder)) == 2,
        process,
    )
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while processes_of(folder):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert all("saved; continue with" in log.read_text() for log in logs)


@pytest.mark.thorough
def test_a_run_that_fails_stops_no_other_and_is_named_at_the_end(tmp_path, sweep_file, run):
    path = sweep_file(
        seeds="seeds = [0]", none='diverging = { learning_rate = 1e30, embedding_update = "dense", clip_norm = 0.0 }'
    )
    code, out, err = run("sweep", path, "--jobs", "1", "--output", tmp_path / "out")
    assert code == 1 and "Traceback" not in err
    lines = out.splitlines()
    assert re.match(r"diverging +0 of 1( +-){6}$", lines[2]) and re.match(r"no dropout +1 +\d+\.\d\d %", lines[3])
    assert re.match(r"failed: diverging-0: step \d+: .*lower --learning-rate", err.splitlines()[-1])
    failed = json.loads((tmp_path / "out" / "results.json").read_text())["failed"]
    assert [failure["run"] for failure in failed] == ["diverging-0"] and "learning-rate" in failed[0]["reason"]
    assert "diverging-0: step" in (tmp_path / "out" / "table.md").read_text()
    code, again, err = run("sweep", "--resume", tmp_path / "out", "--json")
    assert (
        code == 1
        and [failure["run"] for failure in json.loads(again)["failed"]] == ["diverging-0"]
        and err.count("failed: ") == 2
    )


@pytest.mark.slow
def test_one_process_at_a_time_runs_a_sweep(tmp_path, sweep_file, run):
    """What a killed one has left goes: files that it began, and the locks of runs that it had finished."""
    folder = tmp_path / "sweep"
    path = sweep_file(**ONE_RUN)
    assert run("sweep", path, "--output", folder)[0] == 0
    with locked(folder / "lock", "taken"):
        code, _, err = run("sweep", "--resume", folder)
        assert code == 2 and err == f"error: {folder}: another process runs this sweep; wait until it has ended\n"
    left = [folder / name for name in ("lock", ".table.md.0123abcd.tmp", "runs/none-0/lock")]
    for file in left:
        file.touch()
    assert run("sweep", "--resume", folder)[0] == 0
    assert not any(file.exists() for file in left)


@pytest.mark.thorough
def test_a_finished_sweep_is_shown_and_takes_more_seeds(tmp_path, sweep_file, run):
    folder = tmp_path / "out"
    code, out, err = run("sweep", sweep_file(seeds="seeds = [0]"), "--output", folder)
    assert code == 0, err
    before = {file: file.stat().st_mtime_ns for file in (folder / "runs").rglob("*") if file.is_file()}
    code, again, err = run("sweep", "--resume", folder)
    assert (code, again) == (0, out) and "(" not in err
    plan_file = folder / "sweep.toml"
    plan_file.write_text(re.sub(r"seeds = \[[^]]*\]", "seeds = [0, 1]", plan_file.read_text()))
    code, _, err = run("sweep", "--resume", folder)
    assert code == 0 and sorted(path.name for path in (folder / "runs").iterdir()) == sorted(NAMES), err
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_a_run_of_other_settings_is_named(tmp_path, sweep_file, run):
    folder = tmp_path / "out"
    assert run("sweep", sweep_file(**ONE_RUN), "--output", folder)[0] == 0
    config = folder / "runs" / "none-0" / "config.toml"
    config.write_text(config.read_text().replace("epochs = 2", "epochs = 3"))
    code, out, err = run("sweep", "--resume", folder)
    assert (
        code == 2
        and out == ""
        and err == f"error: {config}: differs from {folder / 'sweep.toml'}; restore the file that was changed\n"
    )


@pytest.mark.thorough
def test_a_run_killed_before_its_first_step_starts_anew(tmp_path, sweep_file, run):
    folder = tmp_path / "out"
    assert run("sweep", sweep_file(seeds="seeds = [0]"), "--output", folder)[0] == 0
    whole = weights(folder)
    for file in sorted((folder / "runs" / "none-0").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    (folder / "runs" / "none-0" / "config.toml").touch()
    assert run("sweep", "--resume", folder)[0] == 0 and weights(folder) == whole


@pytest.mark.slow
def test_the_linear_peer_of_local_files_has_its_row(tmp_path, sweep_file, run):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install -e '.[bench]'")
    code, out, err = run("sweep", sweep_file(**ONE_RUN), "--linear", "--output", tmp_path / "out")
    assert code == 0, err
    row = next(line for line in out.splitlines() if line.startswith("TF-IDF + linear SVM"))
    assert re.search(r"^TF-IDF \+ linear SVM +- +\d+\.\d\d % +- +\d+\.\d\d % +- +\d+\.\d s", row)
    files = list((tmp_path / "out" / "linear").iterdir())
    before = files[0].stat().st_mtime_ns
    assert (
        len(files) == 1
        and run("sweep", "--resume", tmp_path / "out")[:2] == (0, out)
        and files[0].stat().st_mtime_ns == before
    )


@pytest.mark.thorough
def test_ensembles_of_seeds_are_measured(tmp_path, sweep_file, run):
    """Once; the figures that evaluate prints of these runs are in the table.

    Seeds that come in later are a group of their own, or join the others.
    """
    folder = tmp_path / "out"
    code, out, err = run("sweep", sweep_file(), "--ensemble", "2", "--output", folder)
    assert code == 0 and [line.split()[-3:] for line in err.splitlines() if line.startswith("ensemble@")][-1] == [
        "(6",
        "of",
        "6)",
    ], err
    files = sorted((folder / "ensemble").iterdir())
    assert [file.name for file in files] == ["ensemble@no_dropout-0.json", "ensemble@none-0.json"]
    require_ensembles_measured(folder, out, run)
    before = [json.loads(file.read_text()) for file in files], [file.stat().st_mtime_ns for file in files]
    seconds = [
        json.loads((folder / "runs" / f"none-{seed}" / "result.json").read_text())["train_seconds"] for seed in (0, 1)
    ]
    assert before[0][1]["train_seconds"] == pytest.approx(sum(seconds)) and before[0][1]["runs"] == NAMES[:2]
    files[1].write_text("{}")
    assert run("sweep", "--resume", folder)[:2] == (0, out)
    assert json.loads(files[1].read_text()) == before[0][1] and files[0].stat().st_mtime_ns == before[1][0]
    plan_file = folder / "sweep.toml"
    written = re.sub(r"seeds = \[[^]]*\]", "seeds = [0, 1, 2, 3]", plan_file.read_text())
    plan_file.write_text(written)
    require_ensembles_measured(folder, run("sweep", "--resume", folder)[1], run)
    assert files[0].stat().st_mtime_ns == before[1][0] and len(list((folder / "ensemble").iterdir())) == 4
    plan_file.write_text(written.replace("ensemble = 2", "ensemble = 4"))
    require_ensembles_measured(folder, run("sweep", "--resume", folder)[1], run)
    assert json.loads(files[1].read_text())["runs"] == ["none-0", "none-1", "none-2", "none-3"]


def require_ensembles_measured(folder, out, run):
    """The figures of ensembles that a sweep printed and wrote are the means of those that evaluate prints of each."""
    results = json.loads((folder / "results.json").read_text())
    size = results["ensemble"]
    for row in results["rows"]:
        paths, measured = [folder / "runs" / each["run"] for each in row["runs"]], []
        for i in range(0, len(paths), size):
            first, *others = paths[i : i + size]
            measured.append(
                json.loads(
                    run(
                        "evaluate",
                        first,
                        *itertools.chain.from_iterable(("--with", other) for other in others),
                        "--json",
                    )[1]
                )
            )
        ensemble = row["ensemble"]
        assert ensemble["groups"] == ensemble["planned"] == len(measured) == len(paths) // size
        for name in ("accuracy", "macro_f1"):
            assert ensemble[name] == pytest.approx(sum(figures[name] for figures in measured) / len(measured), rel=1e-5)
        line = next(line for line in out.splitlines() if line.startswith(row["change"] + "  "))
        assert f"  {100 * ensemble['accuracy']:.2f} " in line and line.count("±") == (4 if len(measured) > 1 else 3)


@pytest.mark.thorough
def test_an_ensemble_that_cannot_be_measured_is_left_empty(tmp_path, sweep_file, run):
    """A seed is missing, or there are no test texts."""
    folder = tmp_path / "out"
    code, _, err = run("sweep", sweep_file(test_file='test_file = ""'), "--ensemble", "2", "--output", folder)
    assert code == 0 and list((folder / "ensemble").iterdir()) == [] and "(4 of 4)" in err
    assert [row["ensemble"]["accuracy"] for row in json.loads((folder / "results.json").read_text())["rows"]] == [
        None,
        None,
    ]
    folder = tmp_path / "failing"
    code, _, err = run(
        "sweep",
        sweep_file(none='diverging = { learning_rate = 1e30, embedding_update = "dense", clip_norm = 0.0 }'),
        "--ensemble",
        "2",
        "--output",
        folder,
    )
    assert (
        code == 1
        and [file.name for file in (folder / "ensemble").iterdir()] == ["ensemble@no_dropout-0.json"]
        and "(5 of 5)" in err
    )
    first, second = json.loads((folder / "results.json").read_text())["rows"]
    assert first["ensemble"]["groups"] == 0 and second["ensemble"]["accuracy"] > 0


def test_a_sweep_of_a_version_without_ensembles_is_resumed(tmp_path, sweep_file, run):
    folder = tmp_path / "out"
    code, out, _ = run("sweep", sweep_file(**ONE_RUN), "--output", folder)
    written = (folder / "sweep.toml").read_text()
    (folder / "sweep.toml").write_text(written.replace("ensemble = 0\n", ""))
    assert "ensemble = 0\n" in written and run("sweep", "--resume", folder)[:2] == (0, out)
    for wrong in ("true", "1", "-2", '"2"'):
        (folder / "sweep.toml").write_text(written.replace("ensemble = 0\n", f"ensemble = {wrong}\n"))
        code, _, err = run("sweep", "--resume", folder)
        assert code == 2 and "sweep.toml" in err and "ensemble (0, or the number" in err


@pytest.mark.thorough
def test_a_sweep_with_the_former_names_of_ensembles_is_resumed(tmp_path, sweep_file, run):
    """Option, field of sweep.toml, folder and files were called "together"; what was measured is not measured anew."""
    folder = tmp_path / "out"
    code, out, err = run("sweep", sweep_file(), "--together", "2", "--output", folder)
    assert code == 0 and "ensemble of 2" in out and "--together" not in run("sweep", "--help")[1], err
    plan_file = folder / "sweep.toml"
    plan_file.write_text(plan_file.read_text().replace("ensemble = 2", "together = 2"))
    for file in list((folder / "ensemble").iterdir()):
        (folder / "together").mkdir(exist_ok=True)
        file.rename(folder / "together" / file.name.replace("ensemble@", "together@"))
    code, again, err = run("sweep", "--resume", folder)
    assert (code, again) == (0, out) and "ensemble@" not in err and list((folder / "ensemble").iterdir()) == []


WRONG = {
    "no file": (None, [], ["no.toml", "not found"]),
    "no argument": (None, [], ["FILE.toml", "--resume DIR"]),
    "field": ({"epochs": "epoch = 2"}, [], ["sweep.toml", "[set]", "'epoch'"]),
    "one class": ({"train_file": 'train_file = "same.tsv"'}, [], ["sweep.toml: none-0", "same.tsv", "two classes"]),
    "labels of the test": (
        {"test_file": 'test_file = "same.tsv"'},
        [],
        ["sweep.toml: none-0", "same.tsv, line 1", "'x'"],
    ),
    "precision": ({"threads": 'precision = "tf32"'}, [], ["sweep.toml: none-0", "tf32"]),
    "output": ({}, ["--output", "FULL"], ["FULL", "holds something"]),
    "resume of nothing": ({}, ["--resume", "FULL"], ["FULL", "sweep.toml"]),
    "jobs": ({}, ["--jobs", "0"], ["--jobs"]),
    "ensemble": (
        {"seeds": "seeds = [3, 4, 5]"},
        ["--ensemble", "2"],
        ["sweep.toml", "--ensemble 2", "there are 3; give a multiple of 2"],
    ),
    "ensemble of one": ({}, ["--ensemble", "1"], ["--ensemble"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_before_anything_is_written(tmp_path, sweep_file, run, monkeypatch, name):
    replaced, options, words = WRONG[name]
    (tmp_path / "same.tsv").write_text("x\tred\nx\tblue\n")
    (tmp_path / "FULL").mkdir()
    (tmp_path / "FULL" / "file").touch()
    monkeypatch.chdir(tmp_path)
    given = [sweep_file(**replaced)] if replaced is not None else ["no.toml"] if name == "no file" else []
    code, out, err = run("sweep", *(given if "--resume" not in options else []), *options)
    assert code == 2 and out == "" and all(word in err for word in words) and "Traceback" not in err, err
    assert err.count("\n") == 1 or err.startswith("Usage:")
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.is_dir()) == ["FULL"]


def test_examples_in_help_and_documents_can_be_planned(tmp_path):
    for name in ("a.csv", "b.csv", "mr.tsv", "mr_test.tsv"):
        (tmp_path / name).touch()
    shown = [
        (ROOT / page).read_text(encoding="utf-8") for page in ("layers/networks/RESULTS.md", "engine/sweep/README.md")
    ]
    ablation, accurate, form = re.findall(r"```toml\n(preset.*?)```", "".join(shown), re.DOTALL)
    helped = re.search(r"seeds.*classifier_dropout[^\n]*\n", train.cli.loaded("sweep").help, re.DOTALL).group(0)
    for text, count in ((ablation, 27), (accurate, 6), (form, 24), (helped, 12)):
        (tmp_path / "shown.toml").write_text(text)
        assert len(plan(read_description(tmp_path / "shown.toml", CHOICES)[0], CHOICES)) == count


def test_as_many_run_at_once_as_the_cores_take(tmp_path, monkeypatch):
    (tmp_path / "sweep.toml").write_text("seeds = [0]\n[grid]\nthreads = [0, 2]")
    runs = plan(read_description(tmp_path / "sweep.toml", CHOICES)[0], CHOICES)
    monkeypatch.setattr("engine.sweep.setup.usable_cores", lambda: 8)
    assert (default_jobs(runs, "cpu"), default_jobs(runs[:1], "cpu"), default_jobs(runs, "cuda")) == (4, 8, 1)
    monkeypatch.setattr("engine.sweep.setup.usable_cores", lambda: 1)
    assert default_jobs(runs, "cpu") == 1
