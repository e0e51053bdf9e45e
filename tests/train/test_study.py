"""The command study: what it writes, that its runs see the same, and that it continues where it was stopped."""

import json
import os
import signal

import numpy as np
import pytest

from engine.commands.options import rounded
from engine.training import trainer as trainer_module
from engine.training.checkpoint import load_checkpoint
from engine.training.run_directory import RunDirectory, locked
from layers.experiments.study.measures import mean_absolute_correlation
from tests.support.validations import validate_as

pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install -e '.[plots]'")

SMALL = [
    "--dimension",
    "8",
    "--epochs",
    "9",
    "--set",
    "step_budget=14",
    "--batch-size",
    "8",
    "--vocabulary-size",
    "200",
    "--snapshots",
    "3",
    "--set",
    "max_tokens=16",
]
NAMES = ["interference", "modulation", "transformer"]
PER_STEP = ["step", "loss", "accuracy", "gradient_cls", "gradient_input", "gradient_classifier"]


@pytest.fixture
def options(files):
    return ["study", "--train-file", files["train"], "--test-file", files["test"], *SMALL]


@pytest.fixture
def without_figures(monkeypatch):
    """Drawing takes longer than the rest of a study."""
    monkeypatch.setattr("layers.experiments.study.figures.write_figures", lambda *_: {})


@pytest.fixture
def finished(tmp_path, options, run):
    """(folder, standard output) of a finished study."""
    code, out, err = run(*options, "--output", tmp_path / "study")
    assert code == 0, err
    return tmp_path / "study", out


def test_a_study_records_every_step_of_every_run(finished):
    folder, out = finished
    study = json.loads((folder / "study.json").read_text())
    assert list(study["runs"]) == NAMES and study["settings"]["study"]["snapshots"] == 3
    for name, found in study["runs"].items():
        steps = found["step"]
        assert steps == list(range(1, 15))  # 54 of 60 texts in batches of 8, twice, as the step budget has it
        assert all(len(found[key]) == 14 and np.isfinite(found[key]).all() for key in PER_STEP)
        assert all(0 < a < b for a, b in zip(found["gradient_cls"], found["gradient_input"]))
        assert [entry["step"] for entry in found["independence"]] == [0, 5, 9, 14]
        assert [entry["step"] for entry in found["waves"]] == ([] if name == "transformer" else [0, 5, 9, 14])
        assert [entry["step"] for entry in found["validation"]] == [7, 14]
        assert 0 <= found["test_accuracy"] <= 1 and found["parameters"] > 0
    runs = study["runs"]
    assert (
        runs["interference"]["independence"][0] == runs["transformer"]["independence"][0]
    )  # the same embeddings at the start
    assert runs["interference"]["loss"][0] != runs["modulation"]["loss"][0]
    assert all(name in out for name in NAMES) and "effective rank" in out and str(folder) in out
    page = (folder / "study.html").read_text()
    figures = ("convergence", "gradients", "correlations", "independence", "waves")
    assert page.count("<svg") == 5 and all((folder / f"{figure}.svg").stat().st_size > 1000 for figure in figures)


def test_the_runs_see_the_same_texts_in_the_same_order(tmp_path, options, run, without_figures, monkeypatch):
    seen = []
    step = trainer_module.Trainer.train_step
    monkeypatch.setattr(
        trainer_module.Trainer, "train_step", lambda self, batch, *more: seen.append(batch) or step(self, batch, *more)
    )
    assert run(*options, "--output", tmp_path / "study")[0] == 0
    thirds = [seen[i * 14 : i * 14 + 14] for i in range(3)]
    assert len(seen) == 42
    for batches in zip(*thirds):
        assert all(np.array_equal(a, b) for other in batches[1:] for a, b in zip(batches[0], other))


class Stop(BaseException):
    """As if the process were killed."""


@pytest.mark.parametrize("at", [3, 17, 30])
def test_a_killed_study_continues_to_the_same_numbers(
    tmp_path, options, run, without_figures, finished, monkeypatch, at
):
    """Within the first run, the second and the third."""
    steps = []
    step = trainer_module.Trainer.train_step

    def stopping(self, *given):
        steps.append(0)
        if len(steps) == at:
            raise Stop
        step(self, *given)

    monkeypatch.setattr(trainer_module.Trainer, "train_step", stopping)
    with pytest.raises(Stop):
        run(*options, "--output", tmp_path / "killed")
    code, out, err = run("study", "--resume", tmp_path / "killed")
    assert code == 0, err
    first, second = (json.loads((folder / "study.json").read_text()) for folder in (finished[0], tmp_path / "killed"))
    for name in NAMES:
        del first["runs"][name]["train_seconds"], second["runs"][name]["train_seconds"]
        weights = [
            load_checkpoint(folder / "runs" / name / "checkpoints" / "last", ("weights",))[1]
            for folder in (finished[0], tmp_path / "killed")
        ]
        assert all(
            np.array_equal(weights[0]["weights"][key], weights[1]["weights"][key]) for key in weights[0]["weights"]
        )
    assert first == second


def test_one_process_at_a_time_runs_a_study(finished, run):
    """And removes what a killed one has left."""
    folder, left = finished[0], finished[0] / ".study.json.0123abcd.tmp"
    left.touch()
    with locked(folder / "lock", "taken"):
        code, _, err = run("study", "--resume", folder)
    assert code == 2 and err == f"error: {folder}: another process runs this study; wait until it has ended\n"
    assert left.exists() and run("study", "--resume", folder)[0] == 0 and not left.exists()


def test_a_run_killed_before_it_has_settings_begins_anew(tmp_path, options, run, without_figures, monkeypatch):
    """The study goes on with the others."""

    def die(*_, **__):
        raise Stop

    with monkeypatch.context() as patched:
        patched.setattr("engine.training.session.prepare", die)
        patched.setattr(RunDirectory, "discard", lambda self: None)  # the process is gone
        with pytest.raises(Stop):
            run(*options, "--runs", "modulation", "--output", tmp_path / "study")
    claimed = tmp_path / "study" / "runs" / "modulation" / "config.toml"
    assert claimed.exists() and not claimed.read_text()
    code, _, err = run("study", "--resume", tmp_path / "study")
    assert code == 0, err
    assert (
        claimed.read_text()
        and len(json.loads((tmp_path / "study" / "study.json").read_text())["runs"]["modulation"]["step"]) == 14
    )


def test_the_last_weights_are_measured_at_the_end(tmp_path, options, run, monkeypatch):
    """With the steps that rows still had to make up for: the last batch does not hold all tokens."""
    drawn = {}
    validate_as(monkeypatch, [0.9, 0.1])
    monkeypatch.setattr(
        "layers.experiments.study.figures.write_figures",
        lambda folder, recorded, matrices: drawn.update(matrices) or {},
    )
    code, _, err = run(*options, "--runs", "modulation", "--output", tmp_path / "study")
    assert code == 0, err
    assert json.loads((tmp_path / "study" / "runs" / "modulation" / "result.json").read_text())["best_epoch"] == 1
    recorded = json.loads((tmp_path / "study" / "study.json").read_text())["runs"]["modulation"]["independence"]
    found = [mean_absolute_correlation(matrix) for matrix in drawn["modulation"]]
    assert [entry["step"] for entry in recorded] == [0, 5, 9, 14] and found == [
        recorded[at]["mean_absolute_correlation"] for at in (0, -1)
    ]


def test_a_diverged_run_ends_in_one_line(tmp_path, options, run, without_figures):
    """Though it is measured at every step."""
    diverging = ["--snapshots", "14", "--set", "learning_rate=1e39", "--set", "weight_decay=0"]
    code, _, err = run(*options, *diverging, "--runs", "modulation", "--output", tmp_path / "study")
    assert (
        code == 2
        and err.count("\n") == 1
        and err.startswith("error: step 2: the loss is nan, in the value of parameter embedding.table")
    ), err


def test_ctrl_c_saves_and_names_the_study(tmp_path, options, run, without_figures, monkeypatch):
    steps = []
    step = trainer_module.Trainer.train_step

    def pressing(self, *given):
        steps.append(0)
        if len(steps) == 17:
            os.kill(os.getpid(), signal.SIGINT)
        step(self, *given)

    monkeypatch.setattr(trainer_module.Trainer, "train_step", pressing)
    folder = tmp_path / "study"
    code, _, err = run(*options, "--output", folder)
    assert code == 130 and err.strip().splitlines()[-1] == f"stopped by SIGINT: saved; continue with --resume {folder}"
    assert list(json.loads((folder / "study.json").read_text())["runs"]) == ["interference"]
    code, _, _ = run("study", "--resume", folder)
    assert code == 0 and len(steps) == 42 and list(json.loads((folder / "study.json").read_text())["runs"]) == NAMES
    before = (folder / "study.json").read_text()
    assert (
        run("study", "--resume", folder)[0] == 0 and len(steps) == 42 and (folder / "study.json").read_text() == before
    )


def test_some_of_the_runs_and_json(tmp_path, options, run, without_figures):
    code, out, err = run(
        *options, "--runs", "modulation", "--set", "modulation.readout=both", "--json", "--output", tmp_path / "study"
    )
    study = json.loads(out)
    assert code == 0 and list(study["runs"]) == ["modulation"] and study["settings"]["modulation"]["readout"] == "both"
    assert study == rounded(json.loads((tmp_path / "study" / "study.json").read_text()))


@pytest.mark.parametrize(
    "more, words",
    [
        (["--runs", "wave"], ["--runs wave", "interference"]),
        (["--set", "epoch=2"], ["'epoch'"]),
        (["--set", "tree.epochs=2"], ["tree.epochs"]),
        (["--dimension", "none"], ["dimension", "'none'"]),
        (["--output", "FULL"], ["FULL", "holds something"]),
        (["--resume", "FULL", "--epochs", "3"], ["--resume FULL", "--epochs"]),
    ],
)
def test_bad_input_gets_one_line_and_nothing_is_written(tmp_path, options, run, monkeypatch, more, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FULL").mkdir()
    (tmp_path / "FULL" / "file").touch()
    code, out, err = run(*(["study"] if "--resume" in more else options), *more)
    assert code == 2 and out == "" and err.count("\n") == 1 and all(word in err for word in words), err
    assert not (tmp_path / "runs").exists()


def test_a_changed_setting_is_named(without_figures, finished, run):
    folder = finished[0]
    text = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(text.replace("epochs = 9", "epochs = 8"))
    code, out, err = run("study", "--resume", folder)
    assert code == 2 and err.count("\n") == 1 and "config.toml: differs from" in err and "study.toml" in err, err


@pytest.mark.parametrize("text, words", [
    (None, "no study.toml"),
    ("[study]\n", "study.toml: is damaged"),
    ("[study\n", "is not TOML"),
    ('[study]\nsnapshots = 1\ndevice = "cpu"\n[runs.a.data]\nx = 1\n[runs.a.network]\n[runs.a.training]\n',
     "unknown field 'x'"),
])  # fmt: skip
def test_a_damaged_study_is_named(tmp_path, run, text, words):
    if text is not None:
        (tmp_path / "study.toml").write_text(text)
    code, out, err = run("study", "--resume", tmp_path)
    assert code == 2 and out == "" and err.count("\n") == 1 and words in err, err
