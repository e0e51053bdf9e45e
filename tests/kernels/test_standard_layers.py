"""E9, E11, E14 and E15 by kernels beside their plain twins."""

import numpy as np
import pytest

from layers.standard.embedding import embedding_backward, embedding_forward
from layers.standard.gelu import gelu_backward, gelu_forward
from layers.standard.layer_norm import layer_norm_backward, layer_norm_forward
from layers.standard.pooling import pooling_backward, pooling_forward
from layers.standard.softmax_cross_entropy import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from tests.support.layer_laws import offsets_of
from tests.support.twin_checks import SIZES, assert_kernels_agree


@pytest.mark.parametrize("columns", SIZES)
def test_gelu(emulated, columns):
    rng = np.random.default_rng(columns)
    x, bias = 3 * rng.standard_normal((3, columns)), rng.standard_normal(columns)
    for inputs in ((x,), (x, bias)):
        assert_kernels_agree(emulated, gelu_forward, gelu_backward, inputs, ("gelu_forward", "gelu_backward"))


def test_gelu_keeps_the_digits_of_its_tail(emulated):
    x = np.array([[-9.0, -5.0, -1e-30, 0.0, 1e-30, 40.0, -40.0, np.nan]])
    expected, _ = gelu_forward(x)
    with emulated():
        y, _ = gelu_forward(x)
        single, _ = gelu_forward(x.astype(np.float32))
    np.testing.assert_allclose(y, expected, rtol=2e-13, atol=1e-320)
    np.testing.assert_allclose(single, expected, rtol=2e-5, atol=1e-37)


@pytest.mark.parametrize("lengths", [[1], [0, 3, 0], [7, 8, 9, 300], [0, 0]])
@pytest.mark.parametrize("columns", [1, 33])
def test_mean_pooling(emulated, lengths, columns):
    rng = np.random.default_rng(columns)
    x, offsets = rng.standard_normal((sum(lengths), columns)), offsets_of(lengths)
    kernels = ("mean_pooling_forward", "mean_pooling_backward")
    assert_kernels_agree(emulated, pooling_forward, pooling_backward, (x, offsets), kernels)
    counts = rng.integers(1, 5, len(x))
    assert_kernels_agree(emulated, pooling_forward, pooling_backward, (x, offsets), kernels, kind="mean", counts=counts)


@pytest.mark.parametrize("kind", ["max", "cls"])
def test_the_other_poolings_have_no_kernel_of_their_own(emulated, kind):
    x, offsets = np.random.default_rng(0).standard_normal((5, 3)), np.array([0, 2, 5])
    assert_kernels_agree(emulated, pooling_forward, pooling_backward, (x, offsets), (), kind=kind)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("classes", [1, 2, 127, 128, 129, 1000])
def test_softmax_cross_entropy(emulated, classes, smoothing):
    rng = np.random.default_rng(classes)
    z, labels = 5 * rng.standard_normal((4, classes)), rng.integers(0, classes, 4)
    kernels = ("softmax_cross_entropy_forward", "softmax_cross_entropy_backward", "finish_columns")
    assert_kernels_agree(
        emulated,
        softmax_cross_entropy_forward,
        softmax_cross_entropy_backward,
        (z, labels),
        kernels,
        smoothing=smoothing,
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_softmax_cross_entropy_of_texts_that_are_all_but_certain(emulated, smoothing):
    """Loss and gradient are so small that only what is computed beside the 1 of the largest agrees."""
    z, labels = np.array([[40.0, 0.0, 3.0], [0.0, -1.0, 35.0]]), np.array([0, 2])
    assert_kernels_agree(
        emulated,
        softmax_cross_entropy_forward,
        softmax_cross_entropy_backward,
        (z, labels),
        ("finish_columns",),
        smoothing=smoothing,
    )


def test_softmax_cross_entropy_at_its_limits(emulated):
    z = np.array([[1e30, -1e30, 0.0], [-np.inf, 0.0, 0.0], [700.0, -700.0, 0.0]])
    labels = np.array([0, 1, 2], np.int32)
    expected, cache = softmax_cross_entropy_forward(z, labels)
    with emulated():
        loss, fused = softmax_cross_entropy_forward(z, labels)
        assert np.array_equal(softmax_cross_entropy_backward(1.0, fused), softmax_cross_entropy_backward(1.0, cache))
        half = softmax_cross_entropy_backward(np.float64(0.5), fused)
        array = softmax_cross_entropy_backward(np.asarray(0.5), fused)
    assert abs(loss / expected - 1) < 1e-15 and loss.shape == ()
    assert np.array_equal(half, array) and np.array_equal(half, 0.5 * softmax_cross_entropy_backward(1.0, cache))


def test_the_losses_of_many_texts_are_all_added_up(emulated):
    rng = np.random.default_rng(0)
    z, labels = rng.standard_normal((300, 3)), rng.integers(0, 3, 300)
    assert_kernels_agree(
        emulated, softmax_cross_entropy_forward, softmax_cross_entropy_backward, (z, labels), ("finish_columns",)
    )


@pytest.mark.parametrize("place", [0, 1, 200])
def test_a_logit_that_is_not_a_number_spoils_its_text_alone(emulated, place):
    z = np.zeros((2, 201))
    z[0, place] = np.nan
    with emulated():
        loss, cache = softmax_cross_entropy_forward(z, np.array([5, 5]))
        dz = softmax_cross_entropy_backward(1.0, cache)
    assert np.isnan(loss) and np.isnan(dz[0]).all() and np.isfinite(dz[1]).all()


def test_a_label_that_does_not_exist_makes_the_loss_nan(emulated):
    from layers.fast import softmax_cross_entropy_cuda as softmax_cross_entropy_fused

    for wrong in (3, -1, 10**12):
        for labels in ([0, wrong], [wrong, 0]):
            with emulated():
                loss, _ = softmax_cross_entropy_fused.forward(np.zeros((2, 3)), np.array(labels))
            assert np.isnan(loss)


def test_embedding(emulated):
    rng = np.random.default_rng(0)
    table, dy = rng.standard_normal((10, 33)), rng.standard_normal((3, 33))
    for ids, distinct in ((np.array([1, 4, 9]), True), (np.array([4, 1, 4]), False)):
        y, cache = embedding_forward(ids, table, distinct)
        expected = embedding_backward(dy, cache)
        with emulated() as emulator:
            found, cache = embedding_forward(ids, table, distinct)
            grad = embedding_backward(dy, cache)
        assert ("gather_rows", "float64") in emulator.launched
        assert np.array_equal(found, y) and np.array_equal(grad.rows, expected.rows)
        np.testing.assert_allclose(grad.values, expected.values, rtol=1e-15)


def wrong_calls():
    x, offsets, vector = np.zeros((3, 4)), np.array([0, 3]), np.zeros(4)
    return {
        "gain": lambda: layer_norm_forward(x, np.zeros(3), vector),
        "bias of another dtype": lambda: layer_norm_forward(x, vector, vector.astype(np.float32)),
        "residual": lambda: layer_norm_forward(x, vector, vector, residual=np.zeros((2, 4))),
        "residual_rows": lambda: layer_norm_forward(x, vector, vector, residual=x, residual_rows=np.array([0, 1])),
        "bias": lambda: gelu_forward(x, np.zeros(3)),
        "x": lambda: gelu_forward(np.zeros(3)),
        "offsets": lambda: pooling_forward(x, np.array([0, 2])),
        "kind": lambda: pooling_forward(x, offsets, "median"),
        "labels": lambda: softmax_cross_entropy_forward(x, np.array([0, 4, 1])),
        "smoothing": lambda: softmax_cross_entropy_forward(x, np.array([0, 1, 1]), 1.0),
    }


@pytest.mark.parametrize("call", wrong_calls())
def test_wrong_arguments_are_refused_before_a_kernel_sees_them(emulated, call):
    with emulated() as emulator, pytest.raises(ValueError, match=call.split()[0]):
        wrong_calls()[call]()
    assert not emulator.launched


@pytest.mark.parametrize("wrong", [np.zeros((3, 5)), np.zeros((2, 4)), np.zeros((3, 4), np.float32), np.zeros(12)])
def test_wrong_cotangents_are_refused_before_a_kernel_sees_them(emulated, wrong):
    x = np.ones((3, 4))
    with emulated() as emulator:
        caches = [(layer_norm_backward, layer_norm_forward(x, x[0], x[0])), (gelu_backward, gelu_forward(x))]
        caches.append((pooling_backward, pooling_forward(x, np.array([0, 1, 2, 3]))))
        emulator.launched.clear()
        for backward, (_, cache) in caches:
            with pytest.raises(ValueError, match="dy"):
                backward(wrong, cache)
        assert not emulator.launched


def test_arrays_are_found_by_name_as_well(emulated):
    with emulated() as emulator:
        gelu_forward(x=np.ones((3, 4)))
    assert emulator.launched
