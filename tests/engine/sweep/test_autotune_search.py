"""The logic of a search, with functions in place of trainings."""

import math
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sweep.autotune_search import SPLITS, WIDTHS, OutOfTime, search, trials_of, width_within
from engine.sweep.autotune_space import Space
from tests.support.examples import examples

ROWS = {"a": (1, 2, 3), "b": ("x", "y"), "c": (True,), "d": (0.1, 0.2)}  # beside the values at the start


class Trainer:
    """Trains within a number of trials. score(point, share, split); done: the trials, widths: of the rounds."""

    def __init__(self, score, trials=None, stop_at=None):
        self.score, self.trials, self.stop_at = score, trials, stop_at
        self.done, self.widths = [], []

    def train(self, trials):
        if self.stop_at is not None and len(self.done) + len(trials) > self.stop_at:
            raise OutOfTime
        self.done += trials
        return [self.score(trial.point, trial.share, trial.split) for trial in trials]

    def width(self, last, centre):
        width = width_within(self.trials - len(self.done), last)
        self.widths += [width] * bool(width)
        return width


def tried(trainer):
    """The distinct points, in their order."""
    points = []
    for trial in trainer.done:
        if trial.point not in points:
            points.append(trial.point)
    return points


def quality(weights):
    """A function of a point alone: the sum of a weight for each of its settings."""
    return lambda point: sum(weights[hash_of(name, value)] for name, value in point.items())


def hash_of(name, value):
    return (list(ROWS).index(name) * 7 + ROWS[name].index(value)) % 12


def run(score, trials, seed=0, rows=None, **more):
    trainer = Trainer(score, trials, **more)
    best = search(
        Space(ROWS if rows is None else rows, seed, lambda point: True), trainer.train, trainer.width, lambda best: 0.0
    )
    return best, trainer


WEIGHTS = st.lists(st.floats(-1, 1), min_size=12, max_size=12)


@examples(100)
@given(WEIGHTS, st.integers(2, 60), st.integers(0, 5))
def test_without_noise_the_best_point_wins(weights, trials, seed):
    """Scores that depend on the point alone: the best of all that were tried is found, whatever its round."""
    good = quality(weights)
    best, trainer = run(lambda point, share, split: good(point), trials, seed)
    assert good(best.point) == max(map(good, tried(trainer)))
    assert best.scores == [good(best.point)] * SPLITS


@examples(40)
@given(st.integers(2, 80), st.integers(0, 3))
def test_the_number_of_trainings_is_as_computed(trials, seed):
    _, trainer = run(lambda point, share, split: -len(point), trials, seed)
    assert len(trainer.done) == SPLITS + sum(map(trials_of, trainer.widths)) <= trials
    assert trials - len(trainer.done) < trials_of(WIDTHS[-1])
    assert trainer.widths == sorted(trainer.widths, reverse=True) and trainer.widths.count(WIDTHS[-1]) <= 2
    again = run(lambda point, share, split: -len(point), len(trainer.done), seed)[1]
    assert again.done == trainer.done  # the number alone says which trainings they are


def test_a_round_of_nine_is_trained_in_thirds():
    """Nine points on a ninth, three on a third, and one in full on each split."""
    _, trainer = run(lambda point, share, split: 0.0, 16)
    assert [(trial.share, trial.split) for trial in trainer.done] == [
        *[(1, split) for split in range(SPLITS)],
        *[(1 / 9, 0)] * 9,
        *[(1 / 3, 0)] * 3,
        *[(1, split) for split in range(SPLITS)],
    ]
    assert trials_of(9) == 14 and trials_of(3) == 5
    assert trainer.done[0].point == {} and trainer.done[-1].point == {"a": 1}  # of equal scores the first


def test_the_first_round_changes_one_setting_at_a_time():
    """The first value of each row before any second one."""
    _, trainer = run(lambda point, share, split: 0.0, 16)
    singles = [{"a": 1}, {"b": "x"}, {"c": True}, {"d": 0.1}, {"a": 2}, {"b": "y"}, {"d": 0.2}, {"a": 3}]
    assert tried(trainer)[1:9] == singles and len(tried(trainer)) == 10


@examples(40)
@given(WEIGHTS, st.integers(16, 60), st.integers(0, 5))
def test_the_same_seed_searches_the_same(weights, trials, seed):
    good = quality(weights)
    score = lambda point, share, split: good(point) + share + split / 7  # noqa: E731
    first, second = (run(score, trials, seed) for _ in range(2))
    assert first[0] == second[0] and first[1].done == second[1].done


def test_another_seed_draws_other_points():
    draws = [tried(run(lambda point, share, split: 0.0, 30, seed)[1]) for seed in (0, 1)]
    assert draws[0][:9] == draws[1][:9] and draws[0] != draws[1]


def test_no_point_is_tried_twice_and_a_space_ends():
    """Two fields with one other value each have three points beside the start."""
    rows = {"a": (1,), "b": ("x",)}
    best, trainer = run(lambda point, share, split: len(point), 500, rows=rows)
    assert len(tried(trainer)) == 4 and best.point == {"a": 1, "b": "x"} and len(trainer.done) < 20


@pytest.mark.parametrize("stop_at", range(0, 31))
def test_when_the_time_is_up_whole_rounds_decide(stop_at):
    """Later points are better here: the last whole round gives the best."""
    order = {}
    score = lambda point, share, split: order.setdefault(str(point), len(order))  # noqa: E731
    best, trainer = run(score, 60, stop_at=stop_at)
    full = [trial.point for trial in trainer.done if trial.share == 1]
    assert best.point == (full[-1] if full else {}) and len(trainer.done) <= stop_at


def test_points_that_fail_are_never_kept():
    """Not even where all of a round fail."""
    best, trainer = run(lambda point, share, split: -math.inf if point else 0.5, 60)
    assert best.point == {} and len(trainer.done) > 30 and mean(best.scores) == 0.5


def test_a_margin_keeps_the_start():
    """Points that are better by less than the margin do not take its place."""
    for margin, kept in ((0.3, {}), (0.1, {"a": 1})):
        trainer = Trainer(lambda point, share, split: 0.2 * bool(point), 16)
        best = search(
            Space(ROWS, 0, lambda point: True), trainer.train, trainer.width, lambda best, margin=margin: margin
        )
        assert best.point == kept


def with_first(score, trials, **more):
    """(best, trainer) of a search in which two points are tried first."""
    trainer = Trainer(score, trials, **more)
    space = Space(ROWS, 0, lambda point: True, [{"a": 2, "b": "x"}, {"c": True}])
    return search(space, trainer.train, trainer.width, lambda best: 0.3), trainer


def test_first_points_are_trained_in_full_and_need_no_margin():
    """The best of them is the centre of the first round."""
    scores = {"a": 0.2, "b": 0.0, "c": 0.1}
    best, trainer = with_first(lambda point, share, split: sum(scores.get(name, -1) for name in point), 20)
    assert best == ({"a": 2, "b": "x"}, [0.2, 0.2])
    assert [(trial.point, trial.share, trial.split) for trial in trainer.done[2:6]] == [
        *[({"a": 2, "b": "x"}, 1, split) for split in range(SPLITS)],
        *[({"c": True}, 1, split) for split in range(SPLITS)],
    ]
    assert trainer.widths == [1, 1, 1, 1, 9] and not any(len(trial.point) == 1 for trial in trainer.done[6:9])


@pytest.mark.parametrize("stop", [{"trials": 3}, {"trials": 30, "stop_at": 3}])
@pytest.mark.parametrize("score, kept", [(0.9, {}), (1.1, {"a": 2, "b": "x"})])
def test_a_first_point_is_judged_by_the_splits_that_it_has(stop, score, kept):
    """Against the same splits of the start, here 1.0 and then 5.0."""
    best, trainer = with_first(lambda point, share, split: score if point else (1.0, 5.0)[split], **stop)
    assert best.point == kept and len(trainer.done) == 3


@pytest.mark.parametrize("stop", [{"trials": 2}, {"trials": 30, "stop_at": 2}])
def test_without_time_for_a_first_point_the_start_is_kept(stop):
    best, trainer = with_first(lambda point, share, split: float(bool(point)), **stop)
    assert best.point == {} and len(trainer.done) == 2


def test_where_a_first_point_lacks_a_split_the_search_ends():
    """Smaller trainings might still fit in the time, but not be repeated by their number."""
    trainer = Trainer(lambda point, share, split: 0.0)
    widths = iter([1, 0, 9, 9])
    search(Space(ROWS, 0, lambda point: True, [{"a": 2}]), trainer.train, lambda *_: next(widths), lambda best: 0.0)
    assert len(trainer.done) == 3 and next(widths) == 9
