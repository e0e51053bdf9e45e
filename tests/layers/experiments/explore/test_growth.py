"""One token grows: which digits are right, and where the polar path loses them."""

from decimal import Decimal

import numpy as np
import pytest

from layers.experiments.explore.growth import Digits, closed, digits, exact_way, growth_of, polar

W, DZ = np.array([0.3, 1.2, -0.7]), np.array([0.1 + 0.2j, -0.3 + 0.1j, 0.05 - 0.2j])


def right_digits(cell):
    return sum(character.isdigit() for character in cell.right)


@pytest.mark.parametrize(
    "value, exact, expected",
    [
        (np.float32(1.5), "1.5", Digits("1.5000000", "", "")),
        (np.float32(-0.125), "-0.12500001", Digits("−1.250000", "0", "·10⁻¹")),
        (np.float64(123.25), "123.5", Digits("1.23", "2500000000000", "·10²")),
        (np.float32(0.0), "0.5", Digits("", "0.0000000", "")),
        (np.float32(2.0), "-2", Digits("", "2.0000000", "")),
        (np.float32(np.inf), "1", Digits("", "∞", "")),
        (np.float64(np.nan), "1", Digits("", "not a number", "")),
    ],
)
def test_digits_that_are_right(value, exact, expected):
    assert digits(value, Decimal(exact)) == expected


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_all_ways_agree_where_no_token_dominates(dtype, tolerance):
    exact = exact_way(W, DZ, dtype)
    for way in (polar, closed):
        found = way(W, DZ, dtype)
        for kind in ("im", "dw", "term") if way is polar else ("im", "dw"):
            np.testing.assert_allclose(getattr(found, kind), [float(v) for v in exact[kind]], rtol=tolerance)


def test_the_closed_form_keeps_the_digits_that_the_polar_path_loses():
    rows = {row.name: row for row in growth_of(["a", "b", "c"], W, DZ, 1, 12.0).rows}
    for name in ("im, b", "dw, a"):
        polar32, closed32, polar64, closed64 = rows[name].cells
        assert right_digits(polar32) < 3 and right_digits(polar64) < 3
        assert right_digits(closed32) >= 6 and right_digits(closed64) >= 14


def test_the_term_of_e2_grows_with_the_token():
    terms = [growth_of(["a", "b", "c"], W, DZ, 1, n).rows[0].exact for n in (3.0, 6.0, 9.0)]
    assert [text.partition("·10")[2] for text in terms] == ["²", "⁵", "⁸"]


def test_beyond_the_range_of_float32_it_says_so():
    rows = growth_of(["a", "b"], W[:2] * 1e20, DZ[:2], 0, 24.0).rows
    assert [row.cells[1].wrong for row in rows if row.name == "im, b"] == ["not a number"]
    assert [right_digits(row.cells[3]) for row in rows if row.name == "im, b"] == [16]
