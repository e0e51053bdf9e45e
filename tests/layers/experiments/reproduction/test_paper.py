"""The arithmetic of the paper's figures, and the rule of agreement."""

import pytest

from layers.experiments.reproduction.paper import (
    agreement,
    comparison,
    contradictions,
    parameter_readings,
    same,
    saving,
)


@pytest.mark.parametrize(
    "what, printed, computed, agrees",
    [
        ("memory saved (abstract), from 0.32 GB and 1.28 GB", "-77.34 %", "-75.00 %", "no"),
        ("memory saved (abstract), from 0.29 GB and 1.28 GB", "-77.34 %", "-77.34 %", "yes"),
        ("memory of modulation, from what is saved", "0.32 GB", "0.29 GB", "no"),
        ("time of modulation, from what is saved", "147.02 s", "148.83 s", "no"),
        ("margin of interference over the Transformer (abstract), from Table 2", "19.23 points", "19.23 points", "yes"),
        ("margin of interference over the Transformer (abstract), from Table 1", "19.23 points", "18.68 points", "no"),
        ("margin of modulation over the Transformer (section 5), from Table 1", "19.61 points", "19.61 points", "yes"),
        ("parameters in millions, with the embedding table", "2.4 M", "25.8 M", "no"),
        ("memory of BERT base, from weights and two moments", "1.28 GB", "1.22 GB", "no"),
    ],
)
def test_contradictions(what, printed, computed, agrees):
    (row,) = (row for row in contradictions() if row.what == what)
    assert row[1:] == (printed, computed, agrees)


def test_saving_and_same():
    assert saving(147.02, 1034.99) == pytest.approx(-85.795, abs=0.001)
    assert same(0.29, 0.2949, 2) == "yes" and same(0.29, 0.2951, 2) == "no"


def test_readings_of_the_parameters():
    """Two 768×768 maps and a feed-forward of 768, or no maps and one of 1,536: both print as 2.4 million."""
    assert [(row.here, row.agrees) for row in parameter_readings()] == [("2.369 M", "yes"), ("2.368 M", "yes")]


@pytest.mark.parametrize(
    "quantity, paper, values, other, expected",
    [
        ("accuracy", 90.0, [90.5, 90.5], "", "yes"),
        ("accuracy", 90.0, [90.6, 90.7], "", "no"),
        ("accuracy", 90.0, [89.0, 93.0], "", "yes"),  # between the seeds
        ("accuracy", 90.0, [90.6], "", "cannot be told: one seed"),
        ("accuracy", 90.0, [90.4], "", "yes"),
        ("accuracy", 90.0, [90.0, None], "", "not run"),
        ("accuracy", 90.0, [], "", "not run"),
        ("accuracy", 90.0, [90.0], "dimension 8", "cannot be told: dimension 8"),
        ("accuracy", None, [90.0], "", "cannot be told"),
        ("seconds", 90.0, [90.0], "", "cannot be told: another machine"),
        ("memory", 0.30, [0.285], "", "yes"),
        ("memory", 0.37, [0.29, 0.29], "", "no"),
    ],
)
def test_agreement(quantity, paper, values, other, expected):
    assert agreement(quantity, paper, values, other) == expected


def test_comparison_shows_mean_and_spread():
    assert comparison("x", "accuracy", "{:.1f} %", 91.0, [90.0, 92.0])[1:] == ("91.0 %", "91.0 % ± 1.4 %", "yes")
    assert comparison("x", "accuracy", "{:.1f} %", None, [90.0, None])[1:] == ("–", "not run", "cannot be told")
