"""Wave Networks of both kinds in training, and their parameters."""

import numpy as np
import pytest

from engine.arrays.ragged import RaggedBatch
from engine.training.adamw import AdamW
from layers.networks import PlannedWaveNetwork, WaveNetwork, WaveNetworkConfig, build_network
from layers.networks.text_classifier import example_batch
from layers.wave import OPERATIONS
from tests.support.layer_laws import assert_equal
from tests.support.small_networks import CLASSES, DROPOUTS, LENGTHS, VOCABULARY, both_kinds, network_of


@both_kinds
def test_dropout_acts_only_in_training_and_with_a_generator(kind):
    network, batch = network_of(kind, **DROPOUTS), example_batch(VOCABULARY, CLASSES, [6, 7, 8])
    predicted, _ = network.forward(batch)
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    assert_equal(network.forward(batch, train=False, rng=rng)[0], predicted)
    assert rng.bit_generator.state == state, "no random number is drawn to predict"
    assert_equal(network.forward(batch, train=True, rng=None)[0], predicted)
    assert not np.allclose(network.forward(batch, train=True, rng=rng)[0], predicted)


@pytest.mark.parametrize("field", ["token_dropout", "embedding_dropout", "dropout", "classifier_dropout"])
@both_kinds
def test_every_kind_of_dropout_changes_training_and_repeats(kind, field):
    """For equal generators."""
    network, batch = network_of(kind, **{field: 0.5}), example_batch(VOCABULARY, CLASSES, [6, 7, 8])
    a, b, c = (network.forward(batch, train=True, rng=np.random.default_rng(seed))[0] for seed in (0, 0, 1))
    assert np.array_equal(a, b) and not np.allclose(a, c) and not np.allclose(a, network.forward(batch)[0])


class KeepsEverything:
    """A generator under which nothing is dropped, and which remembers for what it was asked."""

    def __init__(self):
        self.shapes = []

    def random(self, size, dtype):
        self.shapes.append(size)
        return np.ones(size, dtype)


@both_kinds
def test_dropout_acts_on_six_places(kind):
    """Tokens, embeddings, readout, hidden layer and its output, pooled text."""
    network, rng = network_of(kind, **DROPOUTS), KeepsEverything()
    network.forward(RaggedBatch(np.array([1, 2, 3]), np.array([0, 1, 3])), train=True, rng=rng)
    assert rng.shapes == [3, (3, 4), (3, 4), (3, 5), (3, 4), (2, 4)]


@both_kinds
def test_labels_are_smoothed_only_in_training(kind):
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS)
    plain, smoothed = network_of(kind), network_of(kind, label_smoothing=0.3)
    assert smoothed.loss_forward(batch)[0] == plain.loss_forward(batch)[0]
    assert smoothed.loss_forward(batch, train=True)[0] != plain.loss_forward(batch, train=True)[0]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_learns_random_texts_by_heart(operation):
    rng = np.random.default_rng(0)
    batch = example_batch(60, 4, rng.integers(3, 9, 32), 0)
    network = build_network(WaveNetworkConfig(dimension=16, hidden=16, operation=operation), 60, 4)
    optimizer = AdamW(network.parameters(), weight_decay=0.01)
    first, _ = network.loss_forward(batch)
    for _ in range(300):
        loss, cache = network.loss_forward(batch, train=True)
        if np.array_equal(cache.logits.argmax(axis=1), batch.labels) and loss < 0.05:
            break
        network.zero_grad()
        network.loss_backward(cache)
        optimizer.step(0.01)
    assert np.array_equal(network.forward(batch)[0].argmax(axis=1), batch.labels)
    assert loss < 0.05 < first


def values(network):
    return {name: p.value.tobytes() for name, p in network.parameters().items()}


@pytest.mark.parametrize("readout", ["both", "magnitude"])
@both_kinds
def test_equal_seeds_give_equal_parameters_and_others_do_not(kind, readout):
    config = WaveNetworkConfig(dimension=4, hidden=5, readout=readout, blocks=2)
    a, b, c = (kind(config, VOCABULARY, CLASSES, seed) for seed in (1, 1, 2))
    assert values(a) == values(b)
    assert values(a)["embedding.table"] != values(c)["embedding.table"]
    weights = [p.value.tobytes() for p in a.parameters().values() if p.decay]
    assert len(set(weights)) == len(weights), "no two matrices are alike"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@both_kinds
def test_parameters_logits_and_loss_have_the_dtype_asked_for(kind, dtype):
    network = network_of(kind, dtype=dtype)
    loss, cache = network.loss_forward(example_batch(VOCABULARY, CLASSES, LENGTHS))
    network.loss_backward(cache)
    assert {p.value.dtype for p in network.parameters().values()} == {np.dtype(dtype)}
    assert {p.grad_array().dtype for p in network.parameters().values()} == {np.dtype(dtype)}
    assert cache.logits.dtype == loss.dtype == dtype


def test_describe_at_the_size_of_the_paper():
    config = WaveNetworkConfig(dimension=768, hidden=768, operation="interference", readout="magnitude")
    network = WaveNetwork(config, 30522, 4)
    text = network.describe()
    assert "2,368,516" in text and f"{2_368_516 + 30522 * 768:,}" in text
    for part in network.parameters():
        assert part.rpartition(".")[0] in text
    for words in (
        "interference",
        "magnitude readout",
        "per dimension",
        "mean pooling",
        "30522×768",
        "768×768",
        "768×4",
    ):
        assert words in text, words


def test_part_rows_count_every_parameter_once():
    network = network_of(blocks=2, readout="both")
    rows = network.part_rows()
    assert (
        sum(count for _, _, count in rows)
        == network.parameter_count()
        == sum(p.value.size for p in network.parameters().values())
    )
    assert [name for name, _, _ in rows] == list(
        dict.fromkeys(name.rpartition(".")[0] for name in network.parameters())
    )


@pytest.mark.parametrize(
    "fields, absent", [({"hidden": 0}, "feed_forward"), ({"readout": "real"}, "projection"), ({"blocks": 0}, "blocks")]
)
def test_parts_that_the_config_leaves_out_have_no_parameters(fields, absent):
    assert any(absent in name for name in network_of(readout="both").parameters())
    assert not any(absent in name for name in network_of(**fields).parameters())


@both_kinds
def test_a_wrong_cotangent_is_named(kind):
    network = network_of(kind)
    _, cache = network.forward(example_batch(VOCABULARY, CLASSES, LENGTHS))
    with pytest.raises(ValueError, match="^dy: expected"):
        network.backward(np.zeros((2, CLASSES)), cache)


@pytest.mark.parametrize("name, batch", [
    ("ids", RaggedBatch(np.array([VOCABULARY]), np.array([0, 1]), np.array([0]))),
    ("ids", RaggedBatch(np.array([0.5]), np.array([0, 1]), np.array([0]))),
    ("offsets", RaggedBatch(np.array([1, 2]), np.array([0, 1]), np.array([0]))),
    ("offsets", RaggedBatch(np.array([1, 2]), np.array([0, 2], np.int32), np.array([0]))),
    ("labels", RaggedBatch(np.array([1, 2]), np.array([0, 2]), np.array([CLASSES]))),
    ("labels", RaggedBatch(np.array([1, 2]), np.array([0, 2]))),
])  # fmt: skip
@both_kinds
def test_a_wrong_part_of_the_batch_is_named(kind, name, batch):
    with pytest.raises(ValueError, match=f"^{name}: "):
        network_of(kind).loss_forward(batch)


@pytest.mark.parametrize("readout", ["both", "magnitude"])
def test_both_kinds_start_with_the_same_parameters(readout):
    config = WaveNetworkConfig(dimension=4, hidden=5, readout=readout, blocks=2)
    first, second = (kind(config, VOCABULARY, CLASSES, 1) for kind in (WaveNetwork, PlannedWaveNetwork))
    assert values(first) == values(second)
