"""Every function pair of layers/standard beside PyTorch's autograd: in float64 to 1e-10 of their norms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays.backend import random_generator
from engine.arrays.ragged import CACHE_BLOCK_ENTRIES, RaggedBatch, positions
from layers.standard import (
    attention,
    dropout,
    embedding,
    gelu,
    layer_norm,
    linear,
    pooling,
    position_encoding,
    relu,
    residual,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    token_dropout,
)
from tests.support import torch_twins as twins
from tests.support.torch_twins import F, torch
from tests.support.twin_pairs import (
    LENGTHS,
    SEEDS,
    compare,
    numbers,
    quickly,
    ragged,
    with_zeros,
)


@given(st.integers(1, 5), SEEDS)
@quickly
def test_linear(rows, seed):
    rng = np.random.default_rng(seed)
    inputs = [numbers(rng, rows, 3), numbers(rng, 3, 4), numbers(rng, 4)]
    compare(
        linear.linear_forward, linear.linear_backward, lambda x, weight, bias: F.linear(x, weight.T, bias), inputs, seed
    )


@given(st.integers(1, 5), SEEDS)
@quickly
def test_linear_without_a_bias(rows, seed):
    rng = np.random.default_rng(seed)
    pair = (
        (lambda x, weight: linear.linear_forward(x, weight, None)),
        (lambda dy, cache: linear.linear_backward(dy, cache)[:2]),
    )
    compare(*pair, lambda x, weight: F.linear(x, weight.T), [numbers(rng, rows, 3), numbers(rng, 3, 4)], seed)


@given(st.lists(st.integers(0, 5), max_size=12), SEEDS)
@quickly
def test_embedding(ids, seed):
    ids, table = np.array(ids, np.int64), numbers(np.random.default_rng(seed), 6, 3)
    pair = (
        (lambda table: embedding.embedding_forward(ids, table)),
        (lambda dy, cache: embedding.embedding_backward(dy, cache).dense(6)),
    )
    compare(*pair, lambda table: F.embedding(torch.as_tensor(ids), table), [table], seed)


@given(st.integers(1, 5), SEEDS, st.sampled_from([1.0, 1e-3]))
@quickly
def test_layer_norm(rows, seed, size):
    """Of size 1e-3 the variance is as small as ε."""
    rng = np.random.default_rng(seed)
    inputs = [size * numbers(rng, rows, 6), numbers(rng, 6), numbers(rng, 6)]
    compare(
        layer_norm.layer_norm_forward,
        layer_norm.layer_norm_backward,
        lambda x, g, b: F.layer_norm(x, (6,), g, b),
        inputs,
        seed,
    )


@given(st.integers(1, 5), SEEDS)
@quickly
def test_residual(rows, seed):
    rng = np.random.default_rng(seed)
    inputs = [numbers(rng, rows, 3), numbers(rng, rows, 3)]
    compare(residual.residual_forward, residual.residual_backward, twins.residual, inputs, seed)


@given(LENGTHS, SEEDS)
@quickly
def test_position_encoding(lengths, seed):
    rng, offsets = ragged(lengths, seed)
    places = positions(offsets, offsets[-1])

    def backward(dx, cache):
        dw, dp = position_encoding.position_encoding_backward(dx, cache)
        return dw, dp.dense(6)

    pair = (lambda w, table: position_encoding.position_encoding_forward(w, places, table)), backward
    inputs = [numbers(rng, offsets[-1], 3), numbers(rng, 6, 3)]
    compare(*pair, lambda w, table: twins.position_encoding(w, table, offsets), inputs, seed)


@pytest.mark.parametrize("length, d, scale", [(1, 2, 1.0), (100, 8, 0.02), (512, 128, 1.0)])
def test_sinusoids(length, d, scale):
    twins.assert_close(position_encoding.sinusoids(length, d, scale), twins.sinusoids(length, d, scale), 1e-12)


@given(LENGTHS, st.sampled_from([1, 2, 3]), SEEDS)
@quickly
def test_attention(lengths, heads, seed):
    """Text by text, heads as PyTorch lays them out."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    def twin(*rows):
        texts = [
            [x[start:stop].reshape(-1, heads, 6 // heads).transpose(0, 1) for x in rows]
            for start, stop in zip(offsets, offsets[1:])
        ]
        return torch.cat([F.scaled_dot_product_attention(*text).transpose(0, 1).reshape(-1, 6) for text in texts])

    pair = (lambda q, k, v: attention.attention_forward(q, k, v, offsets, heads)), attention.attention_backward
    compare(*pair, twin, [numbers(rng, offsets[-1], 6) for _ in range(3)], seed)


@pytest.mark.parametrize("module, name", [(gelu, "gelu"), (relu, "relu")], ids=["gelu", "relu"])
@given(st.integers(1, 5), SEEDS, st.sampled_from([numbers, with_zeros]))
@quickly
def test_activations(module, name, rows, seed, draw):
    """At 0 too, where both give the ReLU the slope 0."""
    pair = getattr(module, f"{name}_forward"), getattr(module, f"{name}_backward")
    compare(*pair, twins.ACTIVATIONS[name], [3.0 * draw(np.random.default_rng(seed), rows, 3)], seed)


def test_gelu_of_a_batch_that_is_cut_into_blocks():
    x = 3.0 * numbers(np.random.default_rng(0), 700, 100)
    assert x.size > CACHE_BLOCK_ENTRIES
    compare(gelu.gelu_forward, gelu.gelu_backward, twins.gelu, [x], 0)


@given(st.integers(1, 5), st.sampled_from([0.0, 0.3, 0.9]), SEEDS)
@quickly
def test_dropout(rows, rate, seed):
    """Of the same mask; that entries are dropped at the right rate is not autograd's business."""
    x = numbers(np.random.default_rng(seed), rows, 3)
    mask = random_generator(seed).random((rows, 3), dtype=np.float32) >= rate
    pair = (lambda x: dropout.dropout_forward(x, rate, random_generator(seed))), dropout.dropout_backward
    compare(*pair, lambda x: twins.dropped(x, mask, rate), [x], seed)


@given(LENGTHS, st.sampled_from([0.1, 0.5, 0.9]), SEEDS, st.sampled_from([0, 2]))
@quickly
def test_token_dropout(lengths, rate, seed, spared):
    """No gradient: the rows are chosen alike."""
    rng, offsets = ragged(lengths, seed)
    ids = rng.integers(0, 9, offsets[-1])
    kept = token_dropout.kept_tokens(offsets, rate, random_generator(seed), spared)
    found = token_dropout.drop_tokens(RaggedBatch(ids, offsets), kept)[:2]
    for ours, theirs in zip(found, twins.kept_tokens(ids, offsets, rate, random_generator(seed), spared), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("kind", pooling.POOLINGS)
@given(LENGTHS, SEEDS, st.booleans())
@quickly
def test_pooling(kind, lengths, seed, has_ties):
    """Of several largest entries both give all of the gradient to the first."""
    rng, offsets = ragged(lengths, seed)
    x = rng.integers(-1, 2, (offsets[-1], 3)) + 0.5 if has_ties else numbers(rng, offsets[-1], 3)
    pair = (lambda x: pooling.pooling_forward(x, offsets, kind)), pooling.pooling_backward
    compare(*pair, lambda x: twins.pooling(x, offsets, kind), [x], seed)


@given(st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.9]), SEEDS)
@quickly
def test_softmax_cross_entropy(rows, smoothing, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, rows)
    pair = (
        (lambda z: softmax_cross_entropy.softmax_cross_entropy_forward(z, labels, smoothing)),
        softmax_cross_entropy.softmax_cross_entropy_backward,
    )
    compare(
        *pair,
        lambda z: F.cross_entropy(z, torch.as_tensor(labels), label_smoothing=smoothing),
        [numbers(rng, rows, 4)],
        seed,
    )


@given(st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.9]), SEEDS)
@quickly
def test_cross_entropies_with_weights(rows, smoothing, seed):
    """The losses of texts and decisions, each times its weight."""
    rng = np.random.default_rng(seed)
    labels, targets, weights = rng.integers(0, 4, rows), rng.random((rows, 4)) < 0.4, rng.uniform(0.1, 9, (2, 4))
    soft, of_texts = (1 - smoothing) * targets + smoothing / 2, weights[0][labels]
    of_decisions = np.where(targets, weights[1], weights[0])

    def by_torch(z):
        losses = F.cross_entropy(z, torch.as_tensor(labels), label_smoothing=smoothing, reduction="none")
        return (torch.as_tensor(of_texts) * losses).mean()

    def sets_by_torch(z):
        each, omega = torch.as_tensor(soft), torch.as_tensor(of_decisions)
        return F.binary_cross_entropy_with_logits(z, each, omega, reduction="sum") / rows

    one, several = softmax_cross_entropy, sigmoid_cross_entropy
    pair = (
        (lambda z: one.softmax_cross_entropy_forward(z, labels, smoothing, weights[0])),
        one.softmax_cross_entropy_backward,
    )
    compare(*pair, by_torch, [numbers(rng, rows, 4)], seed)
    pair = (
        (lambda z: several.sigmoid_cross_entropy_forward(z, targets, smoothing, weights)),
        several.sigmoid_cross_entropy_backward,
    )
    compare(*pair, sets_by_torch, [numbers(rng, rows, 4)], seed)


@given(st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.9]), SEEDS)
@quickly
def test_sigmoid_cross_entropy(rows, smoothing, seed):
    rng = np.random.default_rng(seed)
    targets = rng.random((rows, 4)) < 0.4
    soft = torch.as_tensor((1 - smoothing) * targets + smoothing / 2)
    pair = (
        (lambda z: sigmoid_cross_entropy.sigmoid_cross_entropy_forward(z, targets, smoothing)),
        sigmoid_cross_entropy.sigmoid_cross_entropy_backward,
    )
    compare(
        *pair,
        lambda z: F.binary_cross_entropy_with_logits(z, soft, reduction="sum") / rows,
        [numbers(rng, rows, 4)],
        seed,
    )
