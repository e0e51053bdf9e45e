"""Texts as bags: what the planned network computes once, and how it hands gradients back."""

import numpy as np
import pytest

from engine.arrays.ragged import RaggedBatch
from engine.implementation import Functions
from engine.layer import RowSparse
from layers.networks.text_classifier import example_batch
from layers.standard.pooling import POOLINGS
from layers.wave import OPERATIONS
from tests.support.layer_laws import assert_equal
from tests.support.small_networks import (
    CLASSES,
    COMBINATIONS,
    KINDS,
    assert_gradients_agree,
    assert_network_gradients,
    every_combination,
    in_pairs,
    loss_and_gradients,
    network_of,
)

# Ten tokens, of which four are distinct; 2, 1, 0 and 3 distinct ones in the texts.
REPEATS = RaggedBatch(np.array([1, 1, 2, 1, 3, 5, 2, 2, 1, 2]), np.array([0, 4, 5, 5, 10]), np.array([0, 1, 2, 0]))
TOKENS, DISTINCT, DISTINCT_OF_TEXTS, TEXTS = 10, 4, 6, 4
SHARING = [name for name, operation in OPERATIONS.items() if operation.shares_magnitude]


def with_a_row_for_every_token(network, batch):
    """(network, batch) that compute the same, but no token id occurs twice: the table has copies of its rows."""
    config = network.config
    copy = type(network)(config, len(batch.ids), CLASSES, 0, network.embedding.table.value.dtype)
    for name, parameter in network.parameters().items():
        copy.parameters()[name].value = (
            parameter.value[batch.ids] if name == "embedding.table" else parameter.value.copy()
        )
    return copy, batch._replace(ids=np.arange(len(batch.ids)))


@pytest.mark.parametrize(
    "kind, operation, readout, fields",
    in_pairs(
        KINDS,
        COMBINATIONS,
        [{}, {"pooling": "max", "scope": "text", "blocks": 2}, {"wave_residual": False, "pooling": "cls"}],
    ),
)
def test_the_embedding_gradient_is_sparse_and_right(kind, operation, readout, fields):
    network, batch = (
        network_of(kind, vocabulary=1000, operation=operation, readout=readout, **fields),
        example_batch(9, CLASSES, [2, 4, 0, 7, 9]),
    )
    assert len(np.unique(batch.ids)) < len(batch.ids) and len(np.unique(batch.ids[6:13])) < 7, (
        "some tokens are repeated in a text"
    )
    loss, gradients = loss_and_gradients(network, batch)
    grad = network.embedding.table.grad
    assert isinstance(grad, RowSparse) and grad.rows.tolist() == sorted(set(batch.ids.tolist()))
    assert grad.values.shape == (len(grad.rows), 4), "one row for each distinct token"

    copy, spread_out = with_a_row_for_every_token(network, batch)
    expected_loss, expected = loss_and_gradients(copy, spread_out)
    dense = np.zeros((1000, 4))
    np.add.at(dense, batch.ids, expected["embedding.table"])
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert_gradients_agree(gradients, {**expected, "embedding.table": dense}, 1e-11)


class KeepsEverything:
    """A generator under which nothing is dropped."""

    def random(self, size, dtype):
        return np.ones(size, dtype)


def rows_computed(network, batch=REPEATS, train=False):
    """[(rows that reach the linear variants, rows that reach the feed-forward)] of every block; nothing is dropped."""
    seen, maps = [], []
    pairs = network.functions.pairs

    def linear_forward(x, *weights):
        maps.append(len(x))
        return pairs["linear"][0](x, *weights)

    def feed_forward_forward(x, *options):
        seen.append((maps[0], len(x)))
        maps.clear()
        return pairs["feed_forward"][0](x, *options)

    watched = {"linear": linear_forward, "feed_forward": feed_forward_forward}
    network.use(Functions({**pairs, **{name: (forward, pairs[name][1]) for name, forward in watched.items()}}))
    network.forward(batch, train, KeepsEverything())
    return seen


@every_combination
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_repeated_tokens_are_computed_once(operation, readout, pooling):
    network = network_of(operation=operation, readout=readout, pooling=pooling, blocks=2)
    assert rows_computed(network) == [(DISTINCT, DISTINCT_OF_TEXTS), (DISTINCT_OF_TEXTS, DISTINCT_OF_TEXTS)]


@pytest.mark.parametrize(
    "fields, train, expected",
    [
        ({"pooling": "cls"}, False, (DISTINCT, TOKENS)),
        ({"pooling": "cls"}, True, (DISTINCT, TOKENS)),
        ({"dropout": 0.2}, True, (DISTINCT, TOKENS)),
        ({"dropout": 0.2}, False, (DISTINCT, DISTINCT_OF_TEXTS)),
        ({"embedding_dropout": 0.2}, True, (TOKENS, TOKENS)),
        ({"embedding_dropout": 0.2}, False, (DISTINCT, DISTINCT_OF_TEXTS)),
        ({"token_dropout": 0.2, "classifier_dropout": 0.2}, True, (DISTINCT, DISTINCT_OF_TEXTS)),
    ],
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_tokens_that_are_set_apart_are_computed_one_by_one(operation, fields, train, expected):
    """By dropout, or by their position."""
    network = network_of(operation=operation, readout="both", blocks=2, **fields)
    assert rows_computed(network, train=train) == [expected, (expected[1], expected[1])]


@pytest.mark.parametrize(
    "fields, train, expected",
    [
        ({"wave_residual": False}, False, [(DISTINCT, TEXTS), (TEXTS, TEXTS)]),
        ({"wave_residual": False, "pooling": "cls"}, True, [(DISTINCT, TEXTS), (TEXTS, TEXTS)]),
        ({"wave_residual": False, "dropout": 0.2}, False, [(DISTINCT, TEXTS), (TEXTS, TEXTS)]),
        ({"wave_residual": False, "dropout": 0.2}, True, [(DISTINCT, TOKENS), (TOKENS, TOKENS)]),
        ({"wave_residual": True}, False, [(DISTINCT, DISTINCT_OF_TEXTS), (DISTINCT_OF_TEXTS, DISTINCT_OF_TEXTS)]),
        (
            {"wave_residual": True, "scope": "text"},
            False,
            [(DISTINCT, DISTINCT_OF_TEXTS), (DISTINCT_OF_TEXTS, DISTINCT_OF_TEXTS)],
        ),
    ],
)
@pytest.mark.parametrize("operation", SHARING)
def test_where_tokens_become_alike_a_text_is_one_row(operation, fields, train, expected):
    """By the magnitude of a modulation or a correlation."""
    network = network_of(operation=operation, readout="magnitude", blocks=2, **fields)
    assert rows_computed(network, train=train) == expected


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("operation", SHARING)
def test_gradients_where_a_text_is_one_row(operation, pooling, blocks):
    network = network_of(operation=operation, readout="magnitude", wave_residual=False, pooling=pooling, blocks=blocks)
    assert_network_gradients(network, REPEATS)


@pytest.mark.parametrize(
    "operation, readout, pooling, dtype", in_pairs(COMBINATIONS, ["mean", "max"], [np.float32, np.float64])
)
def test_loss_and_gradients_have_no_trace_of_the_order_of_tokens(operation, readout, pooling, dtype):
    """Not even in the last bit."""
    network = network_of(operation=operation, readout=readout, pooling=pooling, dtype=dtype, blocks=2)
    order = np.array([3, 1, 0, 2, 4, 9, 7, 5, 8, 6])
    expected = loss_and_gradients(network, REPEATS)
    assert_equal(loss_and_gradients(network, REPEATS._replace(ids=REPEATS.ids[order]))[0], expected[0])
    for name, gradient in loss_and_gradients(network, REPEATS._replace(ids=REPEATS.ids[order]))[1].items():
        assert np.array_equal(gradient, expected[1][name]), name
