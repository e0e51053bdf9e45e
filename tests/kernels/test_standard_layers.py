"""E8, E9, E11, E14 and E15 by kernels beside their equations."""

import numpy as np
import pytest

from engine.arrays.bag import Bag
from layers.equations import EQUATIONS
from layers.fast import FUNCTIONS, gelu_cuda, softmax_cross_entropy_cuda
from layers.standard.gelu import gelu_backward, gelu_forward
from layers.standard.pooling import POOLINGS
from tests.support.random_bags import BAGS, random_bag
from tests.support.twin_checks import SIZES, assert_kernels_agree, both_pairs

GELU = ("gelu_forward", "gelu_backward")
POOLING = ("mean_pooling_forward", "mean_pooling_backward")
SIGMOID_CROSS_ENTROPY = ("sigmoid_cross_entropy_forward", "sigmoid_cross_entropy_backward", "finish_columns")
CROSS_ENTROPY = ("softmax_cross_entropy_forward", "softmax_cross_entropy_backward", "finish_columns")


@pytest.mark.parametrize("columns", SIZES)
def test_gelu(emulated, columns):
    rng = np.random.default_rng(columns)
    x, bias = 3 * rng.standard_normal((3, columns)), rng.standard_normal(columns)
    assert_kernels_agree(emulated, "gelu", (x,), GELU)
    pairs = ((gelu_cuda.forward, gelu_cuda.backward), (lambda x, bias: gelu_forward(x + bias), gelu_backward))
    assert_kernels_agree(emulated, pairs, (x, bias), GELU)


def test_gelu_keeps_the_digits_of_its_tail(emulated):
    x = np.array([[-9.0, -5.0, -1e-30, 0.0, 1e-30, 40.0, -40.0, np.nan]])
    (forward, _), (equation_forward, _) = both_pairs("gelu")
    expected, _ = equation_forward(x)
    with emulated():
        y, _ = forward(x)
        single, _ = forward(x.astype(np.float32))
    np.testing.assert_allclose(y, expected, rtol=2e-13, atol=1e-320)
    np.testing.assert_allclose(single, expected, rtol=2e-5, atol=1e-37)


@pytest.mark.parametrize("rows", [1, 5, 300])
@pytest.mark.parametrize("activation, kernels", [("gelu", (*GELU, "finish_columns")), ("relu", ("finish_columns",))])
@pytest.mark.parametrize("dropped", [False, True])
def test_feed_forward(emulated, rows, activation, kernels, dropped):
    rng = np.random.default_rng(rows)
    shapes = ((rows, 33), (33, 24), (24,), (24, 33), (33,))
    inputs = [rng.standard_normal(shape) for shape in shapes]
    mask = (rng.random((rows, 24)) < 0.8) * 1.25 if dropped else None
    tolerances = {np.float32: 5e-6, np.float64: 1e-13}
    inputs = (*inputs, activation, *([mask] if dropped else []))
    assert_kernels_agree(emulated, "feed_forward", inputs, kernels, tolerances=tolerances)


def test_feed_forward_keeps_one_array_of_its_inner_width(emulated):
    x, weights = np.ones((3, 4)), (np.ones((4, 7)), np.ones(7), np.ones((7, 4)), np.ones(4))
    with emulated():
        _, cache = FUNCTIONS["fast"].feed_forward_forward(x, *weights, "gelu")
    assert [a.shape for a in (cache.x, *cache.activation) if len(a) == 3] == [(3, 4), (3, 7)]


@pytest.mark.parametrize("lengths", [[1], [0, 3, 0], [7, 8, 9, 300], [0, 0]])
@pytest.mark.parametrize("columns", [1, 33])
@pytest.mark.parametrize("form", BAGS)
def test_mean_pooling(emulated, lengths, columns, form):
    rng = np.random.default_rng(columns)
    rows, bag = random_bag(rng, lengths, form, 20)
    assert_kernels_agree(emulated, "bag_pooling", (rng.standard_normal((rows, columns)), bag), POOLING)


@pytest.mark.parametrize("kind", [kind for kind in POOLINGS if kind != "mean"])
def test_the_other_poolings_have_no_kernel_of_their_own(emulated, kind):
    x, bag = np.random.default_rng(0).standard_normal((5, 3)), Bag(None, None, np.array([0, 2, 5]))
    assert_kernels_agree(emulated, "bag_pooling", (x, bag), (), kind=kind)
    with emulated() as emulator:
        FUNCTIONS["fast"].bag_pooling_forward(x, bag, kind)
    assert not {name for name, _ in emulator.launched} & set(POOLING)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("classes", [1, 2, 127, 128, 129, 1000])
def test_softmax_cross_entropy(emulated, classes, smoothing):
    rng = np.random.default_rng(classes)
    inputs = 5 * rng.standard_normal((4, classes)), rng.integers(0, classes, 4)
    for weights in (None, rng.uniform(0.1, 9, classes)):
        options = {"smoothing": smoothing, "weights": weights}
        assert_kernels_agree(emulated, "softmax_cross_entropy", inputs, CROSS_ENTROPY, **options)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_texts_that_are_all_but_certain(emulated, smoothing):
    """Loss and gradient are so small that only what is computed beside the 1 of the largest agrees."""
    inputs = np.array([[40.0, 0.0, 3.0], [0.0, -1.0, 35.0]]), np.array([0, 2])
    assert_kernels_agree(emulated, "softmax_cross_entropy", inputs, CROSS_ENTROPY, smoothing=smoothing)


def test_cross_entropy_at_its_limits(emulated):
    (forward, backward), (equation_forward, equation_backward) = both_pairs("softmax_cross_entropy")
    z = np.array([[1e30, -1e30, 0.0], [-np.inf, 0.0, 0.0], [700.0, -700.0, 0.0]])
    labels = np.array([0, 1, 2], np.int32)
    expected, equation_cache = equation_forward(z, labels)
    gradient = equation_backward(1.0, equation_cache)
    with emulated():
        loss, cache = forward(z, labels)
        assert np.array_equal(backward(1.0, cache), gradient)
        half, array = backward(np.float64(0.5), cache), backward(np.asarray(0.5), cache)
    assert abs(loss / expected - 1) < 1e-15 and loss.shape == ()
    assert np.array_equal(half, array) and np.array_equal(half, 0.5 * gradient)


@pytest.mark.parametrize("place", [0, 1, 200])
def test_a_logit_that_is_nan_spoils_its_text_alone(emulated, place):
    forward, backward = FUNCTIONS["fast"].pairs["softmax_cross_entropy"]
    z = np.zeros((2, 201))
    z[0, place] = np.nan
    with emulated():
        loss, cache = forward(z, np.array([5, 5]))
        dz = backward(1.0, cache)
    assert np.isnan(loss) and np.isnan(dz[0]).all() and np.isfinite(dz[1]).all()


def test_a_label_that_does_not_exist_makes_the_loss_nan(emulated, monkeypatch):
    """On a device, where labels are not looked into."""
    monkeypatch.setattr(softmax_cross_entropy_cuda, "check_arguments", lambda *_: None)
    for wrong in (3, -1, 10**12):
        for labels in ([0, wrong], [wrong, 0]):
            with emulated():
                found = [
                    softmax_cross_entropy_cuda.forward(np.zeros((2, 3)), np.array(labels), 0.0, weights)[0]
                    for weights in (None, np.ones(3))
                ]
            assert np.isnan(found).all()


def test_an_empty_batch_has_no_loss(emulated):
    with emulated() as emulator:
        loss, cache = FUNCTIONS["fast"].softmax_cross_entropy_forward(np.zeros((0, 3)), np.zeros(0, np.int64))
        dz = FUNCTIONS["fast"].softmax_cross_entropy_backward(1.0, cache)
    assert loss == 0 and dz.shape == (0, 3) and not emulator.launched


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("classes", [1, 2, 127, 128, 129, 1000])
def test_sigmoid_cross_entropy(emulated, classes, smoothing):
    rng = np.random.default_rng(classes)
    inputs = 5 * rng.standard_normal((4, classes)), rng.random((4, classes)) < 0.3
    for weights in (None, rng.uniform(0.1, 9, (2, classes))):
        options = {"smoothing": smoothing, "weights": weights}
        assert_kernels_agree(emulated, "sigmoid_cross_entropy", inputs, SIGMOID_CROSS_ENTROPY, **options)


def test_decisions_that_are_all_but_certain(emulated):
    """Loss and gradient are so small that only what is computed beside the 1 agrees."""
    inputs = (
        np.array([[40.0, -35.0, 38.0], [-40.0, 37.0, -36.0]]),
        np.array([[True, False, True], [False, True, False]]),
    )
    assert_kernels_agree(emulated, "sigmoid_cross_entropy", inputs, SIGMOID_CROSS_ENTROPY)


def test_sigmoid_cross_entropy_at_its_limits(emulated):
    (forward, backward), (equation_forward, equation_backward) = both_pairs("sigmoid_cross_entropy")
    z = np.array([[1e30, -1e30, 0.0], [-np.inf, np.inf, 0.0], [700.0, -700.0, 0.0]])
    targets = np.array([[False, True, True], [False, True, False], [True, False, True]])
    expected, equation_cache = equation_forward(z, targets)
    gradient = equation_backward(1.0, equation_cache)
    with emulated():
        loss, cache = forward(z, targets)
        assert np.array_equal(backward(1.0, cache), gradient)
        half, array = backward(np.float64(0.5), cache), backward(np.asarray(0.5), cache)
    assert abs(loss / expected - 1) < 1e-15 and loss.shape == ()
    assert np.array_equal(half, array) and np.array_equal(half, 0.5 * gradient)


@pytest.mark.parametrize("place", [0, 1, 200])
def test_a_logit_that_is_nan_spoils_its_decision_alone(emulated, place):
    forward, backward = FUNCTIONS["fast"].pairs["sigmoid_cross_entropy"]
    z = np.zeros((2, 201))
    z[0, place] = np.nan
    with emulated():
        loss, cache = forward(z, z > 0)
        dz = backward(1.0, cache)
    assert np.isnan(loss) and np.isnan(dz).sum() == 1 and np.isnan(dz[0, place])


def test_an_empty_batch_of_decisions_has_no_loss(emulated):
    with emulated() as emulator:
        loss, cache = FUNCTIONS["fast"].sigmoid_cross_entropy_forward(np.zeros((0, 3)), np.zeros((0, 3), bool))
        dz = FUNCTIONS["fast"].sigmoid_cross_entropy_backward(1.0, cache)
    assert loss == 0 and dz.shape == (0, 3) and not emulator.launched


def test_embedding(emulated):
    rng = np.random.default_rng(0)
    table, dy = rng.standard_normal((10, 33)), rng.standard_normal((3, 33))
    for ids in (np.array([1, 4, 9]), np.array([4, 1, 4])):
        y, cache = EQUATIONS.embedding_forward(ids, table)
        expected = EQUATIONS.embedding_backward(dy, cache)
        with emulated() as emulator:
            found, cache = EQUATIONS.embedding_forward(ids, table)
            grad = EQUATIONS.embedding_backward(dy, cache)
        assert ("gather_rows", "float64") in emulator.launched
        assert np.array_equal(found, y) and np.array_equal(grad.rows, expected.rows)
        np.testing.assert_allclose(grad.values, expected.values, rtol=1e-15)


def test_the_losses_of_many_texts_are_all_added_up(emulated):
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((300, 3)), rng.integers(0, 3, 300)
    assert_kernels_agree(emulated, "softmax_cross_entropy", inputs, CROSS_ENTROPY)
