"""What is measured of a model at a length, and what is not."""

import json

import numpy as np
import pytest

from engine.benchmark.timing import HostClock
from layers.experiments.complexity import MODELS, batch_of, measure
from layers.experiments.complexity.measure import Measurement, Subject, main, predicted_seconds
from layers.networks.costs import step_flops

RATE = 1e9


def subject(model="modulation", **options):
    return Subject(model, "cpu", 64, RATE, **options)


def row(operations, seconds, length=10, **fields):
    """A Measurement of so many operations, taken in so many seconds."""
    return Measurement("modulation", 1, length, 100, operations, 0, 1, seconds=[seconds], **fields)


@pytest.mark.parametrize("model", MODELS)
def test_a_row_holds_what_was_counted_and_measured(small, model):
    s = subject(model)
    found = s.measure(2, 5)
    assert (found.model, found.texts, found.length, found.why_not) == (model, 2, 5, None)
    assert (found.forward, found.backward) == step_flops(
        s.network, batch_of(2, 5)
    ) and found.operations == found.forward + found.backward
    assert found.parameters == s.network.parameter_count()
    assert (
        12 * found.parameters < found.state_bytes < 13 * found.parameters + 10_000
    )  # value, m and v, and when a row was last met
    assert found.kept_bytes + found.state_bytes < found.peak_bytes
    assert len(found.seconds) == measure.UPDATES and 0 < found.mixing_seconds < max(found.seconds)
    assert s.measured == [found]


def test_a_warm_up_comes_first_and_does_not_count(small, monkeypatch):
    updates, update = [], measure.update
    monkeypatch.setattr(measure, "update", lambda *args: updates.append(args[2]) or update(*args))
    found = subject().measure(1, 5)
    assert len(updates) == 1 + measure.UPDATES == 1 + len(found.seconds)


def test_one_update_is_timed_and_none_after_enough(small, monkeypatch):
    for seconds, expected in ((100.0, 1), (measure.ENOUGH - 1, 2), (1e-3, measure.UPDATES)):
        monkeypatch.setattr(HostClock, "seconds", lambda self, run, seconds=seconds: run() and seconds)
        assert subject().measure(1, 5).seconds == [seconds] * expected


def test_on_a_device_the_mixing_has_an_update_of_its_own(small, monkeypatch):
    s, steps = subject(), []
    batch = batch_of(1, 5)
    waits = []
    monkeypatch.setattr(HostClock, "synchronize", lambda self: waits.append(len(steps)))
    monkeypatch.setattr(measure, "clock_of", lambda device: HostClock())
    s.device = "cuda"
    seconds, mixing = s.times(lambda: steps.append(1) or s.network.loss_backward(s.network.loss_forward(batch)[1]))
    assert len(steps) == measure.UPDATES + 1 == len(seconds) + 1 and mixing > 0
    assert set(waits) == {measure.UPDATES + 1}, "nothing waits for the device while updates are timed"


@pytest.mark.thorough
@pytest.mark.parametrize("model", MODELS)
def test_bytes_saved_at_a_further_length_follow_from_two(small, model):
    s = subject(model)
    assert s.saved_bytes_at(9) is None
    s.measure(2, 3)
    assert s.saved_bytes_at(9) is None
    s.measure(2, 5)
    assert s.saved_bytes_at(9) == s.measure(2, 9).kept_bytes > 0


def test_bytes_kept_of_words_do_not_follow(small):
    s = subject(tokens="words")
    for length in (10, 20):
        assert s.measure(2, length).kept_bytes
    assert s.saved_bytes_at(40) is None


def test_updates_that_would_take_too_long_are_only_counted(small):
    s = subject("transformer-1", budget=1e-9)
    s.measured = [row(10, 1e-10, 3, kept_bytes=300, state_bytes=1), row(20, 2e-10, 5, kept_bytes=500, state_bytes=1)]
    found = s.measure(1, 9)
    assert (
        found.why_not == "about 0.00 s an update" and found.seconds is found.peak_bytes is found.update_seconds is None
    )
    assert found.operations > 0 and found.mixing > 0 and found.kept_bytes == 900
    assert len(s.measured) == 2 and s.skip_reason(row(10**11, 1.0)) == "about 100 s an update"


def test_what_is_larger_than_the_memory_is_only_counted(small, monkeypatch):
    s = subject()
    s.measure(1, 3), s.measure(1, 5)
    monkeypatch.setattr(measure, "memory_bytes", lambda: s.saved_bytes_at(64) + s.measured[-1].state_bytes - 1)
    assert s.measure(1, 64).why_not == "more than 0 GiB of memory" and s.measure(1, 63).why_not is None


def test_what_does_not_fit_is_said_so(small, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(measure, "update", full)
    found = subject().measure(1, 5)
    assert found.why_not == "it does not fit into the memory" and found.seconds is None and found.operations > 0


def test_a_number_that_is_not_finite_measures_nothing(small, monkeypatch):
    s = subject()
    monkeypatch.setattr(s.training, "has_stopped", lambda: True)
    with pytest.raises(ArithmeticError, match="modulation came to a number that is not finite at 5 tokens"):
        s.measure(1, 5)


def test_the_state_of_all_rows_is_there_and_as_it_was(small):
    s = subject()
    s.measure(1, 5)
    moved = np.flatnonzero(s.optimizer.state["embedding.table"]["v"].any(axis=1))
    assert moved.tolist() == sorted(batch_of(1, 5).ids.tolist())


def test_seconds_are_predicted_at_the_last_known_rate():
    assert predicted_seconds(5e9, [], RATE) == 5
    assert predicted_seconds(5e9, [row(1e9, 3.0)], RATE) == 3 + 4
    assert predicted_seconds(5e9, [row(9, 9.0), row(1e9, 3.0), row(2e9, 5.0)], RATE) == 5 + 3 * 2
    assert predicted_seconds(5e9, [row(1e9, 3.0), row(2e9, 3.1)], RATE) == 3.1 + 3, "no faster than a product"
    assert predicted_seconds(5e9, [row(1e9, 3.0), row(2e9, 2.0)], RATE) == 2 + 3


def test_the_process_prints_a_line_for_each_length(small, capsys):
    main(
        ["modulation", "cpu", "2", "9", "3", "--rate", "1e9", "--budget", "1e9", "--threads", "1", "--tokens", "words"]
    )
    rows = [Measurement(**json.loads(line)) for line in capsys.readouterr().out.splitlines()]
    assert [(found.length, found.texts, found.why_not) for found in rows] == [(3, 2, None), (9, 2, None)]
    main(["modulation", "cpu", "1", "9", "--rate", "1", "--budget", "0"])
    assert "s an update" in json.loads(capsys.readouterr().out)["why_not"]
