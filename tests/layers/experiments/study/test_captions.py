"""Captions say what the numbers say, whatever is missing, and are as their golden file says."""

from pathlib import Path

import pytest

from layers.experiments.study.page import captions, distance, extremes
from layers.experiments.study.summary import summary_table
from tests.support.pages import assert_golden


@pytest.mark.parametrize("names", [("interference", "modulation", "transformer"), ("transformer",)], ids=len)
def test_table_and_captions_are_as_before(make_study, names):
    """Of three runs, and of a single one without waves."""
    study = make_study(names, 40)
    headings, rows = summary_table(study)
    lines = [" | ".join(row) for row in [headings, *rows]]
    lines += [f"{name}: {sentence}" for name, sentences in captions(study).items() for sentence in sentences]
    assert_golden(Path(__file__).parent / "golden" / f"captions_{len(names)}.txt", "\n".join(lines) + "\n")


def test_every_picture_has_two_sentences(make_study):
    for names in (("interference", "modulation", "transformer"), ("modulation",), ("transformer",)):
        for steps in (1, 40):
            for pair in captions(make_study(names, steps)).values():
                assert all(
                    sentence.endswith(".") and ". " not in sentence and "nan" not in sentence for sentence in pair
                )


def test_who_has_the_largest_gradient_and_by_what_factor(make_study):
    study = make_study()
    for name, norm in (("interference", 0.5), ("modulation", 2.0), ("transformer", 0.25)):
        study["runs"][name]["gradient_cls"] = [9.0] * 15 + [norm] * 90 + [1.0] * 15
    _, seen = captions(study)["gradients"]
    assert (
        "at the [CLS] token's embedding is largest for modulation (2), 8.00 times the smallest, transformer's (0.25);"
        in seen
    )
    del study["runs"]["transformer"]
    assert (
        "is largest for modulation (2), 4.00 times the smallest, interference's (0.5);"
        in captions(study)["gradients"][1]
    )


def test_who_is_accurate_first(make_study):
    study = make_study()
    for name, step in (("interference", 61), ("modulation", 31), ("transformer", 121)):
        study["runs"][name]["accuracy"] = [0.5] * (step - 1) + [1.0] * (121 - step)
    _, seen = captions(study)["convergence"]
    assert "reaches 90 % at step 31 for modulation, at step 61 for interference, never for transformer;" in seen
    del study["runs"]["interference"], study["runs"]["modulation"]
    assert "does not reach 90 % for transformer;" in captions(study)["convergence"][1]


def test_changes_and_what_was_never_recorded(make_study):
    study = make_study()
    for run in study["runs"].values():
        run["independence"][-1]["effective_rank"] = 177.0
    study["runs"]["modulation"]["independence"][-1]["effective_rank"] = 177.1
    assert "largest for modulation (177.1) and smallest for interference (177.0)" in captions(study)["independence"][1]
    for run in study["runs"].values():
        run["independence"], run["waves"] = [], run["waves"][:1]
    found = captions(study)
    assert found["independence"][1] == "No effective rank was recorded." and "single step" in found["waves"][1]


def test_how_far_waves_moved(make_study):
    study = make_study(("interference",))
    first, *_, last = study["runs"]["interference"]["waves"]
    for key, moved in (("phase", 1), ("log10_magnitude", 3)):
        first[key] = [8] + [0] * 63
        last[key] = [4 - moved, moved] + [0] * 62
    assert "25 % of the phases and 75 % of the magnitudes for interference" in captions(study)["waves"][1]


@pytest.mark.parametrize("a, b, expected", [([1, 0], [0, 7], 1), ([1, 1], [5, 5], 0), ([0, 0], [1, 1], 0.5)])
def test_distance(a, b, expected):
    assert distance(a, b) == expected


@pytest.mark.parametrize(
    "values, words",
    [
        ({"a": 3.0}, "is 3 for a"),
        ({"a": 3.0, "b": 3.0}, "is 3 for a and b"),
        ({"a": 3.0, "b": 0.0}, "is largest for a (3) and smallest for b (0)"),
        (
            {"a": 3.0, "b": 30.0, "c": float("nan")},
            "is largest for b (30), 10 times the smallest, a's (3), and unknown for c",
        ),
        ({"a": float("nan")}, "is known for no run"),
    ],
)
def test_extremes(values, words):
    assert extremes(values) == words
