"""E24: sigmoid cross-entropy of several labels a text, with label smoothing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.standard.sigmoid_cross_entropy import (
    sigmoid,
    sigmoid_cross_entropy_backward,
    sigmoid_cross_entropy_forward,
)
from layers.standard.softmax_cross_entropy import softmax_cross_entropy_backward, softmax_cross_entropy_forward
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
TARGETS = np.array([[True, False], [False, False], [True, True]])


def random_inputs(seed, texts, classes=4):
    rng = np.random.default_rng(seed)
    return rng, random_rows(rng, texts, classes), rng.random((texts, classes)) < 0.4


@given(st.integers(1, 5), st.integers(1, 5), SMOOTHING, SEEDS)
@examples()
def test_gradient(texts, classes, smoothing, seed):
    rng, z, targets = random_inputs(seed, texts, classes)
    z = np.sign(z) * np.minimum(abs(z), 3)  # not saturated, so that the slope is not lost in the rounding of the loss
    assert_exact_gradients(sigmoid_cross_entropy_forward, sigmoid_cross_entropy_backward, z, targets, smoothing)
    assert_five_point_gradients(sigmoid_cross_entropy_forward, sigmoid_cross_entropy_backward, z, targets, smoothing)


@given(st.integers(1, 5), st.integers(1, 5), SMOOTHING, SEEDS)
@examples()
def test_gradient_with_weights(texts, classes, smoothing, seed):
    rng, z, targets = random_inputs(seed, texts, classes)
    z, weights = np.sign(z) * np.minimum(abs(z), 3), rng.uniform(0.1, 9, (2, classes))

    def forward(z):
        return sigmoid_cross_entropy_forward(z, targets, smoothing, weights)

    assert_exact_gradients(forward, sigmoid_cross_entropy_backward, z)
    assert_five_point_gradients(forward, sigmoid_cross_entropy_backward, z)


def by_loops(z, targets, smoothing, dL, weights=None):
    """(L, dz), decision by decision, from the probabilities of a yes and of a no."""
    B, K = z.shape
    omega = np.ones((2, K)) if weights is None else weights
    terms, dz = [], np.zeros_like(z)
    for t in range(B):
        for k in range(K):
            yes, no = 1 / (1 + math.exp(-z[t, k])), 1 / (1 + math.exp(z[t, k]))
            wanted = (1 - smoothing) * float(targets[t, k]) + smoothing / 2
            weight = omega[int(targets[t, k]), k]
            terms.append(-weight * (wanted * math.log(yes) + (1 - wanted) * math.log(no)) / B)
            dz[t, k] = dL * weight * ((1 - wanted) * yes - wanted * no) / B
    return np.array(math.fsum(terms)), dz


@given(st.integers(1, 6), st.integers(1, 5), SMOOTHING, SEEDS)
@examples()
def test_agrees_with_loops_over_decisions(texts, classes, smoothing, seed):
    rng, z, targets = random_inputs(seed, texts, classes)
    dL = rng.standard_normal()
    for weights in (None, rng.uniform(0.1, 2, (2, classes))):
        loss, cache = sigmoid_cross_entropy_forward(z, targets, smoothing, weights)
        expected, dz = by_loops(z, targets, smoothing, dL, weights)
        assert loss.shape == () and abs(loss - expected) <= 1e-14 * max(1, abs(expected))
        assert np.max(abs(sigmoid_cross_entropy_backward(dL, cache) - dz)) <= 1e-14


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_weights_of_one_change_no_bit(dtype, smoothing):
    z = 3 * ROWS.astype(dtype)
    loss, cache = sigmoid_cross_entropy_forward(z, TARGETS, smoothing)
    same, weighted = sigmoid_cross_entropy_forward(z, TARGETS, smoothing, np.ones((2, 2), dtype))
    assert to_bytes(loss) == to_bytes(same) and loss.dtype == same.dtype == dtype
    found = sigmoid_cross_entropy_backward(0.3, weighted)
    assert found.dtype == dtype and to_bytes(found) == to_bytes(sigmoid_cross_entropy_backward(0.3, cache))


def test_the_parts_of_a_batch_add_up_to_it():
    """Whatever labels each has: Σ (B_s/B)·L_s, as shards are added."""
    rng, z, targets = random_inputs(3, 8)
    weights = rng.uniform(0.1, 9, (2, 4))
    whole, _ = sigmoid_cross_entropy_forward(z, targets, 0.1, weights)
    parts = [sigmoid_cross_entropy_forward(z[p], targets[p], 0.1, weights)[0] for p in (slice(0, 3), slice(3, 8))]
    assert abs(3 / 8 * parts[0] + 5 / 8 * parts[1] - whole) <= 1e-14 * abs(whole)


@given(st.integers(1, 6), SEEDS)
@examples()
def test_a_decision_is_the_softmax_of_two_classes(texts, seed):
    """Of (z, 0), without smoothing and with it."""
    _, z, targets = random_inputs(seed, texts, 1)
    pairs, labels = np.concatenate([z, 0 * z], axis=1), 1 - targets[:, 0].astype(int)
    for smoothing in (0.0, 0.2):
        loss, cache = sigmoid_cross_entropy_forward(z, targets, smoothing)
        expected, softmax_cache = softmax_cross_entropy_forward(pairs, labels, smoothing)
        assert_equal(loss, expected, 1e-14)
        dz = sigmoid_cross_entropy_backward(1.0, cache)
        assert np.max(abs(dz - softmax_cross_entropy_backward(1.0, softmax_cache)[:, :1])) <= 1e-15


@given(SMOOTHING, SEEDS)
@examples()
def test_a_yes_and_a_no_are_mirror_images(smoothing, seed):
    """Bit for bit: the logits of the other sign and the other labels."""
    _, z, targets = random_inputs(seed, 4)
    loss, cache = sigmoid_cross_entropy_forward(z, targets, smoothing)
    mirrored, mirrored_cache = sigmoid_cross_entropy_forward(-z, ~targets, smoothing)
    assert loss == mirrored
    dz = sigmoid_cross_entropy_backward(1.0, cache)
    assert np.array_equal(dz, -sigmoid_cross_entropy_backward(1.0, mirrored_cache))


@given(SMOOTHING, SEEDS)
@examples()
def test_the_loss_of_classes_and_texts_adds_up(smoothing, seed):
    _, z, targets = random_inputs(seed, 3)
    whole = sigmoid_cross_entropy_forward(z, targets, smoothing)[0]
    parts = [
        sigmoid_cross_entropy_forward(z[t : t + 1, k : k + 1], targets[t : t + 1, k : k + 1], smoothing)[0]
        for t in range(3)
        for k in range(4)
    ]
    assert whole == pytest.approx(sum(parts) / 3, rel=1e-14)


@pytest.mark.parametrize("classes", [1, 2, 30])
def test_undecided_logits_cost_log_two_a_class(classes):
    """With any smoothing; a text without labels too."""
    z = np.zeros((2, classes))
    for targets in (z > 0, z == 0):
        for smoothing in (0.0, 0.3):
            loss, _ = sigmoid_cross_entropy_forward(z, targets, smoothing)
            assert loss == pytest.approx(classes * math.log(2), rel=1e-15)


@pytest.mark.parametrize("dtype, large", [(np.float32, 1e30), (np.float64, 1e300)])
def test_huge_logits_neither_overflow_nor_become_nan(dtype, large):
    z = np.array([[large, -large], [large, -large]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, cache = sigmoid_cross_entropy_forward(z, np.array([[True, False], [False, True]]))
        assert loss == dtype(large)  # (0 + 0 + large + large)/2
        assert sigmoid_cross_entropy_backward(1.0, cache).tolist() == [[0, 0], [0.5, -0.5]]
        assert sigmoid(z[0]).tolist() == [1, 0]


def test_infinite_logits_decide():
    z, targets = np.array([[np.inf, -np.inf]]), np.array([[True, False]])
    loss, cache = sigmoid_cross_entropy_forward(z, targets)
    assert loss == 0 and not sigmoid_cross_entropy_backward(1.0, cache).any()
    loss, cache = sigmoid_cross_entropy_forward(z, ~targets)
    assert loss == np.inf and sigmoid_cross_entropy_backward(1.0, cache).tolist() == [[1, -1]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_nan_spoils_the_loss_and_its_own_entry(dtype):
    loss, cache = sigmoid_cross_entropy_forward(np.array([[np.nan, 1.0]], dtype), np.array([[False, True]]))
    dz = sigmoid_cross_entropy_backward(1.0, cache)
    assert np.isnan(loss) and np.isnan(dz[0, 0]) and np.isfinite(dz[0, 1])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("gap", [20.0, 60.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_certain_decision_keeps_its_digits(dtype, gap, sign):
    """L = log(1 + e⁻²⁰) = 2e-9 for a yes and for a no, where 1 + e⁻²⁰ rounds to 1 in float32."""
    loss, cache = sigmoid_cross_entropy_forward(np.array([[sign * gap]], dtype), np.array([[sign > 0]]))
    dz = sigmoid_cross_entropy_backward(1.0, cache)
    rounding = 4 * float(np.finfo(dtype).eps)
    assert float(loss) == pytest.approx(math.log1p(math.exp(-gap)), rel=rounding)
    assert float(dz[0, 0]) == pytest.approx(-sign * math.exp(-gap) / (1 + math.exp(-gap)), rel=gap * rounding)


@given(st.floats(-700, 700))
@examples()
def test_sigmoid_keeps_its_relative_precision_in_the_tail(x):
    expected = 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))
    assert sigmoid(np.array([x]))[0] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_float32_agrees_with_float64(smoothing):
    rng, z, targets = random_inputs(0, 40, 300)
    z = z.astype(np.float32)
    loss, cache = sigmoid_cross_entropy_forward(z, targets, smoothing)
    expected, wide = sigmoid_cross_entropy_forward(z.astype(float), targets, smoothing)
    dz = sigmoid_cross_entropy_backward(1.0, cache)
    assert loss.dtype == dz.dtype == np.float32
    assert_equal(loss, expected, 1e-7)
    assert_equal(dz, sigmoid_cross_entropy_backward(1.0, wide), 2e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(st.floats(-10, 10), SEEDS)
@examples()
def test_a_number_as_cotangent_has_the_dtype_of_the_logits(dtype, dL, seed):
    _, z, targets = random_inputs(seed, 3)
    _, cache = sigmoid_cross_entropy_forward(z.astype(dtype), targets, 0.1)
    assert to_bytes(sigmoid_cross_entropy_backward(dL, cache)) == to_bytes(
        sigmoid_cross_entropy_backward(np.asarray(dL, dtype), cache)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_is_taken_on_the_device_of_the_logits(device, dtype):
    _, cache = sigmoid_cross_entropy_forward(ROWS.astype(dtype), TARGETS, 0.1)
    assert_computes_on_the_device(device, sigmoid_cross_entropy_backward, 0.3, cache)


def test_an_empty_batch_has_loss_zero():
    loss, cache = sigmoid_cross_entropy_forward(np.zeros((0, 4)), np.zeros((0, 4), bool), 0.1)
    assert loss == 0.0 and sigmoid_cross_entropy_backward(1.0, cache).shape == (0, 4)


@pytest.mark.parametrize("wrong", [None, TARGETS.tolist(), TARGETS.astype(int), TARGETS[:2], TARGETS[:, :1]])
def test_wrong_targets_are_named(wrong):
    with pytest.raises(ValueError, match=r"^targets: expected a boolean array of shape \(3, 2\)"):
        sigmoid_cross_entropy_forward(ROWS, wrong)


@pytest.mark.parametrize("wrong", [-0.1, 1.0, float("nan")])
def test_a_wrong_smoothing_is_named(wrong):
    with pytest.raises(ValueError, match="^smoothing: "):
        sigmoid_cross_entropy_forward(ROWS, TARGETS, wrong)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_a_wrong_weight_is_named(wrong):
    with pytest.raises(ValueError, match="^weights: must be positive and finite"):
        sigmoid_cross_entropy_forward(ROWS, TARGETS, 0.1, np.array([[1.0, wrong], [1.0, 1.0]]))


def test_forgotten_weights_are_caught():
    def corrupted(dL, cache):
        return sigmoid_cross_entropy_backward(dL, cache._replace(decision_weights=None))

    def forward(z):
        return sigmoid_cross_entropy_forward(z, TARGETS, 0.2, np.array([[0.5, 2.0], [3.0, 1.0]]))

    assert caught(forward, corrupted, ROWS) and not caught(forward, sigmoid_cross_entropy_backward, ROWS)


WRONG = {
    "a sum for a mean": lambda dL, cache: 3 * sigmoid_cross_entropy_backward(dL, cache),
    "a mean over classes": lambda dL, cache: sigmoid_cross_entropy_backward(dL, cache) / 2,
    "a forgotten cotangent": lambda dL, cache: sigmoid_cross_entropy_backward(1.0, cache),
    "the other labels": lambda dL, cache: sigmoid_cross_entropy_backward(dL, cache._replace(targets=~cache.targets)),
    "no smoothing": lambda dL, cache: sigmoid_cross_entropy_backward(dL, cache._replace(smoothing=0.0)),
    "smoothing towards 1/K": lambda dL, cache: sigmoid_cross_entropy_backward(dL, cache._replace(smoothing=0.4)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_gradient_is_caught(wrong):
    assert caught(sigmoid_cross_entropy_forward, WRONG[wrong], ROWS, TARGETS, 0.2)
