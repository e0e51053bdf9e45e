"""Interrupted runs end as if they had never been interrupted."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from engine.training.trainer import Trainer
from tests.support.final_state import final_state
from tests.support.paths import ROOT

pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")


def start(arguments, **more):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment, cwd=ROOT, **more,
    )  # fmt: skip


def wait_for_steps(path, process, steps=40):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and path.read_text().count("\n") >= steps:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {steps} steps in 60 s: {process.communicate()}")


@pytest.fixture
def long_arguments(arguments):
    return [*arguments, "--set", "dropout=0.2", "--batch-size", "4", "--epochs", "30", "--set", "patience=0"]


@pytest.mark.parametrize(
    "number, code", [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.thorough)]
)
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path, long_arguments, run, number, code):
    assert run(*long_arguments, "--output", tmp_path / "whole")[0] == 0
    process = start([*long_arguments, "--output", tmp_path / "cut"])
    wait_for_steps(tmp_path / "cut" / "metrics.jsonl", process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert err.splitlines()[-1] == f"stopped by {number.name}: saved; continue with --resume {tmp_path / 'cut'}"
    assert "Traceback" not in err
    assert not (tmp_path / "cut" / "result.json").exists()
    assert run("--resume", tmp_path / "cut")[0] == 0
    assert final_state(tmp_path / "cut") == final_state(tmp_path / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="needs terminals as POSIX has them")
def test_a_closed_terminal_saves_the_run(tmp_path, long_arguments):
    """Although nothing can be written there any more, neither a bar nor the last line."""
    import fcntl
    import pty
    import termios

    def take_terminal():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    master, slave = pty.openpty()
    command = [sys.executable, str(ROOT / "train.py"), *map(str, long_arguments), "--output", str(tmp_path / "cut")]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environment, preexec_fn=take_terminal
    )
    os.close(slave)
    wait_for_steps(tmp_path / "cut" / "metrics.jsonl", process)
    os.close(master)
    assert process.wait(timeout=60) == 129
    state = json.loads((tmp_path / "cut" / "checkpoints" / "last" / "state.json").read_text())
    assert state["step"] == len((tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()) > 40


@pytest.mark.thorough
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, long_arguments, run):
    """It leaves only whole files."""
    long_arguments = [*long_arguments, "--set", "checkpoint_seconds=0"]
    assert run(*long_arguments, "--output", tmp_path / "whole")[0] == 0
    process = start([*long_arguments, "--output", tmp_path / "cut"])
    wait_for_steps(tmp_path / "cut" / "metrics.jsonl", process, 200)
    process.kill()
    process.communicate(timeout=60)
    state = json.loads((tmp_path / "cut" / "checkpoints" / "last" / "state.json").read_text())
    assert state["step"] > 0
    code, _, err = run("--resume", tmp_path / "cut")
    assert code == 0, err
    assert final_state(tmp_path / "cut") == final_state(tmp_path / "whole")


@pytest.fixture
def of_a_transformer(files):
    """Arguments of a training of 14 steps in two epochs, with all kinds of dropout that a Transformer has."""
    data = [
        "--train-file",
        files["train"],
        "--test-file",
        files["test"],
        "--vocabulary-size",
        "200",
        "--epochs",
        "2",
        "--batch-size",
        "8",
    ]
    fields = ("heads=2", "hidden=8", "blocks=2", "dropout=0.2", "max_tokens=16", "positions=16", "patience=0")
    return [
        *data,
        "--model",
        "transformer",
        "--dimension",
        "8",
        *(part for field in fields for part in ("--set", field)),
    ]


@pytest.mark.parametrize("at", [1, 3, 7, 10])
def test_a_stopped_transformer_resumes_to_the_same_bits(tmp_path, of_a_transformer, run, monkeypatch, at):
    """At the first step, within an epoch, at its end, and in the next."""

    def pressing(self, *given):
        if self.progress.step == at - 1:
            os.kill(os.getpid(), signal.SIGINT)
        step(self, *given)

    assert run(*of_a_transformer, "--output", tmp_path / "whole")[0] == 0
    step = Trainer.train_step
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_step", pressing)
        code, _, err = run(*of_a_transformer, "--output", tmp_path / "cut")
    assert (
        code == 130 and err.splitlines()[-1] == f"stopped by SIGINT: saved; continue with --resume {tmp_path / 'cut'}"
    )
    assert len((tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()) == at
    assert run("--resume", tmp_path / "cut")[0] == 0
    arrays, lines = final_state(tmp_path / "cut")
    assert (arrays, lines) == final_state(tmp_path / "whole") and len(lines) == 14


def test_resuming_a_finished_run_says_so_and_changes_nothing(trained, run):
    before = final_state(trained)
    code, out, _ = run("--resume", trained)
    assert code == 0 and "finished already" in out
    assert final_state(trained) == before


def test_a_run_resumes_on_its_own_device_unless_another_is_given(trained, run, monkeypatch):
    (trained / "result.json").unlink()
    config = trained / "config.toml"
    config.write_text(config.read_text().replace('device = "cpu"', 'device = "cuda"'))
    monkeypatch.setattr("engine.arrays.backend.why_no_cuda", lambda: "no CUDA device is usable")
    code, _, err = run("--resume", trained)
    assert code == 2 and "--device cuda" in err
    assert run("--resume", trained, "--device", "cpu")[0] == 0


def test_resume_refuses_other_settings(trained, run):
    code, _, err = run("--resume", trained, "--batch-size", "9")
    assert code == 2 and "--batch-size" in err


def interrupted(*_, **__):
    raise KeyboardInterrupt


def test_ctrl_c_tells_of_resume_only_where_there_is_that_option(run, monkeypatch):
    for place in (
        "engine.cuda.doctor.examine",
        "engine.commands.train.chosen_settings",
        "engine.commands.inspect.require_nothing_but",
        "engine.sweep.run.read_sweep",
    ):
        monkeypatch.setattr(place, interrupted)
    saved = "; what was saved before can be continued with --resume"
    for command in (["doctor"], ["describe", "run"], [], ["--epochs", "1"], ["train"], ["sweep", "--resume", "x"]):
        code, out, err = run(*command)
        assert (code, out, err.strip()) == (
            130,
            "",
            "stopped by SIGINT at once" + ("" if command[:1] in (["doctor"], ["describe"]) else saved),
        )


@pytest.mark.parametrize("program", [[ROOT / "train.py"], ["-m", "wave_network"]])
def test_ctrl_c_during_the_imports_ends_without_a_word(tmp_path, program):
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    command = [sys.executable, *program, "corpora"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, env=environment)
    assert (process.returncode, process.stdout, process.stderr) == (-signal.SIGINT, b"", b"")


def test_ctrl_c_is_heard_again_when_the_imports_are_done(run):
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        run("corpora")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
