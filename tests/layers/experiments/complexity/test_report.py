"""Exponents and savings are those of the numbers they are made of."""

import pytest

from layers.experiments.complexity.measure import Measurement
from layers.experiments.complexity.report import PAPER, exponents, savings


def row(
    model="modulation", length=10, operations=100, seconds=(1.0,), peak=1000, kept=10, mixing=1, mixing_seconds=1.0
):
    measured = (
        {} if seconds is None else {"seconds": list(seconds), "peak_bytes": peak, "mixing_seconds": mixing_seconds}
    )
    return Measurement(
        model, 1, length, 7, operations // 4, operations - operations // 4, mixing, kept_bytes=kept, **measured
    )


def test_exponents_are_slopes_over_the_upper_half():
    def at(n):  # another law below 8
        return row(
            length=n, operations=n**2 if n >= 8 else 1, mixing=n**3, seconds=[1e9, 5.0 * n, 0.0], mixing_seconds=n**0.5
        )

    found = exponents([at(n) for n in (1, 2, 4, 8, 16, 32)])
    assert found.model == "modulation" and found.lengths == [8, 16, 32]
    assert found[2:] == pytest.approx((2, 3, 1, 0.5))


def test_exponents_of_what_was_measured_leave_out_the_rest():
    rows = [
        row(length=n, operations=n * n, mixing=n, seconds=[n] if n < 16 else None, mixing_seconds=n * n)
        for n in (2, 4, 8, 16)
    ]
    assert exponents(rows).lengths == [8, 16] and exponents(rows)[2:] == (
        pytest.approx(2),
        pytest.approx(1),
        None,
        None,
    )
    assert exponents(rows[:1])[2:] == (None,) * 4
    assert exponents(rows[:2])[2:] == pytest.approx((2, 1, 1, 2)), "two lengths are enough, of any number"
    assert exponents(rows[:3]).lengths == [4, 8]


def test_savings_are_of_medians_with_a_spread_of_repeats():
    batch = {
        "modulation": [row(seconds=[s, s], peak=p, operations=10) for s, p in ((1.0, 100), (3.0, 100), (2.0, 300))],
        "bert-base": [row("bert-base", seconds=[s], peak=1000, operations=400, kept=40) for s in (10.0, 20.0, 40.0)],
    }
    (found,) = savings(batch)
    assert (found.model, found.against) == ("modulation", "bert-base")
    assert found.time == pytest.approx(1 - 2 / 20) and found.time_spread == pytest.approx((1 - 3 / 20, 1 - 2 / 40))
    assert found.memory == pytest.approx(0.9) and found.memory_spread == pytest.approx((0.7, 0.9))
    assert found.operations == pytest.approx(1 - 10 / 400) and found.kept == pytest.approx(0.75)
    assert found.paper == {"memory": 0.7734, "time": 0.8562}


def test_every_wave_network_is_held_against_all_transformers():
    found = savings({name: [row(name)] for name in ("transformer-1", "interference", "bert-base", "modulation")})
    pairs = [(r.against, r.model) for r in found]
    assert pairs == [
        (against, model) for against in ("transformer-1", "bert-base") for model in ("interference", "modulation")
    ]
    assert [r.paper for r in found] == [None, None, None, PAPER["modulation", "bert-base"]]


def test_what_was_not_measured_has_a_counted_saving_only():
    batch = {"modulation": [row(operations=1)], "bert-base": [row("bert-base", seconds=None, operations=4, kept=None)]}
    (found,) = savings(batch)
    assert found.operations == 0.75 and found[3:8] == (None,) * 5
