"""E15 in C: the equation in float64 within the rounding of float32, certain and impossible classes among them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.fast import FUNCTIONS, softmax_cross_entropy_c
from tests.support.layer_laws import SEEDS, examples

pytestmark = pytest.mark.skipif(not softmax_cross_entropy_c.FUNCTIONS.is_usable(), reason="no C compiler")
equation_forward, equation_backward = FUNCTIONS["equations"].pairs["softmax_cross_entropy"]


@given(
    SEEDS,
    st.sampled_from([1, 2, 9]),
    st.sampled_from([1, 2, 6, 70]),
    st.sampled_from([0.0, 0.1]),
    st.booleans(),
    st.sampled_from([0.01, 1.0, 30.0]),
)
@examples(100)
def test_both_directions_are_the_equation(seed, texts, classes, smoothing, weighted, scale):
    rng = np.random.default_rng(seed)
    z = (rng.standard_normal((texts, classes)) * scale).astype(np.float32)
    labels = rng.integers(0, classes, texts).astype(rng.choice([np.int32, np.int64]))
    weights = rng.uniform(0.1, 5, classes).astype(np.float32) if weighted else None
    loss, cache = softmax_cross_entropy_c.forward(z, labels, smoothing, weights)
    dz = softmax_cross_entropy_c.backward(0.7, cache)
    wide = None if weights is None else weights.astype(float)
    exact, exact_cache = equation_forward(z.astype(float), labels, smoothing, wide)
    expected = equation_backward(0.7, exact_cache)
    assert loss.dtype == dz.dtype == np.float32 and loss.shape == () and dz.shape == z.shape
    assert abs(loss - exact) <= 2**-23 * abs(exact) + 1e-14 * scale
    largest = 1 if weights is None else weights.max()
    # An exponential in float32 of a rounded difference: off by what that is, and by 2 units in the last place.
    bound = np.exp(exact_cache.log_probabilities) * (scale * 10 + 2) * 2**-23 * largest / texts
    assert np.all(abs(dz - expected) <= 2**-22 * abs(expected) + bound + 1e-44)  # the smallest that float32 has


def test_a_text_that_is_all_but_certain_keeps_its_digits():
    z, label = np.float32([[0, -40, -50]]), np.array([0])
    loss, cache = softmax_cross_entropy_c.forward(z, label)
    assert loss == pytest.approx(np.exp(-40.0), rel=1e-3)
    np.testing.assert_allclose(
        softmax_cross_entropy_c.backward(1.0, cache)[0],
        [-np.exp(-40.0), np.exp(-40.0), np.exp(-50.0)],
        rtol=1e-3,
    )


@pytest.mark.parametrize("row", [[-np.inf, 1, 2], [np.inf, 1, 2], [np.nan, 1, 2], [1, 2, np.nan], [-np.inf] * 3])
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_numbers_that_are_not_finite(row, label, smoothing):
    """The same losses as the equation has; a class out of reach costs a text of another label nothing."""
    z, labels = np.array([row], np.float32), np.array([label])
    loss, _ = softmax_cross_entropy_c.forward(z, labels, smoothing)
    with np.errstate(all="ignore"):
        expected, _ = equation_forward(z, labels, smoothing)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_it_is_what_runs(monkeypatch):
    z, labels = np.zeros((2, 3), np.float32), np.array([0, 2])
    forward, backward = FUNCTIONS["fast"].pairs["softmax_cross_entropy"]
    loss, cache = forward(z, labels)
    assert isinstance(cache, softmax_cross_entropy_c.Cache) and loss == np.float32(np.log(3))
    assert np.array_equal(backward(1.0, cache), softmax_cross_entropy_c.backward(1.0, cache))
    for other in (z.astype(float), z[:0], z[:, ::2]):
        assert not softmax_cross_entropy_c.supports(other, labels)
    monkeypatch.setenv("WAVE_C", "off")
    assert not softmax_cross_entropy_c.supports(z, labels)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [0]])
def test_labels_that_c_would_follow(labels):
    with pytest.raises(ValueError, match="labels: "):
        FUNCTIONS["fast"].softmax_cross_entropy_forward(np.zeros((2, 3), np.float32), np.array(labels))
