"""Logits of Wave Networks of both kinds beside a plain rewriting for one text, and the laws of predictions."""

import math

import numpy as np
import pytest

from engine.arrays.ragged import RaggedBatch
from layers.networks.text_classifier import example_batch
from layers.standard.pooling import POOLINGS
from layers.wave import SCOPES
from tests.support.layer_laws import assert_equal, offsets_of
from tests.support.small_networks import (
    CLASSES,
    COMBINATIONS,
    DROPOUTS,
    KINDS,
    LENGTHS,
    VOCABULARY,
    both_kinds,
    every_combination,
    in_pairs,
    network_of,
)

COMBINED = {"interference": np.add, "modulation": np.multiply, "correlation": lambda a, b: a * b.conj()}


def plain_layer_norm(x, norm):
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5) * norm.gain.value + norm.bias.value


def plain_wave(x, scope):
    """x + i·(norm of the others), entry by entry."""
    squares = x**2
    im = np.zeros_like(x)
    for j, k in np.ndindex(*x.shape):
        others = squares.copy() if scope == "text" else squares[:, k : k + 1].copy()
        others[j, k if scope == "text" else 0] = 0
        im[j, k] = math.sqrt(math.fsum(others.flat))
    return x + 1j * im


def plain_logits(network, ids):
    """Logits of one text, in complex128."""
    config, x = network.config, network.embedding.table.value[ids]
    for block in network.blocks:
        a, b = (
            plain_wave(x @ v.weight.value + v.bias.value, config.scope)
            for v in (block.first_variant, block.second_variant)
        )
        z = COMBINED[config.operation](a, b)
        y = {
            "real": z.real,
            "imaginary": z.imag,
            "magnitude": abs(z),
            "phase": np.angle(z),
            "both": np.concatenate([z.real, z.imag], axis=1),
        }[config.readout]
        if config.readout == "both":
            y = y @ block.projection.weight.value + block.projection.bias.value
        x = plain_layer_norm(y + x if config.wave_residual else y, block.wave_norm)
        if config.hidden:
            f = x @ block.feed_forward.expand.weight.value + block.feed_forward.expand.bias.value
            f = (
                np.vectorize(lambda v: v * 0.5 * (1 + math.erf(v / math.sqrt(2))))(f)
                if config.activation == "gelu"
                else np.maximum(f, 0)
            )
            f = f @ block.feed_forward.contract.weight.value + block.feed_forward.contract.bias.value
            x = plain_layer_norm(x + f, block.feed_forward_norm)
    pooled = {"mean": x.mean(axis=0), "max": x.max(axis=0), "cls": x[0]}[config.pooling]
    return pooled @ network.classifier.weight.value + network.classifier.bias.value


@pytest.mark.parametrize(
    "kind, operation, readout, scope, fields",
    in_pairs(
        KINDS,
        COMBINATIONS,
        SCOPES,
        [
            {},
            {"blocks": 2, "pooling": "max", "activation": "relu"},
            {"hidden": 0, "pooling": "cls", "wave_residual": False},
        ],
    ),
)
def test_logits_agree_with_a_plain_rewriting_for_one_text(kind, operation, readout, scope, fields):
    if (scope, readout) == ("text", "magnitude"):  # some of these are refused without the residual
        fields = {**fields, "wave_residual": True}
    network = network_of(kind, operation=operation, readout=readout, scope=scope, **fields)
    lengths = (
        [2, 4, 3, 6] if (operation, readout) == ("modulation", "phase") else [1, 4, 2, 6]
    )  # one token may sit on the jump
    batch = example_batch(VOCABULARY, CLASSES, lengths)
    expected = [plain_logits(network, batch.ids[a:b]) for a, b in zip(batch.offsets, batch.offsets[1:])]
    assert_equal(network.forward(batch)[0], np.array(expected), 1e-11)


@both_kinds
def test_the_loss_is_the_mean_cross_entropy_of_the_logits(kind):
    network, batch = network_of(kind), example_batch(VOCABULARY, CLASSES, LENGTHS)
    loss, cache = network.loss_forward(batch)
    p = network.probabilities(batch)
    assert_equal(p, np.exp(cache.logits) / np.exp(cache.logits).sum(axis=1, keepdims=True), 1e-14)
    assert loss == pytest.approx(-np.log(p[np.arange(len(p)), batch.labels]).mean(), rel=1e-13)


@both_kinds
def test_several_labels_are_decisions_of_their_own(kind):
    """Their probabilities are independent, their losses add up, and a text may have none."""
    network = network_of(kind, labels="several")
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS, several_labels=True)
    batch.labels[0] = False
    loss, cache = network.loss_forward(batch)
    p = network.probabilities(batch)
    assert_equal(p, 1 / (1 + np.exp(-cache.logits)), 1e-14)
    assert loss == pytest.approx(-np.log(np.where(batch.labels, p, 1 - p)).sum(axis=1).mean(), rel=1e-13)


@both_kinds
@pytest.mark.parametrize("labels, message", [("one", "^labels: "), ("several", "^targets: ")])
def test_labels_of_the_other_kind_are_refused(kind, labels, message):
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS, several_labels=labels == "one")
    with pytest.raises(ValueError, match=message):
        network_of(kind, labels=labels).loss_forward(batch)


def cut(batch, texts):
    """A batch of some of the texts, in this order."""
    pieces = [batch.ids[batch.offsets[t] : batch.offsets[t + 1]] for t in texts]
    return RaggedBatch(np.concatenate(pieces), offsets_of([len(p) for p in pieces]), batch.labels[list(texts)])


@pytest.mark.parametrize("kind, operation, readout, scope", in_pairs(KINDS, COMBINATIONS, SCOPES))
def test_a_text_does_not_see_its_neighbours(kind, operation, readout, scope):
    network = network_of(kind, operation=operation, readout=readout, scope=scope, blocks=2)
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS)
    together, _ = network.forward(batch)
    alone = np.concatenate([network.forward(cut(batch, [t]))[0] for t in range(len(LENGTHS))])
    assert_equal(together, alone, 1e-12)


@both_kinds
@every_combination
def test_permuting_texts_permutes_logits(kind, operation, readout):
    network = network_of(kind, operation=operation, readout=readout)
    batch, order = example_batch(VOCABULARY, CLASSES, LENGTHS), [3, 0, 4, 2, 1]
    assert_equal(network.forward(cut(batch, order))[0], network.forward(batch)[0][order], 1e-12)


@pytest.mark.parametrize(
    "kind, operation, readout, pooling, matters",
    in_pairs(KINDS, COMBINATIONS, [("mean", False), ("max", False), ("cls", True)]),
)
def test_the_order_of_tokens_matters_only_to_cls_pooling(kind, operation, readout, pooling, matters):
    network = network_of(kind, operation=operation, readout=readout, pooling=pooling, blocks=2)
    ids, offsets = np.array([1, 2, 3, 4, 5, 6]), np.array([0, 4, 6])
    logits, _ = network.forward(RaggedBatch(ids, offsets))
    permuted, _ = network.forward(RaggedBatch(ids[[3, 0, 2, 1, 5, 4]], offsets))
    assert np.allclose(logits, permuted, rtol=0, atol=1e-11 * abs(logits).max()) is not matters


@both_kinds
@every_combination
def test_an_empty_text_gets_the_bias_of_the_classifier(kind, operation, readout):
    network = network_of(kind, operation=operation, readout=readout)
    logits, _ = network.forward(RaggedBatch(np.zeros(0, int), np.array([0, 0, 0])))
    assert_equal(logits, np.tile(network.classifier.bias.value, (2, 1)))


@pytest.mark.parametrize(
    "kind, operation, readout, pooling, lengths", in_pairs(KINDS, COMBINATIONS, list(POOLINGS), [[], [0, 0]])
)
def test_batches_without_texts_or_tokens_run_in_both_directions(kind, operation, readout, pooling, lengths):
    network = network_of(kind, operation=operation, readout=readout, pooling=pooling, **DROPOUTS)
    batch = RaggedBatch(np.zeros(0, int), offsets_of(lengths), np.zeros(len(lengths), int))
    loss, cache = network.loss_forward(batch, train=True, rng=np.random.default_rng(0))
    network.loss_backward(cache)
    assert cache.logits.shape == (len(lengths), CLASSES) and np.isfinite(loss)
    assert not network.embedding.table.dense_grad().any()
