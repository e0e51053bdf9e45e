"""Several validations within an epoch: where they are, the best checkpoint, patience, and continued trainings."""

import signal

import pytest

from engine.training import trainer as trainer_module
from engine.training.checkpoint import Progress, load_checkpoint, progress_of
from engine.training.interrupt import Interrupted
from tests.engine.training.test_observers import Recorder
from tests.engine.training.test_trainer import (
    DATA,
    STEPS,
    STEPS_PER_EPOCH,
    TRAINING,
    Killed,
    build,
    final,
    metrics,
    send,
    with_validation,
)

pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")

POINTS = [3, 5, 8, 10, 13, 15]  # of three epochs of five steps with two validations each


@pytest.mark.parametrize(
    "validations, batches, points",
    [
        (1, 5, [5]),
        (2, 5, [3, 5]),
        (4, 77, [19, 39, 58, 77]),
        (9, 3, [1, 2, 3]),
        (10**9, 2, [1, 2]),
        (2, 1, [1]),
        (0, 999, [999]),
        (0, 1000, [500, 1000]),
        (0, 1501, [500, 1001, 1501]),
        (0, 10**6, [250_000, 500_000, 750_000, 10**6]),
    ],
)
def test_validations_are_spread_over_an_epoch(validations, batches, points):
    assert TRAINING.replace(validations=validations).validations_over(batches) == points


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an uninterrupted run with two validations an epoch leaves behind."""
    trainer = build(tmp_path_factory.mktemp("whole") / "run", validations=2)
    trainer.train()
    return final(trainer)


def test_each_validation_stands_at_its_step(tmp_path, whole):
    *_, lines = whole
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert [line["step"] for line in lines if "validation_loss" in line] == POINTS


def counted(monkeypatch):
    """A list that grows with each validation."""
    calls, evaluate = [], trainer_module.evaluate_and_decide
    monkeypatch.setattr(trainer_module, "evaluate_and_decide", lambda *given: calls.append(1) or evaluate(*given))
    return calls


@pytest.mark.parametrize("at", [2, 3, 4, 5, 8, 9])
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path, whole, monkeypatch, at):
    """And validates nothing twice: at 3 and 8 it stops right after a validation within an epoch."""
    calls = counted(monkeypatch)
    with pytest.raises(Interrupted):
        build(tmp_path / "run", send(signal.SIGTERM, at), validations=2).train()
    assert len(calls) == sum(point <= at for point in POINTS)
    second = build(tmp_path / "run", validations=2)
    second.resume()
    assert (second.progress.step, second.progress.batch) == (at, at % STEPS_PER_EPOCH)
    second.train()
    assert final(second) == whole and len(calls) == len(POINTS)


@pytest.mark.parametrize("at", [4, 9])
def test_a_run_killed_after_a_validation_resumes_to_the_same_bits(tmp_path, whole, at):
    """The best checkpoint is then newer than the last."""

    def die(step):
        if step == at:
            raise Killed

    with pytest.raises(Killed):
        build(tmp_path / "run", die, validations=2).train()
    second = build(tmp_path / "run", validations=2)
    if at > STEPS_PER_EPOCH:
        second.resume()
    else:
        second.run.cut_metrics(0)
    second.train()
    assert final(second) == whole


@pytest.mark.parametrize(
    "accuracies, patience, ended, best",
    [
        ([0.5, 0.9, 0.8, 0.8, 0.8, 0.8], 1, 10, 5),
        ([0.9, 0.5, 0.8, 0.8, 0.8, 0.8], 1, 8, 3),
        ([0.5, 0.6, 0.9, 0.8, 0.8, 0.95], 1, 13, 8),
        ([0.5, 0.6, 0.9, 0.8, 0.8, 0.95], 2, 15, 15),
        ([0.5, 0.9, 0.8, 0.8, 0.8, 0.8], 0, 15, 5),
    ],
)
def test_patience_ends_a_training_within_an_epoch(tmp_path, monkeypatch, accuracies, patience, ended, best):
    """It is a number of epochs, so of twice as many validations; a run that has ended has nothing left to do."""
    with_validation(monkeypatch, accuracies)
    seen = Recorder()
    trainer = build(tmp_path / "run", validations=2, patience=patience)
    trainer.observers = trainer.metrics.observers = [seen]
    trainer.train()
    assert trainer.progress.step == ended and load_checkpoint(trainer.run.best, ("weights",))[0]["step"] == best
    assert trainer.progress.best_epoch == best / STEPS_PER_EPOCH
    assert [end.step for end in seen.ends] == POINTS[: POINTS.index(ended) + 1]
    assert [end.epoch for end in seen.ends] == [step / STEPS_PER_EPOCH for step in POINTS[: len(seen.ends)]]
    assert [end.steps_left for end in seen.ends] == [STEPS - end.step for end in seen.ends[:-1]] + [0]
    texts = len(DATA.train.labels)
    assert sum(end.texts for end in seen.ends[:2]) == texts > seen.ends[0].texts > 2 * TRAINING.batch_size
    again = build(tmp_path / "run", validations=2, patience=patience)
    again.resume()
    again.train()
    assert again.progress == trainer.progress and len(metrics(again)) == ended


def test_without_validation_texts_only_epochs_end(tmp_path, monkeypatch):
    data, seen = DATA._replace(validation=None), Recorder()
    trainer = build(tmp_path / "run", data=data, validations=4)
    trainer.observers = [seen]
    trainer.train()
    assert [end.epoch for end in seen.ends] == [1, 2, 3] == [1, 2, trainer.progress.best_epoch]


def test_progress_of_earlier_versions_is_taken_back():
    """They counted the epochs without gain."""
    saved = {**vars(Progress(step=10, epoch=2, best_epoch=1)), "epochs_without_gain": 1}
    for name in ("validations_without_gain", "averaged", "best_averaged"):
        del saved[name]
    assert progress_of(saved) == Progress(step=10, epoch=2, best_epoch=1, validations_without_gain=1)
