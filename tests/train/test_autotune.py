"""train --autotune and --trials on a tiny corpus: one search in processes of its own, others in this one."""

import json
import re
import shlex
import signal
import subprocess
import sys

import pytest

import train
from engine.commands.autotune import seconds_in
from engine.support.errors import UserError
from engine.support.files import read_toml, write_json
from engine.sweep import autotune
from engine.sweep.autotune_trial import run_trial
from engine.sweep.jobs import Ended
from engine.training import session
from engine.training.run_settings import settings_of
from layers.networks import CONFIGS, PRESETS, SEARCH_SPACE, build_network
from tests.support.paths import ROOT
from tests.support.sweep_runs import wait_for

TINY = ["--dimension", "8", "--epochs", "2", "--batch-size", "8", "--vocabulary-size", "200"]


@pytest.fixture
def options(files, tmp_path):
    """Arguments of a training on the tiny corpus, with a cache of its own."""
    return ["--train-file", files["train"], "--test-file", files["test"], *TINY, "--cache-dir", tmp_path / "cache"]


class Here:
    """A Launcher that does trials in this process. started: their numbers."""

    started: list[str] = []

    def __init__(self, command, logs, count, share):
        self.count = count

    def has_room(self, running):
        return running < self.count

    def start(self, job):
        Here.started.append(job.name)
        message = job.message
        settings, ended = settings_of(message["settings"], CONFIGS), Ended(None)
        try:
            where = message["device"], message["cache_dir"], lambda line: None
            write_json(message["output"], run_trial(settings, message["share"], build_network, *where))
        except UserError as error:
            ended = Ended(str(error))
        return type("Done", (), {"poll": lambda self: ended, "stop": lambda self: None, "kill": lambda self: None})()


@pytest.fixture
def here(monkeypatch):
    """Trials run in this process."""
    monkeypatch.setattr(autotune, "Processes", Here)
    monkeypatch.setattr(autotune, "prepare_texts", lambda settings, setup: None)
    monkeypatch.setattr(Here, "started", [])
    return Here.started


def weights(path):
    """The bytes of the best weights of a run."""
    (file,) = (path / "checkpoints" / "best").glob("weights-*.safetensors")
    return file.read_bytes()


def trials_in(folder):
    """The trials of a record, without their seconds."""
    record = json.loads((folder / "autotune.json").read_text())
    return [{name: value for name, value in one.items() if "seconds" not in name} for one in record["trials"]]


def command_in(text, head):
    """The arguments of the command behind `head` in an output."""
    (line,) = [line for line in text.splitlines() if head in line]
    words = shlex.split(line.partition(head)[2])
    return words[next(place for place, word in enumerate(words) if word.startswith("--")) :]


@pytest.mark.slow
def test_a_search_keeps_an_ordinary_run(tmp_path, options, run):
    """It is the one that the printed command trains, to the bit."""
    folder = tmp_path / "search"
    code, out, err = run(*options, "--trials", "9", "--output", folder)
    assert code == 0, err
    assert "trial 9: full, " in out and "9 trainings, " in out and "test accuracy" in out
    assert sorted(path.name for path in folder.iterdir()) == ["autotune.json", "best", "logs"]
    assert sorted(path.name for path in (folder / "logs").iterdir()) == [f"{n}.log" for n in range(1, 10)]
    assert run(*command_in(out, "by hand: "), "--output", tmp_path / "hand")[0] == 0
    assert weights(folder / "best") == weights(tmp_path / "hand")
    assert run("predict", folder / "best", "ball goal")[1].startswith("sport")


@pytest.fixture
def learned(tmp_path, options, run, here, monkeypatch):
    """(folder, output) of a search in a space of 8 points, of which those of another learning rate are better."""
    monkeypatch.setitem(SEARCH_SPACE, "wave", {"learning_rate": (5e-3, 2e-3), "label_smoothing": (0.0, 0.2)})
    (tmp_path / "slow.toml").write_text("learning_rate = 1e-7\n")
    folder, config = tmp_path / "learned", ["--config", tmp_path / "slow.toml"]
    code, out, err = run(*options, *config, "--epochs", "6", "--trials", "25", "--output", folder)
    assert code == 0, err
    return folder, out


def test_the_best_point_is_the_run(tmp_path, learned, run, here):
    """Its fields are those of the run and of the printed command; 15 trainings use up the space."""
    folder, out = learned
    record = json.loads((folder / "autotune.json").read_text())
    assert record["widths"][0] == 9 and record["best"]["trials"] == 16 and here == [str(n) for n in range(1, 16)]
    assert [one["share"] for one in record["trials"]] == [1, 1, *[1 / 8] * 8, *[1 / 3] * 3, 1, 1]
    point = record["best"]["point"]
    assert point["learning_rate"] > 1e-3 and record["best"]["validation"] > record["best"]["validation_of_start"]
    config = read_toml(folder / "best" / "config.toml")
    values = {**config["data"], **config["network"], **config["training"]}
    assert {name: values[name] for name in point} == point and values["epochs"] == 6
    assert run(*command_in(out, "by hand: "), "--output", tmp_path / "hand")[0] == 0
    assert weights(folder / "best") == weights(tmp_path / "hand")
    with_best = [one for one in record["trials"] if one["point"] == point and one["share"] == 1]
    result = json.loads((folder / "best" / "result.json").read_text())
    assert result["validation_accuracy"] == with_best[0]["validation"] and result["test_accuracy"] is not None


def test_a_search_repeats_and_continues(tmp_path, learned, run, here, monkeypatch):
    """With the printed number of trainings; and from a record in which the last are missing."""
    folder, out = learned
    code, again, err = run(*command_in(out, "to repeat: "), "--output", tmp_path / "again", "--jobs", "3")
    assert code == 0, err
    assert trials_in(tmp_path / "again") == trials_in(folder)
    assert weights(tmp_path / "again" / "best") == weights(folder / "best")
    record = json.loads((folder / "autotune.json").read_text())
    cut = tmp_path / "cut"
    (cut / "logs").mkdir(parents=True)
    write_json(cut / "autotune.json", {**record, "best": None, "trials": record["trials"][:12]})
    here.clear()
    code, out, err = run("--resume", cut)
    assert code == 0 and here == ["13", "14", "15"], err
    assert trials_in(cut) == trials_in(folder) and weights(cut / "best") == weights(folder / "best")
    here.clear()
    measured = []
    monkeypatch.setattr(session, "evaluate", lambda *given, **more: measured.append(given))
    assert run("--resume", cut, "--json")[0] == 0 and not here and not measured  # finished: nothing is done again


def test_the_test_texts_are_measured_once(tmp_path, options, run, here, monkeypatch):
    measured, evaluate = [], session.evaluate
    monkeypatch.setattr(session, "evaluate", lambda *given, **more: measured.append(1) or evaluate(*given, **more))
    code, out, err = run(*options, "--trials", "9", "--output", tmp_path / "s", "--json")
    assert code == 0 and len(measured) == 1 and len(here) == 9, err
    result = json.loads(out)
    assert result["result"]["test_accuracy"] is not None and len(result["trials"]) == 9
    assert all(one["validation"] is not None for one in result["trials"])


def test_a_time_too_short_trains_the_settings_given(tmp_path, options, run, here):
    code, out, err = run(*options, "--autotune", "0.001s", "--output", tmp_path / "s")
    assert code == 0 and "no trial ended within 0 s" in out and "test accuracy" in out, err
    assert read_toml(tmp_path / "s" / "best" / "config.toml")["data"]["ngrams"] == PRESETS["recommended"]["ngrams"]


def test_a_time_is_repeated_by_its_number_of_trainings(tmp_path, options, run, here):
    """A second on this corpus is enough for a round."""
    code, out, err = run(*options, "--autotune", "3", "--output", tmp_path / "s")
    assert code == 0, err
    count = json.loads((tmp_path / "s" / "autotune.json").read_text())["best"]["trials"]
    if count > 2:  # else the machine is very slow
        assert run(*command_in(out, "to repeat: "), "--output", tmp_path / "again")[0] == 0
        assert trials_in(tmp_path / "again") == trials_in(tmp_path / "s")[:count]
        assert weights(tmp_path / "again" / "best") == weights(tmp_path / "s" / "best")


@pytest.mark.thorough
@pytest.mark.usefixtures("signals_of_a_terminal")
def test_ctrl_c_keeps_what_was_trained(tmp_path, options, run):
    """The search goes on to the same end."""
    folder, arguments = tmp_path / "cut", [*map(str, options), "--trials", "7", "--jobs", "1"]
    command = [sys.executable, str(ROOT / "train.py"), *arguments, "--output", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    record = folder / "autotune.json"
    wait_for(lambda: record.exists() and len(json.loads(record.read_text())["trials"]) >= 3, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in err
    assert err.splitlines()[-1] == f"stopped by SIGINT: saved; continue with --resume {folder}"
    assert not (folder / "best").exists()
    assert run("--resume", folder)[0] == 0 and run(*arguments, "--output", tmp_path / "whole")[0] == 0
    assert trials_in(folder) == trials_in(tmp_path / "whole")
    assert weights(folder / "best") == weights(tmp_path / "whole" / "best")


@pytest.mark.parametrize("text, seconds", [("90s", 90), ("5m", 300), ("1h", 3600), ("45", 45), ("1.5m", 90)])
def test_durations(text, seconds):
    assert seconds_in(text) == seconds


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--autotune", "5x"], "--autotune 5x: expected a time such as 90s, 5m or 1h"),
        (["--autotune", "0"], "--autotune 0: expected a time"),
        (["--autotune", "-5m"], "--autotune -5m: expected a time"),
        (["--autotune", "m"], "--autotune m: expected a time"),
        (["--trials", "6"], "--trials 6: expected a whole number from 7"),
        (["--trials", "x"], "--trials x: expected a whole number from 7"),
        (["--trials", "7", "--autotune", "5m"], "give one of the two"),
        (["--jobs", "2"], "--jobs: goes with --autotune or --trials"),
        (["--trials", "7", "--tensorboard", "x"], "--tensorboard cannot be given"),
        (["--trials", "7", "--set", "validation_fraction=0"], "validation_fraction: is 0"),
        (["--trials", "7", "--output", "."], "holds something already"),
    ],
)
def test_bad_values_are_one_line(tmp_path, options, run, here, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*options, *arguments)
    assert code == 2 and len(err.splitlines()) == 1 and words in err, err
    assert not here and not (tmp_path / "runs").exists()


def test_resumed_searches_take_no_other_settings(tmp_path, options, run, here):
    (tmp_path / "s").mkdir()
    write_json(tmp_path / "s" / "autotune.json", {"device": "cpu"})
    assert "takes the run's own settings, so --epochs" in run("--resume", tmp_path / "s", "--epochs", "3")[2]
    code, _, err = run("--resume", tmp_path / "s")
    assert code == 2 and re.search(r"autotune.json: lacks settings", err)


def test_a_search_of_an_older_version(tmp_path, learned, run, here):
    """Its rounds would be others now: it can only be continued where nothing is left to be searched."""
    path = learned[0] / "autotune.json"
    record = {name: value for name, value in json.loads(path.read_text()).items() if name not in ("format", "given")}
    write_json(path, {**record, "best": None})
    code, _, err = run("--resume", learned[0])
    assert code == 2 and err.startswith("error: ") and "another version of the program; begin a new search" in err
    write_json(path, record)
    assert run("--resume", learned[0])[0] == 0


def test_nothing_to_try_is_an_error(tmp_path, options, run, here, monkeypatch):
    monkeypatch.setitem(SEARCH_SPACE, "wave", {"dimension": (8, 16)})
    code, _, err = run(*options, "--trials", "7", "--output", tmp_path / "s")
    assert code == 2 and "every setting that could be tried is given" in err and not (tmp_path / "s").exists()


def test_help_names_the_search():
    (command,) = [command for command in train.cli.lazy.values() if command.name == "train"]
    names = {option for parameter in command.loaded.params for option in parameter.opts}
    assert {"--autotune", "--trials", "--jobs"} <= names
