"""The learning rate: up in a line, down in a line."""

import pytest

from engine.training.step import learning_rate


def rates(steps, peak=2.0, warmup=0.0, final=0.0):
    return [learning_rate(step, steps, peak, warmup, final) for step in range(1, steps + 1)]


def test_the_rates_of_a_short_run_written_out():
    assert rates(8, 2.0, 0.5) == [0.5, 1.0, 1.5, 2.0, 2.0, 1.5, 1.0, 0.5]
    assert rates(4, 2.0) == [2.0, 1.5, 1.0, 0.5]
    assert rates(4, 2.0, final=0.5) == [2.0, 1.75, 1.5, 1.25]


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
def test_the_rate_rises_to_the_peak_then_falls_and_is_never_zero(steps, warmup, final):
    found = rates(steps, 2.0, warmup, final)
    top = max(1, round(warmup * steps)) - 1
    assert found[top] == max(found) == 2.0
    assert all(a < b for a, b in zip(found[:top], found[1 : top + 1]))
    assert all(a >= b for a, b in zip(found[top:], found[top + 1 :]))
    assert min(found) > 0 and found[-1] >= 2.0 * final * (1 - 1e-12)


def test_without_warm_up_and_decay_the_rate_is_constant():
    assert rates(5, 0.1, final=1.0) == pytest.approx([0.1] * 5)
