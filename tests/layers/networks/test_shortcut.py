"""The naive-Bayes shortcut in networks: both kinds, what it counts, and how it is trained, saved and opened."""

import pickle

import numpy as np
import pytest

from engine.arrays.ragged import RaggedBatch
from engine.data.texts import Corpus, LabelledTexts
from layers import TextModel, make_settings
from layers.networks import PlannedWaveNetwork, WaveNetwork, shortcut
from layers.networks.parts import twin
from layers.networks.shortcut import NaiveBayes, count_labels, distinct_per_text, left_out
from layers.networks.text_classifier import example_batch
from layers.standard.naive_bayes import GAIN
from tests.engine.training import test_trainer as tiny
from tests.support.small_networks import (
    CLASSES,
    DROPOUTS,
    LENGTHS,
    VOCABULARY,
    assert_gradients_agree,
    assert_network_gradients,
    both_kinds,
    loss_and_gradients,
    network_of,
)

LABELS = pytest.mark.parametrize("labels", ["one", "several"])
FORMS = [
    {"readout": "magnitude", "wave_residual": False},
    {"pooling": "cls", "token_dropout": 0.3},
    {"position_encoding": "learned", "levels": "sentence-text", "shortcut_dropout": 0.4, **DROPOUTS},
    {"blocks": 0},
]


def network_and_batch(kind=WaveNetwork, dtype=np.float64, **fields):
    """A network that has counted other texts and this batch, its gains moved, as all that does not decay."""
    network = network_of(kind, dtype=dtype, shortcut="naive-bayes", **fields)
    several = network.has_several_labels()
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS, 1, several)
    others = example_batch(VOCABULARY, CLASSES, [4] * 9, 2, several)
    network.learn_counts(joined(batch, others))
    return network, batch


def joined(first, second):
    """Two labelled batches as one."""
    offsets = np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]])
    return RaggedBatch(np.concatenate([first.ids, second.ids]), offsets, np.concatenate([first.labels, second.labels]))


@LABELS
@pytest.mark.parametrize("fields", FORMS, ids=str)
def test_both_networks_agree(fields, labels):
    planned, batch = network_and_batch(**fields, labels=labels)
    readable = twin(planned, WaveNetwork.functions, WaveNetwork)
    for rng in (None, 4):
        found, expected = (
            loss_and_gradients(network, batch, rng and np.random.default_rng(rng)) for network in (planned, readable)
        )
        assert abs(found[0] - expected[0]) <= 1e-12
        assert_gradients_agree(found[1], expected[1], 1e-10)


@both_kinds
@LABELS
def test_gradient_of_every_parameter(kind, labels):
    network, batch = network_and_batch(kind, labels=labels)
    assert_network_gradients(network, batch)
    assert_network_gradients(network, batch, train_seed=5)


def test_without_counts_it_is_silent():
    network = network_of(shortcut="naive-bayes")
    plain = network_of()
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS, 1)
    np.testing.assert_array_equal(network.probabilities(batch), plain.probabilities(batch))


def test_a_prediction_leaves_no_text_out():
    """The loss of training sees the labels beside the targets, that of prediction does not."""
    network, batch = network_and_batch()
    other = batch._replace(labels=(batch.labels + 1) % CLASSES)
    logits = [network.forward(texts)[0] for texts in (batch, other)]
    np.testing.assert_array_equal(*logits)
    trained = [network.forward(texts, train=True)[0] for texts in (batch, other)]
    assert not np.allclose(*trained) and not np.allclose(trained[0], logits[0])


def test_a_share_of_the_training_texts_does_without():
    """Each text has the whole sum or none; a prediction leaves it out of no text."""
    texts = example_batch(VOCABULARY, CLASSES, [3, 0, 7] * 500, 3)
    whole = distinct_per_text(texts, VOCABULARY)
    some = left_out(whole, 0.3, np.random.default_rng(0))
    sizes, left = np.diff(whole.offsets), np.diff(some.offsets)
    stays = left > 0
    assert (left[stays] == sizes[stays]).all() and abs(stays[sizes > 0].mean() - 0.7) < 0.05
    np.testing.assert_array_equal(some.ids, whole.ids[np.repeat(stays, sizes)])
    assert left_out(whole, 0.3, None) is whole and left_out(whole, 0.0, np.random.default_rng(0)) is whole
    network, batch = network_and_batch(shortcut_dropout=0.6)
    always, _ = network_and_batch()
    np.testing.assert_array_equal(network.forward(batch)[0], always.forward(batch)[0])
    with_rng = (one.forward(batch, True, np.random.default_rng(0))[0] for one in (network, always))
    assert not np.allclose(*with_rng)


# --- counts ------------------------------------------------------------------------------------------------------


@LABELS
@pytest.mark.parametrize("block", [1, 7, 10**6])
def test_counts_are_of_texts_that_hold_a_token(labels, block, monkeypatch):
    """However many texts are counted at once; a token that a text repeats counts once."""
    monkeypatch.setattr(shortcut, "BLOCK_TOKENS", block)
    texts = example_batch(VOCABULARY, CLASSES, [0, 5, 0, 1, 12, 3, 0], 1, labels == "several")
    expected = np.zeros((VOCABULARY, CLASSES + 1), np.int32)
    for t, (start, stop) in enumerate(zip(texts.offsets, texts.offsets[1:])):
        for token in set(texts.ids[start:stop].tolist()):
            expected[token, -1] += 1
            expected[token, :-1] += texts.labels[t] if labels == "several" else texts.labels[t] == np.arange(CLASSES)
    counts, shares = count_labels(texts, VOCABULARY, CLASSES)
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_allclose(shares, expected[:, :-1].sum(axis=0) / expected[:, -1].sum())
    assert counts.dtype == np.int32


def test_no_texts_have_no_counts():
    counts, shares = count_labels(example_batch(VOCABULARY, CLASSES, []), VOCABULARY, CLASSES)
    assert not counts.any() and not shares.any()


# --- training ----------------------------------------------------------------------------------------------------

SHORT = tiny.NETWORK.replace(shortcut="naive-bayes")


def test_training_repeats_and_resumes_to_the_bit(tmp_path):
    whole = tiny.build(tmp_path / "whole", network=SHORT)
    whole.train()
    expected = tiny.final(whole)

    def stop(step):
        if step == 7:
            raise KeyboardInterrupt

    broken = tiny.build(tmp_path / "broken", stop, network=SHORT)
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    resumed = tiny.build(tmp_path / "broken", network=SHORT)
    resumed.resume()
    assert resumed.progress.step == tiny.STEPS_PER_EPOCH
    np.testing.assert_array_equal(resumed.network.shortcut.counts.value, whole.network.shortcut.counts.value)
    resumed.network.learn_counts = None  # it has learned already
    resumed.train()
    assert tiny.final(resumed) == expected
    assert whole.network.shortcut.counts.value.any() and (whole.network.shortcut.gains.value != np.float32(GAIN)).all()


FIELDS = {"dimension": 4, "epochs": 2, "learning_rate": 0.02, "batch_size": 8, "shortcut": "naive-bayes"}
TEXTS = ["good film", "bad", "", "a good plot"]


@pytest.fixture(scope="module")
def model():
    texts = ["good fine film", "bad dull plot", "good plot", "dull film bad"] * 8
    corpus = Corpus("mine", LabelledTexts(texts, ["yes", "no"] * 16))
    return TextModel.build(corpus, make_settings(**FIELDS)).train()


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_saved_model_keeps_its_counts(model, tmp_path, precision):
    model.save(tmp_path / "saved", precision)
    opened = TextModel.open(tmp_path / "saved")
    part, same = model.run.network.shortcut, opened.run.network.shortcut
    np.testing.assert_array_equal(part.counts.value, same.counts.value)
    np.testing.assert_array_equal(part.shares.value, same.shares.value)
    atol = 0 if precision == "float32" else 2e-3
    np.testing.assert_allclose(model.probabilities(TEXTS), opened.probabilities(TEXTS), rtol=0, atol=atol)


def test_a_pickled_model_keeps_its_counts(model):
    same = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(model.probabilities(TEXTS), same.probabilities(TEXTS))


def test_parameters_are_counted_without_constants():
    network, plain = network_of(shortcut="naive-bayes"), network_of()
    assert network.parameter_count() - plain.parameter_count() == CLASSES
    assert "shortcut" in network.describe() and "shortcut naive-bayes" in network.heading()


def test_the_table_is_what_a_prediction_adds(model):
    network = model.run.network
    part = network.shortcut
    ids = np.flatnonzero(part.counts.value[:, -1])[[1, 2, 4]]
    y, _ = part.forward(shortcut.DistinctTokens(ids, np.array([0, 3])), None)
    np.testing.assert_allclose(y[0], part.table()[ids].sum(axis=0) / np.sqrt(3), rtol=1e-5)


def test_what_is_not_counted_is_in_no_sum():
    """Neither in that of the ratios nor in the number of tokens: a text with them has the sum of one without."""
    batch, whole = example_batch(VOCABULARY, CLASSES, [4, 6, 3, 5, 7], seed=1), VOCABULARY // 2
    part = NaiveBayes(VOCABULARY, CLASSES, np.float64)
    part.learn(batch, whole)
    kept = batch.ids < whole
    without = RaggedBatch(batch.ids[kept], np.concatenate([[0], np.cumsum(kept)])[batch.offsets], batch.labels)
    found, expected = (part.forward(distinct_per_text(some, VOCABULARY), None)[0] for some in (batch, without))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(part.counts.value, count_labels(without, VOCABULARY, CLASSES)[0])
    assert 0 < kept.sum() < len(kept) and abs(found).max() > 0


@pytest.mark.parametrize("kind", [WaveNetwork, PlannedWaveNetwork])
def test_texts_without_tokens_have_no_sum(kind):
    network, empty = network_of(kind, shortcut="naive-bayes"), RaggedBatch(np.zeros(0, np.int64), np.zeros(3, np.int64))
    without_counts = network.forward(empty)[0]
    network.learn_counts(example_batch(VOCABULARY, CLASSES, [4, 6, 3, 5], seed=1))
    np.testing.assert_array_equal(network.forward(empty)[0], without_counts)
