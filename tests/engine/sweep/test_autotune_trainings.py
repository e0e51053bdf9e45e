"""The trainings of a search: noted, not repeated, ended when the time is up. Jobs are done by functions, at once."""

import math
from types import SimpleNamespace

import pytest

from engine.support.errors import UserError
from engine.support.files import read_json, write_json
from engine.sweep import autotune_clock, autotune_trainings
from engine.sweep.autotune_search import Best, OutOfTime, Trial
from engine.sweep.autotune_trainings import RECORD, Trainings, point_text
from engine.sweep.jobs import Ended
from engine.sweep.setup import Setup
from engine.training.run_settings import layered_settings

POLL = 0.5  # seconds that pass with each look at a job


class Clock:
    """Stands for the module time."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


class Launcher:
    """Jobs that take some seconds. reasons: {name of a job: why it fails}."""

    def __init__(self, clock, seconds=2.0, **reasons):
        self.clock, self.seconds, self.reasons, self.started, self.stopped = clock, seconds, reasons, [], []

    def has_room(self, running):
        return running < 1

    def start(self, job):
        self.started.append(job)

        def poll():
            if job.name in self.stopped:
                return Ended("stopped")
            self.clock.now += POLL
            if self.clock.now >= end:
                write_json(job.message["output"], {"validation": 0.5, "texts": 50, "seconds": 1.5})
                return Ended(self.reasons.get(f"job{job.name}"))

        end = self.clock.now + self.seconds
        return SimpleNamespace(poll=poll, stop=lambda: self.stopped.append(job.name), kill=lambda: None)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (autotune_clock, autotune_trainings):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def make(tmp_path, choices, clock):
    """make(budget, trials=[], **of the Launcher) → (Trainings, Launcher), of a record in tmp_path."""

    def make(seconds=None, trials=None, known=(), widths=(), **more):
        (tmp_path / "logs").mkdir(exist_ok=True)
        budget = {"seconds": seconds, "trials": trials}
        record = {
            "seconds": 0.0,
            "trials": list(known),
            "widths": list(widths),
            "budget": budget,
            "given": [],
            "first": [],
        }
        launcher = Launcher(clock, **more)
        setup = Setup(choices, [], log=lambda line: None)
        settings = layered_settings(choices, None, [{"seed": 5}])
        return Trainings(record, settings, tmp_path, setup, launcher, 1), launcher

    return make


FULL = [Trial({}, 1.0, 0), Trial({}, 1.0, 1)]


def test_trainings_are_noted_and_not_repeated(make, tmp_path):
    trainings, launcher = make(trials=9)
    assert trainings.train(FULL) == [0.5, 0.5] and trainings.train([Trial({"ngrams": 3}, 1 / 3, 0)]) == [0.5]
    jobs = [job.message for job in launcher.started]
    assert [job["settings"]["training"]["seed"] for job in jobs] == [5, 6, 5]
    assert [job["settings"]["data"]["ngrams"] for job in jobs] == [2, 2, 3]
    record = read_json(tmp_path / RECORD)
    assert record["trials"][2] == {
        "number": 3, "point": {"ngrams": 3}, "share": 1 / 3, "seed": 5,
        "validation": 0.5, "texts": 50, "training_seconds": 1.5, "seconds": 2.0,
    }  # fmt: skip
    again, launcher = make(trials=9, known=record["trials"])
    assert again.train(FULL) == [0.5, 0.5] and not launcher.started
    again.train([Trial({"ngrams": 1}, 1 / 3, 0)])  # another point than in the record
    assert len(launcher.started) == 1


def test_a_failure_is_the_worst_score_but_not_of_the_start(make):
    trainings, _ = make(trials=9, job3="diverged")
    trainings.train(FULL)
    assert trainings.train([Trial({"ngrams": 3}, 1.0, 0), Trial({"ngrams": 3}, 1.0, 1)]) == [-math.inf, 0.5]
    assert trainings.known[3]["reason"] == "diverged" and trainings.full_seconds() == [2.0, 2.0, 2.0]
    trainings, _ = make(trials=9, job1="diverged")
    with pytest.raises(UserError, match="diverged"):
        trainings.train(FULL)


@pytest.mark.parametrize("budget, done, started", [(1.0, 0, 1), (3.0, 1, 1), (6.9, 2, 3), (9.0, 3, 4)])
def test_when_the_time_is_up_jobs_end(make, budget, done, started):
    """A training takes 2 s, and one more has its time kept for it."""
    trainings, launcher = make(seconds=budget)
    with pytest.raises(OutOfTime):
        trainings.train(FULL)
        trainings.train([Trial({"ngrams": n}, 1 / 3, 0) for n in (1, 3, 4)])
    assert (len(trainings.known), len(launcher.started)) == (done, started)
    assert trainings.completed == (2 if done >= 2 else 0)
    assert trainings.elapsed() <= budget + 2.0


def test_rounds_are_as_wide_as_the_time_allows(make):
    """A training takes 2 s, of which 1.5 s are for its steps: 13 s for nine points, 7 s for three."""
    for left, width in ((12.9, 3), (13.1, 9), (6.9, 0), (7.1, 3)):
        trainings, _ = make(seconds=4 + 2 + left)
        trainings.train(FULL)
        assert trainings.round_seconds(9, {}) == pytest.approx(9 * 0.5 + 1.5 + 3 * 0.5 + 1.5 + 4.0)
        assert trainings.width(9, {}) == width
        assert trainings.record["widths"] == [width] * bool(width)
    trainings, _ = make(seconds=1e9, widths=[9, 3, 3])
    trainings.train(FULL)
    assert [trainings.width(3, {}) for _ in range(4)] == [9, 3, 3, 0]  # as recorded, and no third narrow one


def test_rounds_are_those_of_a_number_of_trainings(make):
    trainings, _ = make(trials=2 + 14 + 5)
    trainings.train(FULL)
    assert [trainings.width(9, {}), trainings.width(9, {}), trainings.width(3, {})] == [9, 3, 0]
    assert (trainings.planned, trainings.completed) == (21, 2)


def test_the_margin_is_a_standard_error(make):
    trainings, _ = make(trials=9)
    trainings.train(FULL)
    assert trainings.margin(Best({}, [0.8, 0.6])) == pytest.approx(math.sqrt(0.7 * 0.3 / 100))


def test_a_first_point_needs_the_time_of_the_longest_training_twice(make):
    """Once for itself, once for the run that is kept; of a number of trainings it takes one."""
    for left, width in ((1.9, 0), (2.1, 1)):
        trainings, _ = make(seconds=4 + 2 + left)
        trainings.train(FULL)
        assert trainings.width(1, {}) == width and trainings.record["widths"] == [1] * width
    trainings, _ = make(trials=3)
    trainings.train(FULL)
    assert [trainings.width(1, {}), trainings.width(1, {})] == [1, 0] and trainings.completed == 2
    trainings.train([Trial({"ngrams": 3}, 1.0, 0)])
    assert trainings.completed == 3


def test_a_round_takes_the_time_of_trainings_like_its_centre(make):
    trainings, _ = make(trials=9)
    trainings.train(FULL)
    slow = {"share": 1, "point": {"ngrams": 3}, "seconds": 9.0, "training_seconds": 8.0}
    trainings.known.update({7: {**slow, "number": 7}, 8: {**slow, "number": 8, "seconds": 10.0}})
    assert trainings.round_seconds(3, {}) == pytest.approx(3 * 0.5 + 1.5 + 4.0)
    assert trainings.round_seconds(3, {"ngrams": 3}) == pytest.approx(3 * (2.0 + 8.0 / 3) + 2 * 10.0)


@pytest.mark.parametrize(
    "point, text",
    [
        ({}, "as given"),
        ({"a": 1}, "a=1"),
        ({"a": 1, "b": "x", "epochs": 3, "step_budget": 9}, "first"),
        ({"a": 1, "b": "y", "epochs": 3, "step_budget": 9, "c": True}, "first b=y c=true"),
        ({"a": 1, "b": "x", "c": 2, "epochs": 3}, "first c=2"),
        ({"b": "x", "epochs": 3, "step_budget": 9}, "first without a"),
        ({"a": 2, "epochs": 12}, "a=2 epochs=12"),
    ],
)
def test_a_point_is_told_by_what_differs_from_the_first(point, text):
    first = {"a": 1, "b": "x", "epochs": 3, "step_budget": 9}
    assert point_text(point, [first]) == text and point_text(point) != "first"
