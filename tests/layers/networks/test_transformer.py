"""The Transformer: its gradient, its size, and the laws of its predictions."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.arrays.ragged import RaggedBatch
from engine.gradcheck import assert_gradients
from engine.layer import RowSparse
from engine.support.errors import UserError
from engine.training.adamw import AdamW
from engine.training.step import update
from layers.networks import Transformer, TransformerConfig, build_network
from layers.networks.presets import PRESETS
from layers.networks.text_classifier import example_batch
from tests.support.layer_laws import SEEDS, examples
from tests.support.small_networks import gradient_report, stirred

LENGTHS = [1, 4, 0, 2, 6]
VOCABULARY, CLASSES = 9, 3


def network_of(seed=0, dtype=np.float64, vocabulary=VOCABULARY, **fields):
    """A small network whose norms and biases are not at their initial values, so that every term counts."""
    config = TransformerConfig(
        **{"dimension": 6, "heads": 3, "hidden": 5, "positions": 8, "blocks": 2, "embedding_scale": 1.0, **fields}
    )
    network = Transformer(config, vocabulary, CLASSES, seed, dtype)
    return stirred(network, np.random.default_rng(seed + 1))


@pytest.mark.parametrize("train_seed", [None, 3])
@pytest.mark.parametrize(
    "blocks, method, tolerance", [*((n, "complex_step", 1e-11) for n in (0, 1, 2)), (1, "richardson", 1e-8)]
)
def test_gradient_of_every_parameter(blocks, train_seed, method, tolerance):
    network = network_of(blocks=blocks, dropout=0.3, label_smoothing=0.1)
    assert_gradients(
        gradient_report(
            network, example_batch(VOCABULARY, CLASSES, LENGTHS), train_seed, method=method, tolerance=tolerance
        )
    )


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), SEEDS)
@example([0, 5, 3, 5], 323497)
@examples(10)
def test_gradient_on_any_batch(lengths, seed):
    """That of the keys' bias, which moves all scores of a query alike, is 0: nothing but rounding may be seen of it."""
    network = network_of(seed=seed % 1000, blocks=1)
    report = gradient_report(
        network, example_batch(VOCABULARY, CLASSES, lengths, seed), method="complex_step", tolerance=1e-11
    )
    (zero,) = [row for row in report.rows if row.name == "parameter blocks.0.key.bias"]
    assert zero.verdict in ("ok", "noise") and abs(zero.analytic) < 1e-14 and abs(zero.numeric) < 1e-14
    assert [row.name for row in report.rows if row is not zero and row.verdict != "ok"] == []


PARTS = [
    "blocks.0.query.weight",
    "blocks.1.output.bias",
    "blocks.0.attention_norm.gain",
    "pooler.weight",
    "embedding_norm.bias",
    "positions.table",
]


@pytest.mark.parametrize("part", PARTS)
def test_a_parameter_that_receives_nothing_is_caught(part):
    network = network_of(blocks=2 if ".1." in part else 1)
    network.parameters()[part].accumulate = lambda grad: None
    report = gradient_report(network, example_batch(VOCABULARY, CLASSES, LENGTHS), method="complex_step")
    assert not report.ok and f"parameter {part}" in {row.name for row in report.failures}


@pytest.mark.parametrize("part", ["query", "key", "value"])
def test_a_forgotten_branch_of_a_block_is_caught(part):
    """The embeddings then miss a term."""
    network = network_of(blocks=1)
    layer = getattr(network.blocks[0], part)
    right = layer.backward
    layer.backward = lambda dy, cache: 0 * right(dy, cache)
    assert not gradient_report(network, example_batch(VOCABULARY, CLASSES, LENGTHS), method="complex_step").ok


def test_tables_receive_rows_and_everything_else_arrays():
    network, batch = network_of(), RaggedBatch(np.array([3, 3, 1, 3]), np.array([0, 2, 4]), np.array([0, 1]))
    network.loss_backward(network.loss_forward(batch)[1])
    grads = {name: p.grad for name, p in network.parameters().items()}
    assert {name for name, grad in grads.items() if isinstance(grad, RowSparse)} == {
        "embedding.table",
        "positions.table",
    }
    assert grads["embedding.table"].rows.tolist() == [1, 3] and grads["positions.table"].rows.tolist() == [0, 1]


class Zeros:
    """A generator of nothing, so that a large network is built in no time."""

    def standard_normal(self, shape):
        return np.zeros(shape, np.float32)


@pytest.mark.parametrize("preset, parameters", [("bert-base", 109_480_704), ("transformer-1", 31_514_112)])
def test_a_preset_has_the_parameters_of_its_model(preset, parameters, monkeypatch):
    """Without the classifier. BERT base has 1,536 more, for its two types of tokens."""
    monkeypatch.setattr("layers.networks.transformer.initial_generator", lambda *_: Zeros())
    config = TransformerConfig(
        **{name: value for name, value in PRESETS[preset].items() if name in TransformerConfig.fields()}
    )
    network = Transformer(config, PRESETS[preset]["vocabulary_size"], classes=4)
    d, h, vocabulary, positions = 768, 3072, 30_522, 512
    block = 4 * (d * d + d) + (d * h + h) + (h * d + d) + 2 * 2 * d
    blocks = {"bert-base": 12, "transformer-1": 1}[preset]
    assert vocabulary * d + positions * d + 2 * d + blocks * block + d * d + d == parameters
    assert network.parameter_count() == parameters + 4 * d + 4
    assert (config.heads, config.norm_epsilon) == (12, 1e-12)


def test_every_layer_norm_has_the_epsilon_of_the_settings():
    network = network_of(norm_epsilon=0.25)
    norms = [
        network.embedding_norm,
        *(norm for block in network.blocks for norm in (block.attention_norm, block.feed_forward_norm)),
    ]
    assert [norm.epsilon for norm in norms] == [0.25] * 5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_texts_do_not_see_each_other(dtype):
    network, batch = network_of(dtype=dtype), example_batch(VOCABULARY, CLASSES, LENGTHS)
    together = network.probabilities(batch)
    bounds = batch.offsets.tolist()
    alone = [
        network.probabilities(RaggedBatch(batch.ids[a:b], np.array([0, b - a]), None))
        for a, b in zip(bounds, bounds[1:])
    ]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-5 if dtype == np.float32 else 1e-12)


def test_the_order_of_tokens_counts():
    """Unlike in a Wave Network: by their positions, and by nothing else."""
    network = network_of()
    texts = [RaggedBatch(np.array(ids), np.array([0, 4]), None) for ids in ([1, 2, 3, 4], [1, 4, 3, 2])]
    first, second = (network.probabilities(text) for text in texts)
    assert abs(first - second).max() > 1e-3
    network.positions.table.value[...] = network.positions.table.value[0]
    first, second = (network.probabilities(text) for text in texts)
    np.testing.assert_allclose(first, second, rtol=1e-12)


def test_only_the_first_token_is_pooled_and_it_sees_the_others():
    network = network_of(blocks=0)
    same_start = [RaggedBatch(np.array(ids), np.array([0, 3]), None) for ids in ([5, 1, 2], [5, 3, 4])]
    assert (network.probabilities(same_start[0]) == network.probabilities(same_start[1])).all()
    network = network_of(blocks=1)
    assert (network.probabilities(same_start[0]) != network.probabilities(same_start[1])).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_text_and_empty_texts_have_finite_gradients(dtype):
    for lengths in ([], [0], [1, 1], [0, 3]):
        network, batch = network_of(dtype=dtype), example_batch(VOCABULARY, CLASSES, lengths)
        loss, cache = network.loss_forward(batch)
        network.loss_backward(cache)
        assert np.isfinite(loss) and loss.dtype == dtype
        assert all(
            np.isfinite(p.dense_grad()).all() and p.dense_grad().dtype == dtype for p in network.parameters().values()
        )


def test_a_text_longer_than_the_positions_is_named():
    network = network_of(positions=4)
    network.forward(example_batch(VOCABULARY, CLASSES, [4, 1]))
    with pytest.raises(ValueError, match="^batch: a text has 5 tokens, the network has 4 positions"):
        network.forward(example_batch(VOCABULARY, CLASSES, [4, 5]))


@pytest.mark.parametrize("heads", [4, 7])
def test_heads_that_do_not_divide_the_dimension_are_refused(heads):
    with pytest.raises(UserError, match=f"^heads: expected a divisor of the dimension 6, got {heads}"):
        TransformerConfig(dimension=6, heads=heads)


def test_it_learns_the_order_of_two_tokens():
    """Whether 1 comes before 2: no bag of tokens tells."""
    network = network_of(dtype=np.float32, dropout=0.0, blocks=1)
    rng = np.random.default_rng(0)
    optimizer = AdamW(network.parameters())
    ids, labels = np.array([[0, 1, 2], [0, 2, 1]]), np.array([0, 1])
    for _ in range(60):
        rows = rng.permutation(np.arange(16) % 2)
        update(network, optimizer, RaggedBatch(ids[rows].ravel(), np.arange(17) * 3, labels[rows]), rng, 0.01, 1.0)
    assert (network.probabilities(RaggedBatch(ids.ravel(), np.array([0, 3, 6]), None))[[0, 1], labels] > 0.9).all()


def test_equal_seeds_build_equal_networks():
    config, batch = TransformerConfig(dimension=6, heads=2, hidden=4), example_batch(VOCABULARY, CLASSES, LENGTHS)
    first, second, other = (build_network(config, VOCABULARY, CLASSES, seed) for seed in (1, 1, 2))
    assert isinstance(first, Transformer) and (first.probabilities(batch) == second.probabilities(batch)).all()
    assert (first.probabilities(batch) != other.probabilities(batch)).any()
    assert (
        first.loss_forward(batch, train=True, rng=np.random.default_rng(0))[0] != first.loss_forward(batch)[0]
    ).all()
