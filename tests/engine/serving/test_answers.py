"""Labels are those of the largest probability times factor, or all that reach their thresholds; probabilities stay."""

import json

import numpy as np
import pytest

from engine.data.label_sets import LabelCells
from engine.serving.answers import Wanted, WantedSets, answers, records

CLASSES = ["a", "b", "c"]
PROBABILITIES = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
EACH = [{"a": 0.5, "b": 0.3, "c": 0.2}, {"a": 0.1, "b": 0.2, "c": 0.7}]
WANTED = {
    "one": (Wanted(), [{"label": "a", "probability": 0.5}, {"label": "c", "probability": 0.7}]),
    "factors": (
        Wanted(factors=np.array([1.0, 2.0, 0.5])),
        [{"label": "b", "probability": 0.3}, {"label": "b", "probability": 0.2}],
    ),
    "two": (
        Wanted(2, 0.6, True),
        [
            {"label": "", "probability": 0.5, "label_2": "b", "probability_2": 0.3},
            {"label": "c", "probability": 0.7, "label_2": "b", "probability_2": 0.2},
        ],
    ),
    "several": (WantedSets([0.4, 0.25, 0.9], LabelCells(",")), [{"labels": ["a", "b"]}, {"labels": []}]),
}
LINES = {
    "one": "a\t0.5000\nc\t0.7000\n",
    "factors": "b\t0.3000\nb\t0.2000\n",
    "several": "a\t0.5000\tb\t0.3000\n\n",
}


@pytest.mark.parametrize("kind", WANTED)
def test_records_and_lines_of_json(kind):
    wanted, expected = WANTED[kind]
    expected = [{**one, "probabilities": each} for one, each in zip(expected, EACH)]
    assert records(PROBABILITIES, CLASSES, wanted) == expected
    lines = answers(["x", "\u00fc"], PROBABILITIES, CLASSES, wanted, as_json=True).splitlines()
    assert [json.loads(line) for line in lines] == [{"text": t, **one} for t, one in zip(["x", "\u00fc"], expected)]


@pytest.mark.parametrize("kind", LINES)
def test_lines_of_text(kind):
    assert answers(["x", "y"], PROBABILITIES, CLASSES, WANTED[kind][0], as_json=False) == LINES[kind]
