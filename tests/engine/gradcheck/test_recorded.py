"""Right recorded gradients pass, wrong ones are found, and what cannot be judged is called so."""

import numpy as np
import pytest

from engine.gradcheck import check_recorded_gradient

X = np.random.default_rng(0).uniform(0.2, 2.0, (3, 4))
WEIGHTS = np.array([0.5, -2.0])


def f(x):
    return np.array([np.sum(np.sin(x)), np.sum(x**3)])


GRADIENT = 0.5 * np.cos(X) - 2.0 * 3.0 * X**2


def verdict_of(*arguments):
    return check_recorded_gradient(*arguments).row.verdict


def test_a_right_gradient_matches():
    row, entries = check_recorded_gradient(f, WEIGHTS, X, GRADIENT, shown=4)
    assert row.verdict == "ok" and row.absolute_error < 1e-9 and not row.message
    np.testing.assert_allclose(entries, GRADIENT.ravel()[:4], rtol=1e-9)


@pytest.mark.parametrize("entry", [(0, 0), (2, 3)])
def test_one_wrong_entry_is_found_and_named(entry):
    wrong = GRADIENT.copy()
    wrong[entry] += 0.5
    row, entries = check_recorded_gradient(f, WEIGHTS, X, wrong, shown=4, locate=True)
    assert row.verdict == "FAIL" and row.entry.startswith(f"{list(entry)}: numeric ") and len(entries) == 4
    assert check_recorded_gradient(f, WEIGHTS, X, wrong).row.entry == ""


def test_the_slope_is_that_of_a_unit_direction():
    row, _ = check_recorded_gradient(lambda x: x.sum().reshape(1), 1.0, X, np.ones_like(X))
    assert 0 < abs(row.numeric) <= np.sqrt(X.size) and row.numeric == pytest.approx(row.analytic)


def test_the_slopes_beside_a_kink_are_those_of_a_unit_direction():
    row, _ = check_recorded_gradient(lambda x: np.abs(x[:1]), 1.0, np.zeros(2) + [0, 5], np.zeros(2))
    assert row.verdict == "kink"
    left, right = (float(row.message.partition(f" from {side}")[0].split()[-1]) for side in ("left", "right"))
    assert left == -right and 0 < right <= 1


def test_a_scalar_and_its_own_gradient():
    row, entries = check_recorded_gradient(lambda x: x, 1.0, np.float64(0.3), np.float64(1.0), shown=4)
    assert row.verdict == "ok" and abs(row.numeric) == pytest.approx(1.0) and entries == [pytest.approx(1.0)]


def test_a_kink_is_a_kink_and_a_gross_error_there_is_none():
    kinked = lambda x: np.abs(x).sum().reshape(1)  # noqa: E731
    assert verdict_of(kinked, 1.0, np.zeros(3), np.zeros(3)) == "kink"
    assert verdict_of(kinked, 1.0, np.zeros(3), np.full(3, 1e4)) == "FAIL"


def test_kinks_that_cancel_are_kinks():
    """|x₀| − 0.9·|x₁| bends by a tenth of what each part may have for a slope."""
    cancelling = lambda x: (np.abs(x[:1]) - 0.9 * np.abs(x[1:])).reshape(1)  # noqa: E731
    assert verdict_of(cancelling, 1.0, np.zeros(2), np.array([0.9, 0.9])) == "kink"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_is_wrong(bad):
    wrong = GRADIENT.copy()
    wrong[1, 1] = bad
    assert verdict_of(f, WEIGHTS, X, wrong) == "FAIL"


def test_what_drowns_in_rounding_is_neither_right_nor_wrong():
    drowned = lambda x: 1e12 + np.sin(x).sum().reshape(1)  # noqa: E731
    assert verdict_of(drowned, 1.0, X, np.cos(X)) == "noise"


def test_a_missing_gradient_is_wrong():
    assert verdict_of(f, WEIGHTS, X, np.zeros_like(X)) == "FAIL"


def test_a_gradient_of_zero_is_right_where_nothing_depends():
    assert verdict_of(lambda x: np.ones(2), WEIGHTS, X, np.zeros_like(X)) == "ok"
