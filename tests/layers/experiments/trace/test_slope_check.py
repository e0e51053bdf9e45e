"""Right gradients pass, wrong ones are found, and what cannot be judged is called so."""

import numpy as np
import pytest

from layers.experiments.trace.walk import compare

X = np.random.default_rng(0).uniform(0.2, 2.0, (3, 4))
WEIGHTS = np.array([0.5, -2.0])


def f(x):
    return np.array([np.sum(np.sin(x)), np.sum(x**3)])


GRADIENT = 0.5 * np.cos(X) - 2.0 * 3.0 * X**2


def test_a_right_gradient_matches():
    found = compare(f, WEIGHTS, X, GRADIENT)
    assert found.verdict == "ok" and found.difference < 1e-9
    np.testing.assert_allclose(found.entries, GRADIENT.ravel()[:4], rtol=1e-9)


@pytest.mark.parametrize("entry", [(0, 0), (2, 3)])
def test_one_wrong_entry_is_found_and_named(entry):
    wrong = GRADIENT.copy()
    wrong[entry] += 0.5
    found = compare(f, WEIGHTS, X, wrong, searched=100)
    assert found.verdict == "WRONG" and f"worst entry {list(entry)}" in found.message
    assert len(found.entries) == 4
    assert compare(f, WEIGHTS, X, wrong).message == ""


def test_the_slope_is_that_of_a_unit_direction():
    found = compare(lambda x: x.sum().reshape(1), 1.0, X, np.ones_like(X))
    assert 0 < abs(found.numeric) <= np.sqrt(X.size) and found.numeric == pytest.approx(found.analytic)


def test_a_scalar_and_its_own_gradient():
    found = compare(lambda x: x, 1.0, np.float64(0.3), np.float64(1.0))
    assert found.verdict == "ok" and abs(found.numeric) == pytest.approx(1.0) and found.entries == [pytest.approx(1.0)]


def test_a_kink_is_a_kink_and_a_gross_error_there_is_none():
    kinked = lambda x: np.abs(x).sum().reshape(1)  # noqa: E731
    assert compare(kinked, 1.0, np.zeros(3), np.zeros(3)).verdict == "kink"
    assert compare(kinked, 1.0, np.zeros(3), np.full(3, 1e4)).verdict == "WRONG"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_is_wrong(bad):
    wrong = GRADIENT.copy()
    wrong[1, 1] = bad
    assert compare(f, WEIGHTS, X, wrong).verdict == "WRONG"


def test_what_drowns_in_rounding_is_neither_right_nor_wrong():
    drowned = lambda x: 1e12 + np.sin(x).sum().reshape(1)  # noqa: E731
    assert compare(drowned, 1.0, X, np.cos(X)).verdict == "rounding"


def test_a_missing_gradient_is_wrong():
    assert compare(f, WEIGHTS, X, np.zeros_like(X)).verdict == "WRONG"


def test_a_gradient_of_zero_is_right_where_nothing_depends():
    assert compare(lambda x: np.ones(2), WEIGHTS, X, np.zeros_like(X)).verdict == "ok"
