"""A linear classifier beside networks: its share, its gradients, and the tokens that it sees."""

import numpy as np
import pytest

from engine.arrays.ragged import RaggedBatch
from engine.gradcheck import assert_gradients
from engine.training.adamw import AdamW
from engine.training.step import update
from layers.networks import WaveNetworkConfig, build_network
from layers.networks.both_operations import BothOperations
from layers.networks.linear_heads import LinearClassifier, WithLinearHeads
from layers.networks.text_classifier import example_batch
from layers.networks.words_and_characters import WordsAndCharacters
from layers.standard.naive_bayes import log_count_ratios
from layers.standard.weighted_ratios import SCALE, START
from tests.support.small_networks import (
    CLASSES,
    VOCABULARY,
    assert_shares,
    gradient_report,
    stirred,
)

WORDS = 6  # token ids from there on are character n-grams
FIELDS = [  # and the shares of the networks and of the classifier
    ({"linear_heads": 1}, (1, 1)),
    ({"heads": 3, "linear_heads": 2, "shortcut": "naive-bayes"}, (3, 2)),
    ({"heads": 2, "other_heads": 1, "linear_heads": 2, "labels": "several"}, (3, 2)),
    ({"linear_heads": 4, "readout": "magnitude", "wave_residual": False, "hidden": 0, "label_smoothing": 0.1}, (1, 4)),
]
every_setting = pytest.mark.parametrize("fields, counts", FIELDS, ids=str)


def batch_for(fields, seed=0):
    return example_batch(VOCABULARY, CLASSES, [3, 1, 5, 8, 0], seed, several_labels=fields.get("labels") == "several")


def network_of(dtype=np.float64, **fields):
    config = WaveNetworkConfig(**{"dimension": 4, "hidden": 5, **fields})
    network = build_network(config, VOCABULARY, CLASSES, 3, dtype, first_char_ngram=WORDS)
    network.learn_counts(batch_for(fields, 5), WORDS)
    return stirred(network, np.random.default_rng(1))


@every_setting
def test_each_has_its_share_of_loss_and_probabilities(fields, counts):
    network = network_of(**fields)
    assert_shares(network, dict(zip(("own", "linear"), counts)), batch_for(fields))


@every_setting
def test_gradients_are_the_numerical_ones(fields, counts):
    assert_gradients(gradient_report(network_of(**fields), batch_for(fields)))


def test_logits_by_loops():
    """A training text is left out of its own ratios; repeated tokens count once, tokens without counts never."""
    linear, batch = network_of(linear_heads=1).linear, batch_for({})
    weights, bias, counts = linear.ratios.weights.value, linear.ratios.bias.value, linear.ratios.counts.value
    for train in (False, True):
        logits = linear.loss_forward(batch, train)[1].logits
        for t, label in enumerate(batch.labels.tolist()):
            own = sorted({i for i in batch.ids[batch.offsets[t] : batch.offsets[t + 1]].tolist() if counts[i, -1]})
            labelled = np.tile(np.arange(CLASSES) == label, (len(own), 1)) if train else None
            ratios = log_count_ratios(counts[own], linear.ratios.shares.value, labelled)
            sums = (ratios * (START + SCALE * weights[own])).sum(axis=0) / np.sqrt(max(1, len(own)))
            np.testing.assert_allclose(logits[t], sums + SCALE * bias, rtol=1e-11, atol=1e-12)


def test_it_is_naive_bayes_before_the_first_step():
    config = WaveNetworkConfig(dimension=4, linear_heads=1)
    network = build_network(config, VOCABULARY, CLASSES, 3, np.float64)
    batch = RaggedBatch(np.array([1, 2, 1, 3, 2, 3]), np.array([0, 2, 4, 6]), np.array([0, 0, 1]))
    network.learn_counts(batch)
    p = network.linear.probabilities(RaggedBatch(np.array([1, 3]), np.array([0, 1, 2])))
    assert p[0, 0] > p[0, 1] and p[1, 1] > p[1, 0]


def test_beside_character_heads_it_takes_words_alone():
    network = network_of(heads=2, char_heads=2, other_heads=1, linear_heads=3, shortcut="naive-bayes")
    assert isinstance(network, WordsAndCharacters) and isinstance(network.words, WithLinearHeads)
    assert isinstance(network.words.own, BothOperations) and isinstance(network.words.linear, LinearClassifier)
    assert network.counts() == (6, 2) and network.words.counts() == (3, 3) and network.config.network_count() == 5
    assert network.words.linear.ratios.weights.value.shape == (WORDS, CLASSES)
    shares = np.array([network.shares()[0] * share for share in network.words.shares()] + [network.shares()[1]])
    np.testing.assert_allclose(shares, np.array([3, 3, 2]) / 8)
    assert "5 networks side by side" in network.describe() and "Linear classifier" in network.describe()


def test_character_ngrams_have_no_counts_where_no_heads_are_theirs():
    counts = network_of(linear_heads=1).linear.ratios.counts.value
    assert counts[:WORDS].any() and not counts[WORDS:].any()


def test_only_rows_of_the_batch_move():
    network = network_of(np.float32, linear_heads=1)
    weights = network.linear.ratios.weights
    before = weights.value.copy()
    batch = RaggedBatch(np.array([1, 2, 1]), np.array([0, 3]), np.array([0]))
    update(network, AdamW(network.parameters()), batch, np.random.default_rng(0), 0.01, 1.0)
    assert (weights.value != before).any(axis=1).tolist() == [i in (1, 2) for i in range(VOCABULARY)]


def test_the_table_beside_it_takes_word_vectors():
    network = network_of(linear_heads=1)
    assert network.embedding_table() is network.own.embedding.table
    assert network_of(linear_heads=1, other_heads=1).embedding_table is None
    beside = sum(p.value.size for name, p in network.own.parameters().items() if name != "embedding.table")
    assert network.parameters_beside_tables() == beside + CLASSES


def test_wrong_ids_are_named():
    network = network_of(linear_heads=1)
    with pytest.raises(ValueError, match="^ids: must lie in"):
        network.linear.probabilities(RaggedBatch(np.array([VOCABULARY]), np.array([0, 1])))
