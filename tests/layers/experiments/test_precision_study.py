"""The digits of Token2Wave in float32 that three ways of computing keep, beside a reference held against fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest

from layers.experiments import precision as precision_study
from layers.experiments.precision import (
    RATIOS,
    ROUNDING,
    WAYS,
    dominated_texts,
    largest_errors,
    others_only,
    precision_rows,
    sum_of_others,
)
from layers.wave import SCOPES, Wave

both_scopes = pytest.mark.parametrize("scope", SCOPES)


@both_scopes
@pytest.mark.parametrize("tokens", [2, 32])
def test_the_closed_form_keeps_its_digits_at_every_ratio(scope, tokens):
    rows = precision_rows(scope, tokens)
    assert [row.ratio for row in rows] == [10.0**decade for decade in range(19)]
    assert max(row.im["closed_form"] for row in rows) <= 1.01 * ROUNDING, "im is rounded once"
    assert max(row.dw["closed_form"] for row in rows) <= 1e-6


@both_scopes
def test_the_polar_path_and_the_difference_lose_all_digits(scope):
    for row in precision_rows(scope):
        for way in ("polar", "difference"):
            if row.ratio <= 1:
                assert max(row.im[way], row.dw[way]) < 1e-6
            if row.ratio >= 1e3:
                assert row.im[way] > 1e-4 and not row.dw[way] <= 1e-5
            if row.ratio >= 1e5:
                assert row.im[way] > 0.99 and not row.dw[way] <= 0.5, "a NaN is no digit either"


def test_in_the_difference_the_gradient_becomes_nan_and_im_0():
    row = precision_rows(ratios=[1e6])[0]
    assert math.isnan(row.dw["difference"]) and row.im["difference"] == 1.0


def test_the_judge_is_right_where_all_is_known_by_hand():
    """The worked example of the equation book, E4.6."""
    w, dre, dim = (np.array([x], np.float32).T for x in ([3, -4, 0], [1, -1, 2], [8, 3, 10]))
    im, dw, terms = others_only(w, np.array([0, 3]), "dimension", Wave(dre, dim))
    assert im.T.tolist() == [[4, 3, 5]] and dw.T.tolist() == [[10, -17, 2]] and terms.T.tolist() == [[10, 17, 2]]


@both_scopes
@pytest.mark.parametrize("ratio", [1.0, 1e9, 1e18])
def test_the_judge_agrees_with_exact_fractions(scope, ratio):
    w, offsets, dz = dominated_texts(scope, 4, ratio, np.random.default_rng(0))
    im, dw, terms = others_only(w, offsets, scope, dz)
    squares = [Fraction(float(x)) ** 2 for x in w[:4].flat]
    columns = w.shape[1]
    # h is taken from the judge's im: a root is no fraction, and the first loop has judged it
    h = [Fraction(float(d) / v) for d, v in zip(dz.im[:4].flat, im[:4].flat)]
    for e in range(4 * columns):
        others = [o for o in range(4 * columns) if o != e and (scope == "text" or o % columns == e % columns)]
        assert im.flat[e] == pytest.approx(math.sqrt(sum(squares[o] for o in others)), rel=1e-14)
        exact = Fraction(float(dz.re.flat[e])) + Fraction(float(w.flat[e])) * sum(h[o] for o in others)
        assert abs(dw.flat[e] - float(exact)) <= 1e-14 * terms.flat[e]


def test_sums_of_others_never_contain_the_entry_itself():
    x = np.array([[1e300], [np.inf], [1.0]])[None]
    assert sum_of_others(x).ravel().tolist() == [np.inf, 1e300, np.inf]
    assert sum_of_others(np.array([[[1.0], [2.0], [4.0]]])).ravel().tolist() == [6, 5, 3]
    assert sum_of_others(np.ones((1, 1, 1))).tolist() == [[[0.0]]]


@both_scopes
@pytest.mark.parametrize("ratio", [1.0, 1e6, 1e18])
def test_one_entry_dominates_by_the_ratio(scope, ratio):
    w, offsets, dz = dominated_texts(scope, 5, ratio, np.random.default_rng(1))
    assert w.dtype == dz.re.dtype == dz.im.dtype == np.float32 and w.shape == dz.re.shape == (
        offsets[-1],
        precision_study.COLUMNS,
    )
    for start, stop in zip(offsets, offsets[1:]):
        text = abs(w[start:stop].astype(float))
        for column in text.T if scope == "dimension" else [text.ravel()]:
            *others, largest = sorted(column)
            assert 0.999 * ratio <= largest / others[-1] and largest / others[0] <= 2.001 * ratio


def test_the_places_and_signs_of_the_dominating_tokens_differ():
    w, _, _ = dominated_texts("dimension", 5, 1e6, np.random.default_rng(1))
    largest = abs(w).reshape(precision_study.TEXTS, 5, -1).argmax(axis=1)
    assert len(np.unique(largest)) == 5 and (w > 0.5).any() and (w < -0.5).any()


def test_errors_pass_nan_and_infinity_through():
    one = np.ones((1, 2))
    assert largest_errors((np.array([[2.0, np.inf]]), np.array([[np.nan, 1.0]])), one, one, one)[0] == math.inf
    assert math.isnan(largest_errors((one, np.array([[np.nan, 9.0]])), one, one, one)[1])
    assert largest_errors((1.5 * one, one + 1), one, one, 4 * one) == (0.5, 0.25)


def test_a_seed_repeats_and_another_differs():
    assert (
        precision_rows(seed=3, ratios=RATIOS[:2])
        == precision_rows(seed=3, ratios=RATIOS[:2])
        != precision_rows(seed=4, ratios=RATIOS[:2])
    )


@pytest.mark.parametrize("wrong, name", [({"tokens": 1}, "tokens"), ({"scope": "token"}, "scope")])
def test_wrong_arguments_are_named(wrong, name):
    with pytest.raises(ValueError, match=f"^{name}: "):
        precision_rows(**wrong)


def test_every_way_returns_the_shapes_of_w():
    w, offsets, dz = dominated_texts("text", 3, 10.0, np.random.default_rng(0))
    for way in WAYS.values():
        im, dw = way(w, offsets, "text", dz)
        assert im.shape == dw.shape == w.shape and im.dtype == dw.dtype == np.float32
