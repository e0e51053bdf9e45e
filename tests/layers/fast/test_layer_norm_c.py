"""E10 and E21 in C: the equations in float64, rounded once, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.fast import FUNCTIONS, layer_norm_c
from tests.support.layer_laws import SEEDS, examples

pytestmark = pytest.mark.skipif(not layer_norm_c.FUNCTIONS.is_usable(), reason="no C compiler")
equation_forward, equation_backward = FUNCTIONS["equations"].pairs["layer_norm_sum"]
EPSILON = 1e-5


def case(seed, rows, columns, form):
    """(dy, arguments of layer_norm_sum) in float32. form: which of the optional ones there are."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    x_rows = rng.integers(0, 5, rows) if "x_rows" in form else None
    residual_rows = rng.integers(0, 4, rows) if "residual_rows" in form else None
    residual = normal(4 if "residual_rows" in form else rows, columns) if "residual" in form else None
    x = normal(5 if "x_rows" in form else rows, columns)
    dy = rng.standard_normal((rows, columns)).astype(np.float32)
    return dy, (x, normal(columns), normal(columns), EPSILON, residual, x_rows, residual_rows)


FORMS = ["", "residual", "x_rows", "x_rows residual", "residual residual_rows", "x_rows residual residual_rows"]


@given(SEEDS, st.sampled_from([0, 1, 7]), st.sampled_from([1, 2, 15, 16, 17, 70]), st.sampled_from(FORMS))
@examples(100)
def test_both_directions_are_the_equation_in_float64(seed, rows, columns, form):
    """For the sum as float32 has it; every result rounded once, where nothing cancels."""
    dy, given_arguments = case(seed, rows, columns, form)
    x, gain, bias, epsilon, residual, x_rows, residual_rows = given_arguments
    total = x if x_rows is None else x[x_rows]
    if residual is not None:
        total = total + (residual if residual_rows is None else residual[residual_rows])
    y, cache = layer_norm_c.forward(*given_arguments)
    exact, exact_cache = equation_forward(*(part.astype(float) for part in (total, gain, bias)), epsilon)
    expected = exact, *equation_backward(dy.astype(float), exact_cache)
    for found, one in zip((y, *layer_norm_c.backward(dy, cache)), expected):
        assert found.dtype == np.float32 and found.shape == one.shape
        scale = abs(one).max(initial=0) + abs(dy).max(initial=0) * 400  # r of a row is at most 1/sqrt(ε)
        assert np.all(abs(found - one) <= 2**-23 * abs(one) + 1e-11 * scale)


def test_a_constant_row_is_smooth():
    x, ones = np.full((1, 4), 7, np.float32), np.ones(4, np.float32)
    y, cache = layer_norm_c.forward(x, ones, ones * 2, EPSILON)
    assert y.tolist() == [[2.0] * 4]
    dx, dgain, dbias = layer_norm_c.backward(np.float32([[1, 0, 0, 0]]), cache)
    np.testing.assert_allclose(dx, np.float32([[0.75, -0.25, -0.25, -0.25]]) / np.sqrt(EPSILON), rtol=1e-6)
    assert not dgain.any() and dbias.tolist() == [1, 0, 0, 0]


def test_numbers_that_float32_cannot_square():
    dy, (x, gain, bias, *others) = case(0, 3, 20, "")
    x *= np.float32(1e25)
    y, cache = layer_norm_c.forward(x, gain, bias, *others)
    exact, _ = equation_forward(*(part.astype(float) for part in (x, gain, bias)), EPSILON)
    np.testing.assert_allclose(y, exact, rtol=0, atol=2**-22 * abs(exact).max())
    assert np.isfinite(layer_norm_c.backward(dy, cache)[0]).all()


def test_it_is_what_runs(monkeypatch):
    dy, given_arguments = case(0, 3, 4, "residual")
    forward, backward = FUNCTIONS["fast"].pairs["layer_norm_sum"]
    y, cache = forward(*given_arguments)
    assert isinstance(cache, layer_norm_c.Cache)
    assert np.array_equal(backward(dy, cache)[0], layer_norm_c.backward(dy, cache)[0])
    monkeypatch.setenv("WAVE_C", "off")
    assert not layer_norm_c.supports(*given_arguments)


@pytest.mark.parametrize(
    "change, message",
    [
        ({5: np.array([0, 5, 1])}, r"x_rows: must lie in \[0, 5\), got 5"),
        ({6: np.array([0, 1, -1])}, "residual_rows: must lie in"),
        ({6: np.array([0, 1])}, "residual_rows: expected 3 rows, got 2"),
        ({4: np.ones((4, 3), np.float32)}, "residual: expected shape"),
        ({1: np.ones(5, np.float32)}, "gain: expected shape"),
    ],
)
def test_indices_and_shapes_that_c_would_follow(change, message):
    _, given_arguments = case(0, 3, 4, "x_rows residual residual_rows")
    changed = [change.get(number, value) for number, value in enumerate(given_arguments)]
    with pytest.raises(ValueError, match=message):
        layer_norm_c.forward(*changed)


def test_a_gradient_of_another_shape():
    _, given_arguments = case(0, 3, 4, "")
    with pytest.raises(ValueError, match="dy: expected shape"):
        layer_norm_c.backward(np.ones((2, 4), np.float32), layer_norm_c.forward(*given_arguments)[1])
