"""A line an epoch, and the curves of TensorBoard."""

import re
import signal
import sys
from pathlib import Path

import pytest

from engine.support.errors import UserError
from engine.training import observers as observers_module
from engine.training.evaluation import Evaluation
from engine.training.interrupt import Interrupted
from engine.training.observers import EpochEnd, EpochLines, TensorBoard
from engine.training.run_settings import build_settings
from engine.training.session import resume_run, start_run
from layers.networks import CONFIGS, build_network

END = EpochEnd(1, 12, 4, 44, 256, 0.5, Evaluation(0.9125, 0.5, 0.3, []))
STEPS = [{"step": step, "loss": float(step)} for step in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {},
            "epoch  1/12: loss 2.5000, validation accuracy 91.25 %, macro F1 50.00 %, 512 texts/s, 3 min 40 s left",
        ),
        ({"validation": None}, "epoch  1/12: loss 2.5000, 512 texts/s, 3 min 40 s left"),
        ({"validation": None, "steps_left": 0}, "epoch  1/12: loss 2.5000, 512 texts/s, stops early (patience)"),
        ({"epoch": 12, "steps_left": 0, "validation": None}, "epoch 12/12: loss 2.5000, 512 texts/s"),
    ],
    ids=["validation", "no validation", "patience", "last"],
)
def test_the_line_of_an_epoch(monkeypatch, changes, words):
    """The time left is that of the steps so far, here 20 s for 4."""
    clock = iter([100.0, 120.0])
    monkeypatch.setattr(observers_module.time, "perf_counter", lambda: next(clock))
    lines = []
    observer = EpochLines(lines.append)
    observer.steps(STEPS[:1])
    observer.steps(STEPS[1:])
    observer.epoch(END._replace(**changes))
    assert lines == [words]


def test_each_epoch_has_its_own_loss():
    lines = []
    observer = EpochLines(lines.append)
    for first in (0, 2):
        observer.steps(STEPS[first : first + 2])
        observer.epoch(END)
    assert [re.search(r"loss ([\d.]+)", line)[1] for line in lines] == ["1.5000", "3.5000"]


def test_a_log_that_nobody_reads_does_not_end_a_training():
    def closed(line):
        raise BrokenPipeError

    EpochLines(closed).epoch(END)


class Recorder:
    """An Observer that keeps everything."""

    def __init__(self):
        self.lines, self.ends = [], []

    def steps(self, lines):
        self.lines += lines

    def epoch(self, end):
        self.ends.append(end)


@pytest.fixture
def settings(tmp_path):
    """RunSettings of 40 texts in batches of 8, a fifth of them for validation."""
    rows = (f"{'ab'[i % 2]}\t{'red green' if i % 2 else 'one two'} w{i}\n" for i in range(40))
    (tmp_path / "train.tsv").write_text("".join(rows))
    small = {"dimension": 6, "hidden": 6, "epochs": 2, "batch_size": 8, "validation_fraction": 0.2}
    return build_settings(CONFIGS, small, {"train_file": str(tmp_path / "train.tsv"), "checkpoint_seconds": 0})


def test_a_training_tells_its_steps_and_epochs(tmp_path, settings):
    seen = Recorder()
    start_run(settings, build_network, tmp_path / "run", log=len, observers=[seen])
    assert [line["step"] for line in seen.lines] == list(range(1, 9))
    told = [(end.epoch, end.epochs, end.step, end.steps_left, end.texts) for end in seen.ends]
    assert told == [(1, 2, 4, 4, 32), (2, 2, 8, 0, 32)]
    assert all(end.seconds > 0 and 0 <= end.validation.macro_f1 <= 1 for end in seen.ends)


def test_a_training_that_patience_ends_has_no_steps_left(tmp_path, settings):
    still = {"learning_rate": 0.0, "patience": 1, "epochs": 5}
    settings, seen = settings._replace(training=settings.training.replace(**still)), Recorder()
    start_run(settings, build_network, tmp_path / "run", log=len, observers=[seen])
    assert [(end.epoch, end.steps_left) for end in seen.ends] == [(1, 16), (2, 0)]


def test_a_resumed_epoch_counts_what_was_left_of_it(tmp_path, settings):
    """Stopped after the second of four batches of 8."""

    def stop(trainer):
        if trainer.progress.step == 2:
            signal.raise_signal(signal.SIGTERM)
        return {}

    with pytest.raises(Interrupted):
        start_run(settings, build_network, tmp_path / "run", log=len, watch=stop)
    seen, lines = Recorder(), []
    resume_run(tmp_path / "run", CONFIGS, build_network, log=lines.append, observers=[seen])
    assert [line["step"] for line in seen.lines] == list(range(3, 9))
    assert [end.texts for end in seen.ends] == [16, 32]


@pytest.mark.parametrize("terminal", [False, True])
def test_lines_stand_where_no_bar_is_shown(tmp_path, settings, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    lines = []
    start_run(settings, build_network, tmp_path / "run", log=lines.append)
    assert [line.partition(":")[0] for line in lines if line.startswith("epoch")] == (
        [] if terminal else ["epoch 1/2", "epoch 2/2"]
    )


def test_a_missing_tensorboard_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match=r"^--tensorboard needs tensorboardX: pip install .*\[tensorboard\]'$"):
        TensorBoard(tmp_path / "curves", "run")
    assert not (tmp_path / "curves").exists()


def curves_in(folder):
    """({tag: [(step, value)]}, [steps from which earlier curves do not count]) of the event files of a folder."""
    from tensorboardX.proto.event_pb2 import Event

    tags, starts = {}, []
    for file in sorted(Path(folder).iterdir()):
        data, first = file.read_bytes(), 0
        while first < len(data):
            length = int.from_bytes(data[first : first + 8], "little")
            event = Event.FromString(data[first + 12 : first + 12 + length])
            first += length + 16
            for value in event.summary.value:
                tags.setdefault(value.tag, []).append((event.step, value.simple_value))
            starts += [event.step] if event.HasField("session_log") else []
    return tags, starts


def test_curves_for_tensorboard(tmp_path, settings):
    pytest.importorskip("tensorboardX")
    seen = Recorder()
    with TensorBoard(tmp_path / "curves", "run") as observer:
        start_run(settings, build_network, tmp_path / "run", log=len, observers=[observer, seen])
    tags, starts = curves_in(tmp_path / "curves" / "run")
    assert starts == [1] and set(tags) == {
        *(f"training/{name}" for name in ("loss", "accuracy", "learning_rate", "gradient_norm", "tokens_per_second")),
        *(f"validation/{name}" for name in ("accuracy", "macro_f1", "loss")),
    }
    assert tags["training/loss"] == [(line["step"], pytest.approx(line["loss"])) for line in seen.lines]
    assert tags["validation/macro_f1"] == [(end.step, pytest.approx(end.validation.macro_f1)) for end in seen.ends]


def test_curves_go_on_where_a_run_is_resumed(tmp_path):
    """Those of steps that an interrupted process had not saved do not count."""
    pytest.importorskip("tensorboardX")
    line = dict.fromkeys(observers_module.CURVES, 0.5)
    for first in (1, 3):
        with TensorBoard(tmp_path, "run") as observer:
            observer.steps([])  # of a device whose first step was not finite
            observer.steps([{**line, "step": first}, {**line, "step": first + 1}])
    with TensorBoard(tmp_path, "nothing"):
        pass
    assert sorted(curves_in(tmp_path / "run")[1]) == [1, 3]


def test_curves_that_cannot_be_written(tmp_path):
    pytest.importorskip("tensorboardX")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="^--tensorboard .*file.*: cannot be written .*; see to its permissions"):
        TensorBoard(tmp_path / "file", "run")
