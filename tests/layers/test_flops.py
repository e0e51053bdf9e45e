"""Operations counted from shapes are those of a count by hand, of the running code, and keep the laws that follow from the equations."""

import numpy as np
import pytest
from layers.networks.feed_forward import FeedForward

from engine.arrays.bag import Bag
from engine.arrays.ragged import RaggedBatch
from layers import wave
from layers.costs import Flops
from layers.experiments.benchmark import parts
from layers.networks import Transformer, TransformerConfig, WaveNetwork, WaveNetworkConfig
from layers.networks.presets import PRESETS
from layers.networks.transformer_block import TransformerBlock
from layers.standard import (
    attention,
    dropout,
    embedding,
    gelu,
    layer_norm,
    linear,
    pooling,
    relu,
    softmax_cross_entropy,
    tanh,
)
from layers.wave import Wave
from tests.support.counted_arrays import Counted, as_counted, counted_flops, counting

OFFSETS = np.array([0, 3, 7])
BAG = Bag(np.array([0, 1, 2, 0, 1, 3]), np.array([2, 1, 1, 1, 1, 1]), np.array([0, 3, 6]))  # 7 tokens
OWN = BAG.of_own_rows()


def normal(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32).view(Counted)


def waves(shape):
    return Wave(normal(*shape), normal(*shape) + np.float32(1))


class CountedDraws:
    """A generator whose numbers are counted when they are compared."""

    def random(self, shape, dtype):
        return as_counted(np.random.default_rng(0).random(shape, dtype))


X, Z, IDS, LOGITS, TARGETS = (
    normal(7, 5),
    waves((7, 5)),
    np.array([3, 1, 1, 2, 0, 2, 2]),
    normal(3, 4),
    np.array([0, 3, 1]),
)

# 7 rows of 5 numbers, in 2 texts of 3 and 4 tokens. Each count is written out as operations per number, row, or text.
BY_HAND = {
    "E1": (wave.global_magnitude_flops(7, 2, 5), (2 * 35 + 10, 5 * 35)),
    "E1, per text": (wave.global_magnitude_flops(7, 2, 5, "text"), (2 * 35 + 2, 5 * 35)),
    "E2": (wave.phase_flops(7, 5), ((4 + 3 + 1 + 1 + 1) * 35, (4 + 4 + 1 + 1 + 1 + 1) * 35)),
    "E3": (wave.polar_to_wave_flops(7, 5), ((2 + 2) * 35, (4 + 3 + 1) * 35)),
    "E4": (wave.token2wave_flops(7, 5), ((1 + 9 + 1) * 35, (4 + 9 + 2) * 35)),
    "E5": (wave.interference_flops(7, 5), (2 * 35, 0)),
    "E6": (wave.modulation_flops(7, 5), ((3 + 3) * 35, 4 * 3 * 35)),
    "E7 real": (wave.readout_flops(7, 5, "real"), (0, 0)),
    "E7 imaginary": (wave.readout_flops(7, 5, "imaginary"), (0, 0)),
    "E7 both": (wave.readout_flops(7, 5, "both"), (0, 0)),
    "E7 magnitude": (wave.readout_flops(7, 5, "magnitude"), ((2 + 1 + 2 + 1 + 1 + 4 + 1 + 1 + 1 + 1) * 35, (4 + 4 + 2) * 35)),
    "E7 phase": (wave.readout_flops(7, 5, "phase"), (35, (15 + 4 + 4 + 4 + 3) * 35)),
    "E8": (linear.linear_flops(7, 5, 3), (2 * 7 * 5 * 3 + 7 * 3, 4 * 7 * 5 * 3 + 7 * 3)),
    "E8, no bias": (linear.linear_flops(7, 5, 3, bias=False), (210, 420 + 21)),
    "E9": (embedding.embedding_flops(7, 5), (0, 35)),
    "E9, distinct": (embedding.embedding_flops(4, 5, distinct=True), (0, 0)),
    "E10": (layer_norm.layer_norm_flops(7, 5), (7 * 35 + 5 * 7, 11 * 35 + 2 * 7)),
    "E10, of a sum": (layer_norm.layer_norm_flops(7, 5, residual=True), (8 * 35 + 5 * 7, 11 * 35 + 2 * 7)),
    "E11": (gelu.gelu_flops(7, 5), (37 * 35, 35)),
    "E11, bias": (gelu.gelu_flops(7, 5, bias=True), (38 * 35, 35)),
    "E12": (relu.relu_flops(7, 5), (2 * 35, 35)),
    "E12, bias": (relu.relu_flops(7, 5, bias=True), (3 * 35, 35)),
    "E13": (dropout.dropout_flops(7, 5, 0.5), (3 * 35, 35)),
    "E13, rate 0": (dropout.dropout_flops(7, 5, 0.0), (0, 0)),
    "E14 mean": (pooling.pooling_flops(7, 2, 5), (35 + 10, 10)),
    "E14 mean, counts": (pooling.pooling_flops(7, 2, 5, "mean", counted=True), (2 * 35 + 10, 35 + 10)),
    "E14 max": (pooling.pooling_flops(7, 2, 5, "max"), (3 * 35 + 10, 0)),
    "E14 max, counts": (pooling.pooling_flops(7, 2, 5, "max", counted=True), (3 * 35 + 10, 0)),
    "E14 cls": (pooling.pooling_flops(7, 2, 5, "cls"), (10, 0)),
    "E15": (softmax_cross_entropy.softmax_cross_entropy_flops(3, 4), (5 * 12 + 4 * 3, 3 * 12 + 2 * 3)),
    "E15, smoothing": (softmax_cross_entropy.softmax_cross_entropy_flops(3, 4, 0.1), (6 * 12 + 4 * 3, 3 * 12 + 2 * 3)),
    "E17": (wave.modulated_magnitude_flops(4, 2, 5), (2 * (1 + 2 * 2) * 20 + 3 * 10, 2 * (1 + 2 * 2) * 20 + 10 * 10)),
    "E18": (attention.attention_flops([3, 4], 6, 2), (34 * 25 + 10 * 7, 76 * 25 + 2 * 6 * 7)),
    "E19": (tanh.tanh_flops(7, 5), (10 * 35, 35)),
}  # fmt: skip

PAIRS = {
    "E1": (wave.global_magnitude_forward, wave.global_magnitude_backward, (X, OFFSETS)),
    "E1, per text": (wave.global_magnitude_forward, wave.global_magnitude_backward, (X, OFFSETS, "text")),
    "E2": (wave.phase_forward, wave.phase_backward, (X, normal(2, 5), OFFSETS)),
    "E3": (wave.polar_to_wave_forward, wave.polar_to_wave_backward, (normal(2, 5), X, OFFSETS)),
    "E4": (wave.token2wave_forward, wave.token2wave_backward, (X, OFFSETS)),
    "E5": (wave.interference_forward, wave.interference_backward, (Z, Z)),
    "E6": (wave.modulation_forward, wave.modulation_backward, (Z, Z)),
    **{f"E7 {kind}": (wave.readout_forward, wave.readout_backward, (Z, kind)) for kind in wave.READOUTS},
    "E8": (linear.linear_forward, linear.linear_backward, (X, normal(5, 3), normal(3))),
    "E8, no bias": (linear.linear_forward, linear.linear_backward, (X, normal(5, 3), None)),
    "E9": (embedding.embedding_forward, embedding.embedding_backward, (IDS, normal(4, 5))),
    "E9, distinct": (embedding.embedding_forward, embedding.embedding_backward, (np.arange(4), normal(4, 5), True)),
    "E10": (layer_norm.layer_norm_forward, layer_norm.layer_norm_backward, (X, normal(5), normal(5))),
    "E10, of a sum": (layer_norm.layer_norm_forward, layer_norm.layer_norm_backward, (X, normal(5), normal(5), 1e-5, X)),
    "E11": (gelu.gelu_forward, gelu.gelu_backward, (X,)),
    "E11, bias": (gelu.gelu_forward, gelu.gelu_backward, (X, normal(5))),
    "E12": (relu.relu_forward, relu.relu_backward, (X,)),
    "E12, bias": (relu.relu_forward, relu.relu_backward, (X, normal(5))),
    "E13": (dropout.dropout_forward, dropout.dropout_backward, (X, 0.5, CountedDraws())),
    "E13, rate 0": (dropout.dropout_forward, dropout.dropout_backward, (X, 0.0, CountedDraws())),
    **{f"E14 {kind}": (pooling.pooling_forward, pooling.pooling_backward, (X, OFFSETS, kind)) for kind in pooling.POOLINGS},
    **{
        f"E14 {kind}, counts": (pooling.pooling_forward, pooling.pooling_backward, (X, OFFSETS, kind, np.array([1, 2, 1, 1, 3, 1, 1])))
        for kind in ("mean", "max")
    },
    "E17": (wave.modulated_magnitude_forward, wave.modulated_magnitude_backward, (normal(4, 5), normal(4, 5), BAG)),
    "E18": (attention.attention_forward, attention.attention_backward, (normal(7, 6), normal(7, 6), normal(7, 6), OFFSETS, 2)),
    "E19": (tanh.tanh_forward, tanh.tanh_backward, (X,)),
}  # fmt: skip


def flops_of_pair(forward, backward, args):
    """Flops of a function pair as it runs, with a dy of ones."""
    with counting():
        y = forward(*args)[0]
    dy = Wave(*map(np.ones_like, y)) if isinstance(y, Wave) else np.ones_like(y)
    return counted_flops(lambda: forward(*args), lambda cache: backward(dy, cache))


@pytest.mark.parametrize("name", BY_HAND)
def test_counts_by_hand(name):
    counted, by_hand = BY_HAND[name]
    assert counted == by_hand and isinstance(counted, Flops)


@pytest.mark.parametrize("name", PAIRS)
def test_counts_of_the_running_code(name):
    assert BY_HAND[name][0] == flops_of_pair(*PAIRS[name])


@pytest.mark.parametrize("name, smoothing", [("E15", 0.0), ("E15, smoothing", 0.1)])
def test_count_of_the_running_loss(name, smoothing):
    running = counted_flops(
        lambda: softmax_cross_entropy.softmax_cross_entropy_forward(LOGITS, TARGETS, smoothing),
        lambda cache: softmax_cross_entropy.softmax_cross_entropy_backward(1.0, cache),
    )
    assert BY_HAND[name][0] == running


@pytest.mark.parametrize("scores, added", [(8, 3 * 2 + 4 * 2), (4, 3 * 3 + 4 * 4)])  # blocks of two rows, and of one
def test_attention_counts_what_each_block_of_scores_adds(scores, added, monkeypatch):
    monkeypatch.setattr(attention, "BLOCK_SCORES", scores)
    forward, backward = attention.attention_flops([3, 4], 6, 2)
    assert (forward, backward) == (920, 1900 + 2 * 6 * added)
    assert (forward, backward) == flops_of_pair(*PAIRS["E18"])


@pytest.mark.parametrize("bag, own_rows", [(BAG, False), (OWN, True), (BAG._replace(counts=None), False)])
@pytest.mark.parametrize("scope", wave.SCOPES)
@pytest.mark.parametrize("readout", wave.READOUTS)
@pytest.mark.parametrize("operation", wave.OPERATIONS)
def test_wave_pair_counts_what_its_body_does(operation, readout, scope, bag, own_rows):
    args = (
        normal(6 if own_rows else 4, 5),
        normal(6 if own_rows else 4, 5) * np.float32(1.5),
        bag,
        operation,
        readout,
        scope,
    )
    tokens = 6 if bag.counts is None else 7
    counted = wave.wave_pair_flops(6, tokens, 2, 5, operation, readout, scope, own_rows)
    assert counted == flops_of_pair(wave.wave_pair_forward, wave.wave_pair_backward, args)


def test_wave_pair_by_hand():
    # 6 entries of 5 numbers. Norms 6 each, and 4 per text and dimension. E6 and "both": 6; back 2·3·2, E4 10 each, and the sums.
    assert wave.wave_pair_flops(6, 7, 2, 5, "modulation", "both") == (
        18 * 30 + 2 * 4 * 10,
        32 * 30 + 2 * 4 * 10 + 2 * 30,
    )
    # The magnitude of an interference: 2 and 4; back the two sums again, a quotient and two products.
    assert wave.wave_pair_flops(6, 7, 2, 5, "interference", "magnitude") == (18 * 30 + 80, 25 * 30 + 80 + 60)
    # The plain body: per token 11 + 11 + 2 + 1 and 15 + 15 + 30, per entry three divisions or products and two sums.
    assert wave.wave_pair_flops(6, 7, 2, 5, "interference", "phase") == (25 * 35, 60 * 35 + 5 * 30)


def small_network(operation="modulation", readout="both", seed=0, **fields):
    config = WaveNetworkConfig(dimension=4, hidden=3, operation=operation, readout=readout, **fields)
    return WaveNetwork(config, 9, 3, seed)


def batch_of(*texts):
    ids = np.concatenate([np.array(text, np.int64) for text in texts])
    return RaggedBatch(ids, np.cumsum([0, *map(len, texts)]), np.arange(len(texts)) % 3)


def step_flops(network, batch):
    for parameter in network.parameters().values():
        parameter.value = parameter.value.view(Counted)
    return counted_flops(lambda: network.loss_forward(batch, train=True), network.loss_backward)


THREE = batch_of([1, 2, 3, 1, 5, 1], [1, 4, 2, 6, 1, 1], [7, 3, 2, 1, 7, 7])  # of 4 distinct tokens each, 7 in all
NETWORKS = [
    {},
    {"blocks": 2, "label_smoothing": 0.1},
    {"blocks": 0},
    {"blocks": 0, "pooling": "cls"},
    {"blocks": 2, "wave_residual": False, "activation": "relu"},
    {"operation": "interference", "readout": "real", "pooling": "max", "blocks": 2},
    {"operation": "interference", "readout": "magnitude", "pooling": "cls"},
    {"operation": "interference", "readout": "phase", "wave_residual": False},
    {"readout": "magnitude", "blocks": 2},
    {"readout": "magnitude", "blocks": 2, "wave_residual": False},
    {"readout": "magnitude", "wave_residual": False, "pooling": "cls"},
    {"readout": "magnitude", "scope": "text", "blocks": 2},
]


TRANSFORMERS = [{}, {"blocks": 2, "label_smoothing": 0.1}, {"blocks": 0}, {"heads": 1, "hidden": 5}]


def small_transformer(**fields):
    return Transformer(TransformerConfig(**{"dimension": 4, "hidden": 3, "heads": 2, "positions": 9, **fields}), 9, 3)


EVERY_NETWORK = [
    *((small_network, fields) for fields in NETWORKS),
    *((small_transformer, fields) for fields in TRANSFORMERS),
]


@pytest.mark.parametrize("kind, fields", EVERY_NETWORK, ids=lambda x: getattr(x, "__name__", str(x)))
def test_a_network_counts_what_a_step_does(kind, fields):
    network = kind(**fields)
    assert network.flops(THREE) == step_flops(network, THREE)


@pytest.mark.parametrize("kind, fields", EVERY_NETWORK, ids=lambda x: getattr(x, "__name__", str(x)))
def test_linear_maps_of_a_network_are_those_that_a_step_runs(kind, fields, monkeypatch):
    network, products = kind(**fields), []

    def recorded(layer, rows, add_bias=True):
        products.append(6 * rows * layer.weight.value.size)
        return Flops(0, 0)

    monkeypatch.setattr(linear.Linear, "flops", recorded)
    network.flops(THREE)
    assert sum(products) == parts.linear_flops(
        lambda: network.loss_backward(network.loss_forward(THREE, train=True)[1])
    )


def test_a_network_by_hand():
    """d = 4, hidden 3, 3 classes; 3 texts with 12 entries of 7 distinct tokens."""
    U, P, B = 7, 12, 3
    forward = 2 * (2 * U * 16 + 4 * U)  # two maps
    forward += 18 * 4 * P + 8 * 4 * B + 2 * P * 8 * 4 + 4 * P + 8 * 4 * P + 5 * P  # waves, projection, norm of a sum
    forward += 2 * P * 12 + 38 * 3 * P + 2 * P * 12 + 4 * P + 8 * 4 * P + 5 * P  # feed-forward, norm of a sum
    forward += 2 * 4 * P + 4 * B + 2 * B * 12 + 3 * B + 5 * 3 * B + 4 * B  # pooling, classifier, loss
    backward = 3 * 3 * B + 2 * B + 4 * B * 12 + 3 * B + 4 * P + 4 * B  # loss, classifier, pooling
    backward += (
        11 * 4 * P + 2 * P + 4 * P * 12 + 4 * P + 3 * P + 4 * P * 12 + 3 * P + 4 * P
    )  # norm, feed-forward, and its sum
    backward += (
        11 * 4 * P + 2 * P + 4 * P * 8 * 4 + 4 * P + 32 * 4 * P + 8 * 4 * B + 2 * 4 * P
    )  # norm, projection, waves
    backward += (
        2 * (4 * U * 16 + 4 * U) + 4 * U + 4 * P + 4 * U
    )  # two maps and their sum, the residual summed and added
    assert small_network().flops(THREE) == (forward, backward)


def test_a_transformer_by_hand():
    """d = 4, hidden 3, 2 heads, 3 classes; 3 texts of 6 tokens."""
    T, B, pairs = 18, 3, 3 * 36
    forward = 8 * 4 * T + 5 * T  # norm of the sum of two embeddings
    forward += (
        4 * (2 * T * 16 + 4 * T) + (4 * 4 + 5 * 2) * pairs + (4 + 2 * 2) * T + 8 * 4 * T + 5 * T
    )  # four maps, attention, norm of a sum
    forward += 2 * T * 12 + 38 * 3 * T + 2 * T * 12 + 4 * T + 8 * 4 * T + 5 * T  # feed-forward, norm of a sum
    forward += (
        4 * B + 2 * B * 16 + 4 * B + 10 * 4 * B + 2 * B * 12 + 3 * B + 5 * 3 * B + 4 * B
    )  # first token, pooler, classifier, loss
    backward = 3 * 3 * B + 2 * B + 4 * B * 12 + 3 * B + 4 * B + 4 * B * 16 + 4 * B  # loss, classifier, tanh, pooler
    backward += (
        11 * 4 * T + 2 * T + 4 * T * 12 + 4 * T + 3 * T + 4 * T * 12 + 3 * T + 4 * T
    )  # norm, feed-forward, and its sum
    backward += 11 * 4 * T + 2 * T + 4 * (4 * T * 16 + 4 * T) + 3 * 4 * T  # norm, four maps, and the sum of four paths
    backward += (10 * 4 + 8 * 2) * pairs + 2 * 4 * T + 11 * 4 * T + 2 * T + 2 * 4 * T  # attention, norm, both tables
    assert small_transformer().flops(batch_of(range(6), range(6), range(6))) == (forward, backward)


def test_a_block_of_bert_base_by_hand():
    config, n = (
        TransformerConfig(
            **{name: value for name, value in PRESETS["bert-base"].items() if name in TransformerConfig.fields()}
        ),
        128,
    )
    weights = 4 * 768 * 768 + 2 * 768 * 3072
    assert weights == 7_077_888 and config.blocks * 2 * weights == 169_869_312  # products forward per token: 0.17 GFLOP
    forward = (
        2 * weights + 4 * 768 + 38 * 3072 + 768 + 2 * (8 * 768 + 5)
    ) * n  # biases, GELU with that of the first map, two norms
    forward += (4 * 768 + 5 * 12) * n * n + (768 + 2 * 12) * n
    backward = (
        4 * weights + 5 * 768 + 3072 + 3072 + 2 * (11 * 768 + 2) + 4 * 768
    ) * n  # sums for biases, GELU, two norms, sums of paths
    backward += (10 * 768 + 8 * 12) * n * n + 2 * 768 * n
    assert TransformerBlock(config, np.random.default_rng(0)).flops([n]) == (forward, backward)


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_feed_forward_counts_what_it_does(activation, drops):
    layer = FeedForward(5, 3, activation, 0.5, np.random.default_rng(0))
    for parameter in layer.parameters().values():
        parameter.value = parameter.value.view(Counted)
    draws = CountedDraws() if drops else None
    running = counted_flops(lambda: layer.forward(X, draws), lambda cache: layer.backward(np.ones_like(X), cache))
    assert layer.flops(7, drops) == running
    assert running.forward == 2 * 2 * 7 * 15 + 7 * 5 + {"gelu": 38, "relu": 3}[activation] * 21 + 3 * 21 * drops


def test_attention_is_additive_over_texts_and_quadratic_in_their_length():
    def count(*lengths):
        return attention.attention_flops(lengths, 12, 3)

    assert count(5, 0, 9, 2) == count(5) + count(9) + count(2)
    for n in (3, 50):
        second = [a - 2 * b + c for a, b, c in zip(count(n + 1), count(n), count(n - 1))]
        assert second == [2 * (4 * 12 + 5 * 3), 2 * (10 * 12 + 8 * 3)]
    assert count(1) == (4 * 12 + 5 * 3 + 12 + 2 * 3, 10 * 12 + 8 * 3 + 2 * 12)


@pytest.mark.parametrize("fields", NETWORKS, ids=str)
def test_a_wave_network_is_linear_in_the_length_of_a_text(fields):
    network = small_network(**fields)
    counts = [network.flops(batch_of(range(n))) for n in (3, 5, 7)]  # distinct tokens
    for first, second, third in zip(*counts):
        assert second - first == third - second >= 0
    assert counts[0].backward < counts[1].backward


@pytest.mark.parametrize("fields", TRANSFORMERS, ids=str)
def test_a_transformer_is_quadratic_in_the_length_of_a_text_by_its_attention_alone(fields):
    network = small_transformer(**fields)
    counts = [network.flops(batch_of(range(n))) for n in (3, 5, 7)]
    second = [a - 2 * b + c for a, b, c in zip(*counts)]
    pairs = 7 * 7 - 2 * 5 * 5 + 3 * 3
    heads, blocks = network.config.heads, network.config.blocks
    assert second == [blocks * (4 * 4 + 5 * heads) * pairs, blocks * (10 * 4 + 8 * heads) * pairs]


def test_functions_of_rows_are_linear_in_them():
    for count in (
        lambda rows: linear.linear_flops(rows, 5, 3),
        lambda rows: layer_norm.layer_norm_flops(rows, 5, residual=True),
        lambda rows: wave.token2wave_flops(rows, 5),
        lambda rows: FeedForward(5, 3, "gelu", 0.5, np.random.default_rng(0)).flops(rows, drops=True),
    ):
        assert count(2) + count(3) == count(5) and count(0) == (0, 0)


def test_layers_count_as_their_functions():
    rng = np.random.default_rng(0)
    assert linear.Linear(5, 3, rng).flops(7) == linear.linear_flops(7, 5, 3)
    assert linear.Linear(5, 3, rng, bias=False).flops(7) == linear.linear_flops(7, 5, 3, bias=False)
    assert linear.Linear(5, 3, rng).flops(7, add_bias=False) == linear.linear_flops(7, 5, 3, bias=False)
    assert layer_norm.LayerNorm(5).flops(7, residual=True) == layer_norm.layer_norm_flops(7, 5, residual=True)
    assert embedding.Embedding(9, 5, rng).flops(7) == (0, 35)
    assert embedding.Embedding(9, 5, rng).flops(7, distinct=True) == (0, 0)
