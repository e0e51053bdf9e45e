"""Networks of both operations in one training: each a network of its own with its share of the loss."""

import numpy as np
import pytest

from engine.gradcheck import assert_gradients
from engine.support.errors import UserError
from layers.networks import WaveNetworkConfig, build_network
from layers.networks.both_operations import BothOperations
from layers.networks.text_classifier import example_batch
from layers.networks.words_and_characters import WordsAndCharacters
from tests.support.small_networks import (
    CLASSES,
    VOCABULARY,
    assert_shares,
    gradient_report,
    stirred,
)

WORDS = 6  # token ids from there on are character n-grams
FIELDS = [  # and the number of networks of either operation
    ({"other_heads": 1}, (1, 1)),
    ({"heads": 3, "other_heads": 2, "operation": "interference", "shortcut": "naive-bayes"}, (3, 2)),
    ({"heads": 2, "other_heads": 3, "labels": "several"}, (2, 3)),
    ({"other_heads": 1, "readout": "magnitude", "wave_residual": False, "hidden": 0}, (1, 1)),
]
every_setting = pytest.mark.parametrize("fields, counts", FIELDS, ids=str)


def network_of(**fields):
    config = WaveNetworkConfig(**{"dimension": 4, "hidden": 5, **fields})
    network = build_network(config, VOCABULARY, CLASSES, 3, np.float64, first_char_ngram=WORDS)
    network.learn_counts(batch_for(fields, 5), WORDS)
    return stirred(network, np.random.default_rng(1))


def batch_for(fields, seed=0):
    return example_batch(VOCABULARY, CLASSES, [3, 1, 5, 8, 0], seed, several_labels=fields.get("labels") == "several")


@every_setting
def test_each_has_its_share_of_loss_and_probabilities(fields, counts):
    network = network_of(**fields)
    assert_shares(network, dict(zip(("own", "other"), counts)), batch_for(fields))
    assert network.config.network_count() == sum(counts)


@every_setting
def test_gradients_are_the_numerical_ones(fields, counts):
    assert_gradients(gradient_report(network_of(**fields), batch_for(fields)))


def test_beside_character_heads_they_take_words_alone():
    network = network_of(heads=2, char_heads=2, other_heads=1, shortcut="naive-bayes")
    assert isinstance(network, WordsAndCharacters) and isinstance(network.words, BothOperations)
    kinds = [part.config.operation for part in (network.words.own, network.words.other, network.characters)]
    assert kinds == ["modulation", "interference", "modulation"] and network.config.network_count() == 5
    assert network.counts() == (3, 2) and network.words.counts() == (2, 1)
    for part in network.words.networks():
        assert len(part.embedding.table.value) == len(part.shortcut.counts.value) == WORDS
        assert part.shortcut.counts.value.any()
    assert network.characters.shortcut is None and len(network.characters.embedding.table.value) == VOCABULARY
    assert "Networks side by side, 2 of modulation and 1 of interference" in network.describe()


def test_no_two_networks_start_from_the_same_numbers():
    config = WaveNetworkConfig(dimension=4, heads=2, char_heads=2, other_heads=1)
    network = build_network(config, VOCABULARY, CLASSES, 3)
    tables = [half.embedding.table.value for half in (network.words.own, network.words.other, network.characters)]
    tables = [part for table in tables for part in np.split(table, table.shape[1] // 4, 1)]
    assert len({np.ascontiguousarray(table).tobytes() for table in tables}) == 5
    single = build_network(WaveNetworkConfig(dimension=4), VOCABULARY, CLASSES, 3)
    assert np.array_equal(tables[0], single.embedding.table.value)


def test_an_operation_without_another_one_is_refused():
    with pytest.raises(
        UserError, match="^other_heads: correlation has no other operation; choose one of modulation, i"
    ):
        WaveNetworkConfig(operation="correlation", other_heads=1)
