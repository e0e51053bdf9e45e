"""Gradients of whole Wave Networks, token by token and by plan."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays.ragged import RaggedBatch
from layers.networks.text_classifier import example_batch
from layers.standard.pooling import POOLINGS
from layers.wave import OPERATIONS, SCOPES
from tests.support.layer_laws import SEEDS, assert_equal, caught, examples
from tests.support.small_networks import (
    CLASSES,
    COMBINATIONS,
    DIFFERENTIABLE,
    DROPOUTS,
    KINDS,
    LENGTHS,
    VOCABULARY,
    assert_network_gradients,
    both_kinds,
    every_combination,
    gradient_report,
    in_pairs,
    network_of,
)


@pytest.mark.parametrize("kind, operation, readout, scope", in_pairs(KINDS, DIFFERENTIABLE, SCOPES))
@pytest.mark.parametrize("blocks", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_gradient_of_every_parameter(kind, operation, readout, scope, blocks):
    network = network_of(kind, operation=operation, readout=readout, scope=scope, blocks=blocks)
    assert_network_gradients(network, example_batch(VOCABULARY, CLASSES, LENGTHS))


@both_kinds
def test_gradient_of_every_parameter_without_blocks(kind):
    assert_network_gradients(network_of(kind, blocks=0), example_batch(VOCABULARY, CLASSES, LENGTHS))


@pytest.mark.parametrize(
    "kind, pooling, hidden, wave_residual, activation",
    in_pairs(KINDS, list(POOLINGS), [0, 5], [False, True], ["gelu", "relu"]),
)
def test_gradient_of_every_parameter_of_other_shapes(kind, pooling, hidden, wave_residual, activation):
    network = network_of(kind, pooling=pooling, hidden=hidden, wave_residual=wave_residual, activation=activation)
    assert_network_gradients(network, example_batch(VOCABULARY, CLASSES, LENGTHS))


@both_kinds
@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradient_of_every_parameter_under_dropout(kind, operation):
    network = network_of(kind, operation=operation, label_smoothing=0.1, **DROPOUTS)
    assert_network_gradients(network, example_batch(VOCABULARY, CLASSES, [1, 8, 5, 7]), train_seed=3)


@both_kinds
@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), SEEDS, st.sampled_from(list(OPERATIONS)))
@examples(15)
def test_gradient_on_any_batch(kind, lengths, seed, operation):
    network = network_of(kind, seed=seed % 1000, operation=operation, readout="both")
    assert_network_gradients(network, example_batch(VOCABULARY, CLASSES, lengths, seed))


@pytest.mark.parametrize(
    "kind, operation, readout, scope, dtype", in_pairs(KINDS, COMBINATIONS, SCOPES, [np.float32, np.float64])
)
def test_texts_of_one_token_have_finite_gradients(kind, operation, readout, scope, dtype):
    """Where differentiation of the polar form divides 0 by 0."""
    network = network_of(kind, operation=operation, readout=readout, scope=scope, dtype=dtype, blocks=2)
    loss, cache = network.loss_forward(example_batch(VOCABULARY, CLASSES, [1, 1, 1]))
    network.loss_backward(cache)
    assert np.isfinite(loss)
    assert all(np.isfinite(p.dense_grad()).all() for p in network.parameters().values())


@both_kinds
@every_combination
def test_repeated_and_zero_embeddings_have_finite_gradients(kind, operation, readout):
    network = network_of(kind, operation=operation, readout=readout)
    network.embedding.table.value[:3] = 0
    loss, cache = network.loss_forward(RaggedBatch(np.array([0, 1, 2, 5, 5, 5]), np.array([0, 3, 6]), np.array([0, 1])))
    network.loss_backward(cache)
    assert np.isfinite(loss)
    assert all(np.isfinite(p.dense_grad()).all() for p in network.parameters().values())


@both_kinds
@pytest.mark.parametrize("part", ["first_variant.weight", "wave_norm.gain", "feed_forward.expand.bias"])
def test_a_parameter_that_receives_nothing_is_caught(kind, part):
    network = network_of(kind)
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS)
    lost = network.parameters()[f"blocks.0.{part}"]
    lost.accumulate = lambda grad: None
    report = gradient_report(network, batch)
    assert not report.ok and f"parameter blocks.0.{part}" in {row.name for row in report.failures}


@both_kinds
def test_a_forgotten_residual_is_caught(kind):
    network = network_of(kind)
    right, config = network.backward, network.config

    def corrupted(dlogits, cache):
        for part in (network, *network.blocks):
            part.config = config.replace(wave_residual=False)
        right(dlogits, cache)
        for part in (network, *network.blocks):
            part.config = config

    network.backward = corrupted
    assert not gradient_report(network, example_batch(VOCABULARY, CLASSES, LENGTHS)).ok


@both_kinds
def test_gradients_accumulate_until_they_are_cleared(kind):
    network, batch = network_of(kind), example_batch(VOCABULARY, CLASSES, LENGTHS)
    _, cache = network.loss_forward(batch)
    network.loss_backward(cache)
    once = {name: p.dense_grad().copy() for name, p in network.parameters().items()}
    network.loss_backward(cache)
    assert all(np.array_equal(p.dense_grad(), 2 * once[name]) for name, p in network.parameters().items())
    network.zero_grad()
    assert all(p.grad is None for p in network.parameters().values())


@both_kinds
def test_the_slope_of_the_loss_is_that_of_one_times_the_loss(kind):
    """Without a cotangent; and with one it is that many times as large, exactly for a power of two."""
    gradients = {}
    for dloss in ((), (1.0,), (2.0,)):
        network = network_of(kind)
        network.loss_backward(network.loss_forward(example_batch(VOCABULARY, CLASSES, LENGTHS))[1], *dloss)
        gradients[dloss] = [parameter.dense_grad() for parameter in network.parameters().values()]
    assert_equal(gradients[()], gradients[(1.0,)])
    assert_equal([g / 2 for g in gradients[(2.0,)]], gradients[(1.0,)])


def test_a_gradient_check_of_the_wrong_loss_fails():
    """Negative control of the harness itself: the gradient of twice the loss is not that of the loss."""
    network, batch = network_of(), example_batch(VOCABULARY, CLASSES, LENGTHS)
    table = network.embedding.table.value

    def forward(table):
        network.embedding.table.value = table
        return network.loss_forward(batch)

    def doubled(dloss, cache):
        network.zero_grad()
        network.loss_backward(cache, 2 * dloss)
        return network.embedding.table.dense_grad()

    assert caught(forward, doubled, table)
