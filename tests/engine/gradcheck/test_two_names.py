"""gradcheck and engine.gradcheck in one process: reports and errors of one are understood by the other.

They are the same files, imported twice, so that no class of one is a class of the other.
"""

import importlib.util
import json
import sys

import numpy as np
import pytest

import engine.gradcheck
import engine.gradcheck.check
import engine.gradcheck.derivatives
import engine.gradcheck.point
from tests.support.paths import ROOT


def imported_again(name):
    """The package once more, under another name."""
    folder = ROOT / "engine" / "gradcheck"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAIR = (engine.gradcheck, imported_again("gradcheck_alone"))
both_ways = pytest.mark.parametrize("one, other", [PAIR, PAIR[::-1]], ids=["engine first", "alone first"])
X = np.array([0.1, -2.0, 3.0])


def forward(x):
    y = np.tanh(x)
    return y, y


def backward(dy, y):
    return dy * (1 - y * y)


def wrong_backward(dy, y):
    return dy * (1 - y)


def test_the_two_share_no_class():
    """Otherwise the tests below would prove nothing."""
    assert PAIR[0].GradientReport is not PAIR[1].GradientReport and PAIR[0].Row is not PAIR[1].Row


@both_ways
def test_a_report_is_asserted_by_the_other(one, other):
    other.assert_gradients(one.check_gradients(forward, backward, (X,)))
    wrong = one.check_gradients(forward, wrong_backward, (X,))
    with pytest.raises(AssertionError) as raised:
        other.assert_gradients(wrong)
    with pytest.raises(AssertionError) as expected:
        one.assert_gradients(wrong)
    assert str(raised.value) == str(expected.value) and "gradient check FAILED" in str(raised.value)


@both_ways
@pytest.mark.parametrize("gradient, law, ok", [(True, True, True), (False, True, False), (True, False, False)])
def test_reports_are_joined(one, other, gradient, law, ok):
    found = one.check_gradients(forward, backward if gradient else wrong_backward, (X,))
    laws = other.check_properties(forward, backward if law else lambda dy, y: dy * dy, (X,))
    joined = other.layers.joined(found, laws)
    assert joined.ok == ok and len(joined.rows) == len(found.rows) + len(laws.rows)
    assert joined.failures == found.failures + laws.failures and joined.worst in joined.rows
    assert str(joined).count("\n") >= len(joined.rows) and laws.rows[0].name in str(joined)
    assert [row["verdict"] for row in json.loads(joined.to_json())["rows"]] == [row.verdict for row in joined.rows]


@both_ways
def test_wrong_arguments_are_errors_of_python(one, other):
    """A caller of both needs to know no class of either, and a check within a check passes them on."""

    def check_within(x):
        one.check_gradients(forward, backward, (x,), directions=0)

    with pytest.raises(ValueError, match="directions: expected at least 1") as raised:
        other.check_gradients(check_within, backward, (X,))
    assert type(raised.value) is ValueError


@both_ways
def test_not_analytic_is_handled_by_the_other(one, other):
    """Raised by a forward that takes a complex step itself, where it refuses complex numbers or leaves its domain."""

    def refuse(x):
        raise one.derivatives.NotAnalytic("within")

    def complex_refused(x):
        return forward(x if x.dtype.kind == "f" else refuse(x))

    def root(x):
        return (np.sqrt(x), x) if np.all(x > 0.99) else refuse(x)

    report = other.check_gradients(complex_refused, backward, (X,))
    assert report.ok and "forward raised NotAnalytic on complex numbers (within)" in report.notes[0]
    assert other.check_gradients(root, lambda dy, x: dy / (2 * np.sqrt(x)), (np.ones(3),), method="richardson").ok


@both_ways
def test_a_point_is_differentiated_by_the_other(one, other):
    point = one.point.Point(lambda x: (np.abs(x), None), (X,))
    (u,) = point.random_directions(0, 0, 1)
    with pytest.raises(ValueError, match="imaginary part was dropped"):
        other.derivatives.complex_step(point, u, np.abs(X))
    point = one.point.Point(forward, (X,))
    assert other.check.Check(point, backward, None, None, "report", 0).run("auto").ok
