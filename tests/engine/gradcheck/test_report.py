"""The report as a table, as JSON and as an assertion."""

import json

import numpy as np
import pytest

from engine.gradcheck import assert_gradients, check_gradients
from tests.support.known_gradients import Linear, matmul, normal, tanh, tanh_backward


def test_report_as_table_and_json():
    layer = Linear(normal(1, 3, 2))
    parameters = {"hidden.weight": layer.weight}
    report = check_gradients(layer.forward, layer.backward, (normal(0, 4, 3),), parameters=parameters, seed=7)
    lines = str(report).splitlines()
    assert lines[0].startswith("gradient check ok: 5 ok, worst: ")
    assert lines[-1] == "seed 7, float64, numpy, step 1e-30, tolerance 1e-12"
    table = lines[1:7]
    ends = {line.rindex(" ") for line in table}
    assert len(ends) == 1, "the columns are not aligned"
    assert "parameter hidden.weight" in table[-1]
    whole = json.loads(report.to_json())
    assert whole["ok"] is True and whole["seed"] == 7 and whole["dtype"] == "float64" and whole["backend"] == "numpy"
    assert whole["worst"] == report.worst.name and len(whole["rows"]) == 5
    row = report.rows[0]
    assert whole["rows"][0]["numeric"] == row.numeric and row.tolerance_used == 100.0 * row.relative_error / 1e-12
    assert abs(row.absolute_error - abs(row.numeric - row.analytic)) == 0.0


def test_infinite_errors_stay_readable_in_json():
    report = check_gradients(lambda x: (np.ones(2) + 0.0 * x, None), lambda dy, _: dy, (np.ones(2),))
    assert json.loads(report.to_json())["rows"][0]["relative_error"] == "inf"


def test_worst_row_is_the_failing_one():
    report = check_gradients(matmul, lambda dy, c: (dy @ c[1].T, -c[0].T @ dy), (normal(0, 4, 3), normal(1, 3, 2)))
    assert report.worst.verdict == "FAIL" and report.worst.tolerance_used == max(r.tolerance_used for r in report.rows)


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (-1.0, "wrong sign"),
        (2.0, "is 2 times what it must be"),
        (0.5, "is 0.5 times"),
        (0.0, "its gradient is zero"),
        (1.0 + 1e-6, "nearly right"),
    ],
)
def test_assertion_says_what_to_look_for(factor, text):
    with pytest.raises(AssertionError, match=text):
        assert_gradients(check_gradients(tanh, lambda dy, y: factor * tanh_backward(dy, y), (normal(0, 5),)))
