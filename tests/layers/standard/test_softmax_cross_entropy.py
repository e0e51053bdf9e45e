"""E15: softmax cross-entropy with label smoothing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.training.calibration import softmax
from layers.standard.softmax_cross_entropy import (
    log_softmax,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from tests.support.device_stand_in import assert_computes_on_the_device
from tests.support.layer_laws import (
    ROWS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    random_rows,
    to_bytes,
)

SMOOTHING = st.sampled_from([0.0, 0.1, 0.5])
LABELS = np.array([0, 1, 1])


def random_inputs(seed, texts, classes=4):
    rng = np.random.default_rng(seed)
    return rng, random_rows(rng, texts, classes), rng.integers(0, classes, texts)


@given(st.integers(1, 5), st.integers(2, 5), SMOOTHING, SEEDS)
@examples()
def test_gradient(texts, classes, smoothing, seed):
    rng, z, labels = random_inputs(seed, texts, classes)
    z = np.sign(z) * np.minimum(abs(z), 3)  # not saturated, so that the slope is not lost in the rounding of the loss
    assert_exact_gradients(softmax_cross_entropy_forward, softmax_cross_entropy_backward, z, labels, smoothing)
    assert_five_point_gradients(softmax_cross_entropy_forward, softmax_cross_entropy_backward, z, labels, smoothing)


@given(st.integers(1, 5), st.integers(2, 5), SMOOTHING, SEEDS)
@examples()
def test_gradient_with_weights(texts, classes, smoothing, seed):
    rng, z, labels = random_inputs(seed, texts, classes)
    z, weights = np.sign(z) * np.minimum(abs(z), 3), rng.uniform(0.1, 9, classes)

    def forward(z):
        return softmax_cross_entropy_forward(z, labels, smoothing, weights)

    assert_exact_gradients(forward, softmax_cross_entropy_backward, z)
    assert_five_point_gradients(forward, softmax_cross_entropy_backward, z)


def by_loops(z, labels, smoothing, dL, weights=None):
    """(L, dz), class by class."""
    B, C = z.shape
    omega = np.ones(C) if weights is None else weights
    terms, dz = [], np.zeros_like(z)
    for t in range(B):
        top = max(z[t])
        log_sum = top + math.log(math.fsum(math.exp(v - top) for v in z[t]))
        for c in range(C):
            target = (1 - smoothing) * (c == labels[t]) + smoothing / C
            terms.append(-omega[labels[t]] * target * (z[t, c] - log_sum) / B)
            dz[t, c] = dL * omega[labels[t]] * (math.exp(z[t, c] - log_sum) - target) / B
    return np.array(math.fsum(terms)), dz


@given(st.integers(1, 6), st.integers(1, 5), SMOOTHING, SEEDS)
@examples()
def test_agrees_with_loops_over_classes(texts, classes, smoothing, seed):
    rng, z, labels = random_inputs(seed, texts, classes)
    dL = rng.standard_normal()
    for weights in (None, rng.uniform(0.1, 2, classes)):
        loss, cache = softmax_cross_entropy_forward(z, labels, smoothing, weights)
        expected, dz = by_loops(z, labels, smoothing, dL, weights)
        assert loss.shape == () and abs(loss - expected) <= 1e-14 * max(1, abs(expected))
        assert np.max(abs(softmax_cross_entropy_backward(dL, cache) - dz)) <= 1e-14


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_weights_of_one_change_no_bit(dtype, smoothing):
    z = 3 * ROWS.astype(dtype)
    loss, cache = softmax_cross_entropy_forward(z, LABELS, smoothing)
    same, weighted = softmax_cross_entropy_forward(z, LABELS, smoothing, np.ones(2, dtype))
    assert to_bytes(loss) == to_bytes(same) and loss.dtype == same.dtype == dtype
    found = softmax_cross_entropy_backward(0.3, weighted)
    assert found.dtype == dtype and to_bytes(found) == to_bytes(softmax_cross_entropy_backward(0.3, cache))


def test_the_weighted_example_of_the_chapter():
    z, labels = np.log([[1.0, 2.0, 5.0], [1.0, 1.0, 2.0]]), np.array([1, 2])
    loss, cache = softmax_cross_entropy_forward(z, labels, 0.0, np.array([1.0, 0.5, 1.5]))
    assert round(float(loss), 4) == 0.8664
    dz = [[0.03125, -0.1875, 0.15625], [0.1875, 0.1875, -0.375]]
    assert np.max(abs(softmax_cross_entropy_backward(1.0, cache) - dz)) <= 1e-15


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_a_weight_of_three_is_three_texts(smoothing):
    """Loss times number of texts, and the gradient of a text and of its copies together."""
    _, z, labels = random_inputs(0, 6, 3)
    copies = np.where(labels == 1, 3, 1)
    many, of_many = softmax_cross_entropy_forward(np.repeat(z, copies, axis=0), np.repeat(labels, copies), smoothing)
    loss, cache = softmax_cross_entropy_forward(z, labels, smoothing, np.array([1.0, 3.0, 1.0]))
    total = copies.sum()
    assert (labels == 1).any() and abs(6 * loss - total * many) <= 1e-14 * total
    dz = total * softmax_cross_entropy_backward(1.0, of_many)
    dz = np.add.reduceat(dz, np.cumsum(copies) - copies)
    assert np.max(abs(6 * softmax_cross_entropy_backward(1.0, cache) - dz)) <= 1e-14


def test_the_parts_of_a_batch_add_up_to_it():
    """Whatever labels each has: Σ (B_s/B)·L_s, as shards are added."""
    rng, z, labels = random_inputs(3, 8)
    weights = rng.uniform(0.1, 9, 4)
    whole, _ = softmax_cross_entropy_forward(z, labels, 0.1, weights)
    parts = [softmax_cross_entropy_forward(z[p], labels[p], 0.1, weights)[0] for p in (slice(0, 3), slice(3, 8))]
    assert abs(3 / 8 * parts[0] + 5 / 8 * parts[1] - whole) <= 1e-14


def test_a_class_out_of_reach_has_no_nan_with_weights():
    z = np.array([[3e38, -3e38]], np.float32)
    with np.errstate(over="ignore", divide="ignore"):
        loss, cache = softmax_cross_entropy_forward(z, np.array([0]), 0.0, np.array([2, 3], np.float32))
        assert loss == 0 and softmax_cross_entropy_backward(1.0, cache).tolist() == [[0, 0]]


@given(st.integers(1, 5), SMOOTHING, SEEDS)
@examples()
def test_the_gradient_of_every_text_sums_to_zero(texts, smoothing, seed):
    _, z, labels = random_inputs(seed, texts)
    dz = softmax_cross_entropy_backward(1.0, softmax_cross_entropy_forward(z, labels, smoothing)[1])
    assert np.all(abs(dz.sum(axis=1)) <= 1e-15)


@pytest.mark.parametrize("classes", [1, 2, 30])
def test_equal_logits_cost_the_logarithm_of_their_number(classes):
    loss, _ = softmax_cross_entropy_forward(np.full((3, classes), 7.0), np.zeros(3, int), 0.3)
    assert loss == pytest.approx(math.log(classes), abs=1e-15)


@pytest.mark.parametrize("dtype, large", [(np.float32, 1e30), (np.float64, 1e300)])
def test_huge_logits_neither_overflow_nor_become_nan(dtype, large):
    z = np.array([[large, 0, -large], [-large, 0, large]], dtype)
    loss, cache = softmax_cross_entropy_forward(z, np.array([0, 0]))
    assert loss == dtype(large)  # (0 + 2·large)/2
    assert softmax_cross_entropy_backward(1.0, cache).tolist() == [[0, 0, 0], [-0.5, 0, 0.5]]


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_class_out_of_reach_costs_nothing_without_smoothing():
    z = np.array([[3e38, -3e38]], np.float32)  # their difference exceeds float32
    loss, cache = softmax_cross_entropy_forward(z, np.array([0]))
    assert loss == 0.0 and not softmax_cross_entropy_backward(1.0, cache).any()


def test_a_vanishing_probability_has_a_finite_logarithm():
    assert log_softmax(np.array([[0.0, -800.0]])).tolist() == [[0.0, -800.0]]


@pytest.mark.parametrize("gap", [20.0, 60.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_certain_class_keeps_its_digits_of_loss_and_gradient(dtype, gap):
    """L = log(1 + e⁻²⁰) = 2e-9, where 1 + e⁻²⁰ rounds to 1 in float32."""
    loss, cache = softmax_cross_entropy_forward(np.array([[gap, 0.0]], dtype), np.array([0]))
    dz = softmax_cross_entropy_backward(1.0, cache)
    rounding = 4 * float(np.finfo(dtype).eps)
    assert float(loss) == pytest.approx(math.log1p(math.exp(-gap)), rel=rounding)
    assert dz[0].tolist() == pytest.approx(
        [-math.exp(-gap) / (1 + math.exp(-gap)), math.exp(-gap) / (1 + math.exp(-gap))], rel=gap * rounding
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_is_the_exponential_of_its_logarithm(dtype):
    z = np.concatenate([ROWS, ROWS * 100]).astype(dtype)
    p = softmax(z)
    assert p.dtype == dtype
    np.testing.assert_allclose(p, np.exp(log_softmax(z)), rtol=1e3 * np.finfo(dtype).eps)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=4 * np.finfo(dtype).eps)


def test_shifting_all_logits_of_a_text_changes_nothing():
    assert_equal(log_softmax(ROWS + np.array([[1024.0], [-512.0], [0.0]])), log_softmax(ROWS), 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(st.floats(-10, 10), SEEDS)
@examples()
def test_a_number_as_cotangent_has_the_dtype_of_the_logits(dtype, dL, seed):
    """So that a plain number and a 0-d array of it give the same bits."""
    _, z, labels = random_inputs(seed, 3)
    _, cache = softmax_cross_entropy_forward(z.astype(dtype), labels, 0.1)
    assert to_bytes(softmax_cross_entropy_backward(dL, cache)) == to_bytes(
        softmax_cross_entropy_backward(np.asarray(dL, dtype), cache)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_is_taken_on_the_device_of_the_logits(device, dtype):
    _, cache = softmax_cross_entropy_forward(ROWS.astype(dtype), LABELS, 0.1)
    assert_computes_on_the_device(device, softmax_cross_entropy_backward, 0.3, cache)


def test_an_empty_batch_has_loss_zero():
    loss, cache = softmax_cross_entropy_forward(np.zeros((0, 4)), np.zeros(0, int))
    assert loss == 0.0 and softmax_cross_entropy_backward(1.0, cache).shape == (0, 4)


@pytest.mark.parametrize(
    "wrong", [None, [0, 1, 1], LABELS[:2], LABELS[None], LABELS.astype(float), LABELS - 1, LABELS + 1]
)
def test_wrong_labels_are_named(wrong):
    with pytest.raises(ValueError, match="^labels: "):
        softmax_cross_entropy_forward(ROWS, wrong)


@pytest.mark.parametrize("wrong", [-0.1, 1.0, float("nan")])
def test_a_wrong_smoothing_is_named(wrong):
    with pytest.raises(ValueError, match="^smoothing: "):
        softmax_cross_entropy_forward(ROWS, LABELS, wrong)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_a_wrong_weight_is_named(wrong):
    with pytest.raises(ValueError, match="^weights: must be positive and finite"):
        softmax_cross_entropy_forward(ROWS, LABELS, 0.1, np.array([1.0, wrong]))


def test_forgotten_weights_are_caught():
    def corrupted(dL, cache):
        return softmax_cross_entropy_backward(dL, cache._replace(text_weights=None))

    def forward(z):
        return softmax_cross_entropy_forward(z, LABELS, 0.2, np.array([0.5, 2.0]))

    assert caught(forward, corrupted, ROWS) and not caught(forward, softmax_cross_entropy_backward, ROWS)


def test_a_sum_for_a_mean_and_a_forgotten_cotangent_are_caught():
    assert caught(
        softmax_cross_entropy_forward, lambda dL, cache: 3 * softmax_cross_entropy_backward(dL, cache), ROWS, LABELS
    )
    assert caught(
        softmax_cross_entropy_forward, lambda dL, cache: softmax_cross_entropy_backward(1.0, cache), ROWS, LABELS
    )


def test_forgotten_smoothing_is_caught():
    def corrupted(dL, cache):
        return softmax_cross_entropy_backward(dL, cache._replace(smoothing=0.0))

    assert caught(softmax_cross_entropy_forward, corrupted, ROWS, LABELS, 0.2)


def test_a_class_out_of_reach_costs_nothing_unless_it_is_wanted():
    z = np.array([[3e38, -3e38]], np.float32)
    with np.errstate(over="ignore", divide="ignore"):
        loss, cache = softmax_cross_entropy_forward(z, np.array([0]))
        assert loss == 0
        assert softmax_cross_entropy_backward(1.0, cache).tolist() == [[0, 0]]
        assert softmax_cross_entropy_forward(z, np.array([1]))[0] == np.inf
        assert softmax_cross_entropy_forward(z, np.array([0]), 0.1)[0] == np.inf
