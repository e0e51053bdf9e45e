"""Networks for words beside networks for character n-grams: two halves that share a loss, each on its own view."""

import numpy as np
import pytest

from engine.arrays.backend import same_stream
from engine.arrays.ragged import RaggedBatch
from engine.gradcheck import assert_gradients
from engine.support.implementation import using
from engine.training.adamw import AdamW
from engine.training.step import update
from layers.networks import WaveNetworkConfig, build_network
from layers.networks.costs import mixing_flops, step_flops
from layers.networks.heads import HeadsWaveNetwork, head_seed
from layers.networks.planned_heads import CheckedHeadsNetwork, PlannedHeadsNetwork
from layers.networks.text_classifier import example_batch
from layers.networks.words_and_characters import WordsAndCharacters
from tests.support.small_networks import (
    CLASSES,
    DROPOUTS,
    VOCABULARY,
    assert_gradients_agree,
    gradient_report,
    loss_and_gradients,
    stirred,
)

WORDS = 6  # token ids from there on are character n-grams
LENGTHS = [3, 1, 5, 8, 0]
FIELDS = [
    {"heads": 1, "char_heads": 1},
    {"heads": 3, "char_heads": 1, "shortcut": "naive-bayes", "label_smoothing": 0.1},
    {"heads": 2, "char_heads": 2, "labels": "several"},
    {"heads": 1, "char_heads": 2, "readout": "magnitude", "wave_residual": False, "hidden": 0},
]
every_setting = pytest.mark.parametrize("fields", FIELDS, ids=str)


def network_of(**fields):
    config = WaveNetworkConfig(**{"dimension": 4, "hidden": 5, **fields})
    network = build_network(config, VOCABULARY, CLASSES, 3, np.float64, first_char_ngram=WORDS)
    network.learn_counts(batch_for(fields, seed=5))
    return stirred(network, np.random.default_rng(1))


def batch_for(fields, seed=0):
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS, seed, several_labels=fields.get("labels") == "several")
    batch.ids[:2] = WORDS - 1, WORDS  # at the border
    return batch


def without_characters(batch):
    """The view of the words, text by text."""
    texts = [batch.ids[a:b][batch.ids[a:b] < WORDS] for a, b in zip(batch.offsets, batch.offsets[1:])]
    offsets = np.cumsum([0, *map(len, texts)])
    return RaggedBatch(np.concatenate(texts), offsets, batch.labels)


@every_setting
def test_each_half_is_a_network_of_its_own_with_its_share_of_the_loss(fields):
    network, batch = network_of(**fields), batch_for(fields)
    loss, gradients = loss_and_gradients(network, batch)
    share = fields["heads"] / (fields["heads"] + fields["char_heads"])
    expected_loss, expected = 0.0, {}
    for name, weight, view in (("words", share, without_characters(batch)), ("characters", 1 - share, batch)):
        own_loss, own = loss_and_gradients(getattr(network, name), view)
        expected_loss += weight * own_loss
        expected |= {f"{name}.{inner}": weight * gradient for inner, gradient in own.items()}
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert_gradients_agree(gradients, expected, 1e-12)


@every_setting
def test_gradients_are_the_numerical_ones(fields):
    assert_gradients(gradient_report(network_of(**fields), batch_for(fields)))


@every_setting
def test_probabilities_are_the_mean_over_all_heads(fields):
    network, batch = network_of(**fields), batch_for(fields)
    words = network.words.probabilities(without_characters(batch))
    count = fields["heads"] + fields["char_heads"]
    characters = network.characters.probabilities(batch)
    expected = (fields["heads"] * words + fields["char_heads"] * characters) / count
    found = network.probabilities(batch)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert not np.allclose(words, characters)
    logits = network.loss_forward(batch)[1].logits
    assert np.array_equal(logits.argmax(axis=1), expected.argmax(axis=1))
    network.temperature = 1e6
    assert np.ptp(network.probabilities(batch)) < 1e-4 < np.ptp(found)


def test_the_words_see_no_character_ngram():
    """And know no row, no count of theirs."""
    network, batch = network_of(**FIELDS[1]), batch_for({})
    ids = np.where(batch.ids < WORDS, batch.ids, VOCABULARY - 1)
    first, other = (network.loss_forward(batch._replace(ids=i))[1].network for i in (batch.ids, ids))
    assert np.array_equal(first[0].logits, other[0].logits)
    assert not np.allclose(first[1].logits, other[1].logits)
    assert len(network.words.embedding.table.value) == len(network.words.shortcut.counts.value) == WORDS
    assert network.characters.shortcut is None
    learned = network.words.shortcut.counts.value.copy()
    network.words.learn_counts(without_characters(batch_for({}, seed=5)))
    assert np.array_equal(learned, network.words.shortcut.counts.value) and learned.any()


@pytest.mark.parametrize("fields", [{"token_dropout": 0.5}, {**DROPOUTS, "heads": 2}], ids=str)
def test_what_is_prepared_ahead_gives_the_same_bits(fields):
    network, batch = network_of(**{"char_heads": 2, **fields}), batch_for({})
    losses = []
    for ahead in (False, True):
        rng = np.random.default_rng(4)
        given = network.prepared(batch, rng) if ahead else batch
        losses.append(network.loss_forward(given, True, rng)[0])
    assert losses[0] == losses[1] != network.loss_forward(batch, True, np.random.default_rng(5))[0]


def test_both_halves_weigh_classes():
    network, batch = network_of(heads=1, char_heads=1), batch_for({})
    plain = network.loss_forward(batch, True)[0]
    network.class_weights = np.array([3.0, 0.1, 0.5])
    assert network.class_weights is network.words.class_weights is network.characters.class_weights
    assert network.loss_forward(batch, True)[0] != plain == network.loss_forward(batch)[0]


@pytest.mark.parametrize(
    "implementation, kind",
    [("equations", HeadsWaveNetwork), ("fast", PlannedHeadsNetwork), ("check", CheckedHeadsNetwork)],
)
def test_it_is_built_in_every_implementation(implementation, kind):
    """And takes a step, under `check` compared with the equations; without character n-grams, too."""
    for first in (WORDS, None):
        with using(implementation):
            config = WaveNetworkConfig(dimension=4, hidden=5, heads=2, char_heads=3)
            network = build_network(config, VOCABULARY, CLASSES, 3, first_char_ngram=first)
            assert isinstance(network, WordsAndCharacters) and type(network.words) is type(network.characters) is kind
            before = {name: p.value.copy() for name, p in network.parameters().items()}
            update(network, AdamW(network.parameters()), batch_for({}), np.random.default_rng(0), 0.01, 1.0)
        assert all((before[n] != p.value).any() for n, p in network.parameters().items() if not n.endswith("table"))
    assert "5 networks side by side" in network.describe()


def test_no_two_heads_start_from_the_same_numbers():
    network = build_network(WaveNetworkConfig(dimension=4, heads=2, char_heads=2), VOCABULARY, CLASSES, 3)
    tables = [
        table for half in (network.words, network.characters) for table in np.split(half.embedding.table.value, 2, 1)
    ]
    assert len({table.tobytes() for table in tables}) == 4
    single = build_network(WaveNetworkConfig(dimension=4), VOCABULARY, CLASSES, head_seed(3, 2))
    assert np.array_equal(single.embedding.table.value, tables[2])


def test_operations_are_those_of_both_halves():
    network, batch = network_of(**FIELDS[1]), batch_for({})
    for count in (step_flops, mixing_flops):
        words, characters = count(network.words, without_characters(batch)), count(network.characters, batch)
        assert tuple(count(network, batch)) == tuple(a + b for a, b in zip(words, characters))


def test_the_same_random_numbers_give_the_same_dropout():
    network, batch = network_of(char_heads=1, **DROPOUTS), batch_for({})
    rng = np.random.default_rng(2)
    first, again = (network.loss_forward(batch, True, same_stream(rng))[0] for _ in range(2))
    assert first == again
