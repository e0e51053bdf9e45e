"""The norms of a gradient at [CLS], at all input tokens, and at the classifier."""

import numpy as np
import pytest

from engine.layer import Parameter, RowSparse
from layers.experiments.study.measures import gradient_norms
from layers.networks import Transformer, TransformerConfig, WaveNetwork, WaveNetworkConfig
from layers.networks.text_classifier import example_batch

KEYS = ["gradient_cls", "gradient_input", "gradient_classifier"]


def parameters_with(table, classifier):
    made = {
        "embedding.table": Parameter(np.zeros((6, 2), np.float32)),
        "classifier.weight": Parameter(np.zeros((2, 2), np.float32)),
    }
    made["embedding.table"].grad, made["classifier.weight"].grad = table, classifier
    return made


def test_known_norms_of_dense_and_row_sparse_gradients():
    sparse = RowSparse(np.array([1, 4]), np.array([[3.0, 4.0], [0.0, 12.0]], np.float32))
    classifier = np.array([[2.0, 1.0], [2.0, 0.0]], np.float32)
    for table in (sparse, sparse.dense(6)):
        assert list(gradient_norms(parameters_with(table, classifier), 1)) == KEYS
        assert list(gradient_norms(parameters_with(table, classifier), 1).values()) == [5.0, 13.0, 3.0]
        assert gradient_norms(parameters_with(table, classifier), 4)["gradient_cls"] == 12.0
        assert gradient_norms(parameters_with(table, classifier), 0)["gradient_cls"] == 0.0


def test_without_a_gradient_all_are_zero():
    assert list(gradient_norms(parameters_with(None, None), 1).values()) == [0.0, 0.0, 0.0]


def test_small_gradients_of_float32_do_not_vanish():
    table = RowSparse(np.array([1]), np.full((1, 2), 3e-30, np.float32))
    assert gradient_norms(parameters_with(table, None), 1)["gradient_cls"] == pytest.approx(3e-30 * 2**0.5, rel=1e-6)


@pytest.mark.parametrize("network", [
    WaveNetwork(WaveNetworkConfig(dimension=4, hidden=5), 9, 3, 0, np.float64),
    Transformer(TransformerConfig(dimension=4, heads=2, hidden=5), 9, 3, 0, np.float64),
], ids=["wave", "transformer"])  # fmt: skip
def test_they_are_slopes_of_the_loss(network):
    """A step of length h along the gradient of [CLS]'s row changes the loss by h times its norm."""
    batch = example_batch(9, 3, [4, 2, 7])
    network.zero_grad()
    network.loss_backward(network.loss_forward(batch)[1])
    parameters = network.parameters()
    first = int(batch.ids[0])
    found = gradient_norms(parameters, first)
    for name, key, rows in (
        ("embedding.table", "gradient_cls", [first]),
        ("embedding.table", "gradient_input", slice(None)),
        ("classifier.weight", "gradient_classifier", slice(None)),
    ):
        value, gradient = parameters[name].value, parameters[name].dense_grad()[rows]
        losses, h = [], 1e-6
        for sign in (1, -1):
            parameters[name].value = value.copy()
            parameters[name].value[rows] += sign * h * gradient / np.linalg.norm(gradient)
            losses.append(network.loss_forward(batch)[0])
        parameters[name].value = value
        assert found[key] == pytest.approx((losses[0] - losses[1]) / (2 * h), rel=1e-6)
