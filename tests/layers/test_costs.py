"""Operations counted from shapes are those of the running code, and keep the laws that follow from the equations."""

import numpy as np
import pytest

from engine.arrays.bag import Bag
from engine.arrays.ragged import RaggedBatch
from layers import costs, wave
from layers.costs import Flops
from layers.fast import FUNCTIONS
from layers.networks import PlannedWaveNetwork, Transformer, TransformerConfig, WaveNetworkConfig
from layers.networks.configs import ACTIVATIONS
from layers.networks.costs import mixing_flops, step_flops
from layers.networks.linear_heads import LinearClassifier
from layers.networks.parts import FeedForward
from layers.standard import attention
from layers.standard.pooling import POOLINGS
from layers.wave import OPERATIONS, READOUTS, SCOPES, WAVES, Wave
from tests.support.counted_arrays import Counted, as_counted, counted_flops, counting

OFFSETS = np.array([0, 3, 7])
BAG = Bag(np.array([0, 1, 2, 0, 1, 3]), np.array([2, 1, 1, 1, 1, 1]), np.array([0, 3, 6]))  # 7 tokens
OWN = BAG.per_entry()
FAST = FUNCTIONS["fast"].pairs
EPSILON = 1e-5


@pytest.fixture(autouse=True)
def without_c(monkeypatch):
    """Functions in C do what is counted here where nobody sees it."""
    monkeypatch.setenv("WAVE_C", "off")


def normal(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32).view(Counted)


class CountedDraws:
    """A generator whose numbers are counted when they are compared."""

    def random(self, shape, dtype):
        return as_counted(np.random.default_rng(0).random(shape, dtype))


X, Z = normal(7, 5), Wave(normal(7, 5), normal(7, 5) + np.float32(1))
A_AND_B = normal(4, 5), normal(4, 5)
IDS, LOGITS, TARGETS = np.array([3, 1, 1, 2, 0, 2, 2]), normal(3, 4), np.array([0, 3, 1])


def pair_of(name):
    """(forward, backward) by name; global_magnitude, phase and polar_to_wave have none in the table of functions."""
    if name in FAST:
        return FAST[name]
    return getattr(wave, f"{name}_forward"), getattr(wave, f"{name}_backward")


# 7 rows of 5 numbers, in 2 texts of 3 and 4 tokens: (formula, name of the pair, arguments).
FORMULAS = {
    **{
        f"E1, {scope}": (costs.global_magnitude(7, 2, 5, scope), "global_magnitude", (X, OFFSETS, scope))
        for scope in SCOPES
    },
    "E2": (costs.phase(7, 5), "phase", (X, normal(2, 5), OFFSETS)),
    "E3": (costs.polar_to_wave(7, 5), "polar_to_wave", (normal(2, 5), X, OFFSETS)),
    **{f"E4, {scope}": (costs.token2wave(7, 5), "token2wave", (X, OFFSETS, scope)) for scope in SCOPES},
    **{f"operation, {kind}": (costs.operation(7, 5, kind), "operation", (Z, Z, kind)) for kind in OPERATIONS},
    **{f"E7 {kind}": (costs.readout(7, 5, kind), "readout", (Z, kind)) for kind in READOUTS},
    "E8": (costs.linear(7, 5, 3), "linear", (X, normal(5, 3), normal(3))),
    "E8, no bias": (costs.linear(7, 5, 3, bias=False), "linear", (X, normal(5, 3), None)),
    "E9": (costs.embedding(7, 5), "embedding", (IDS, normal(4, 5))),
    "E10": (costs.layer_norm(7, 5), "layer_norm", (X, normal(5), normal(5))),
    "E10, of a sum": (costs.layer_norm(7, 5, residual=True), "layer_norm_sum", (X, normal(5), normal(5), EPSILON, X)),
    "E11": (costs.gelu(7, 5), "gelu", (X,)),
    "E12": (costs.relu(7, 5), "relu", (X,)),
    "E13": (costs.dropout(7, 5, 0.5), "dropout", (X, 0.5, CountedDraws())),
    "E13, rate 0": (costs.dropout(7, 5, 0.0), "dropout", (X, 0.0, CountedDraws())),
    **{f"E14 {kind}": (costs.pooling(7, 2, 5, kind), "pooling", (X, OFFSETS, kind)) for kind in POOLINGS},
    **{
        f"E14 {kind}, counts": (
            costs.pooling(7, 2, 5, kind, counted=True), "bag_pooling", (X, Bag(None, np.arange(1, 8), OFFSETS), kind)
        )
        for kind in POOLINGS
    },
    "E17, over a bag": (costs.bag_magnitude(4, 5, BAG), "bag_magnitude", (*A_AND_B, BAG)),
    "E18": (costs.attention([3, 4], 6, 2), "attention", (normal(7, 6), normal(7, 6), normal(7, 6), OFFSETS, 2)),
    "E19": (costs.tanh(7, 5), "tanh", (X,)),
    "E25": (costs.naive_bayes(7, 2, 5), "naive_bayes", (normal(5), X, OFFSETS)),
    "E26": (costs.weighted_ratios(7, 2, 5), "weighted_ratios", (normal(5), X, X, OFFSETS)),
    "E21": (costs.residual(7, 5), "residual", (X, X)),
    "E22": (costs.position_encoding(7, 5), "position_encoding", (X, np.array([0, 1, 2, 0, 1, 2, 3]), normal(4, 5))),
    **{
        f"E23, {kind}, {scope}": (costs.wave(7, 2, 5, kind, scope), "wave", (X, OFFSETS, scope, kind))
        for kind in WAVES
        for scope in SCOPES
    },
}  # fmt: skip


def flops_of_pair(forward, backward, args):
    """Flops of a function pair as it runs, with a dy of ones."""
    with counting():
        y = forward(*args)[0]
    dy = Wave(*map(np.ones_like, y)) if isinstance(y, Wave) else np.ones_like(y)
    return counted_flops(lambda: forward(*args), lambda cache: backward(dy, cache))


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_counts_what_runs(name):
    counted, pair, args = FORMULAS[name]
    assert counted == flops_of_pair(*pair_of(pair), args) and isinstance(counted, Flops)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_counts_what_runs(smoothing, weighted):
    (forward, backward), weights = FAST["softmax_cross_entropy"], np.ones(4, np.float32) if weighted else None
    running = counted_flops(lambda: forward(LOGITS, TARGETS, smoothing, weights), lambda cache: backward(1.0, cache))
    assert costs.softmax_cross_entropy(3, 4, smoothing, weighted) == running


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_several_labels_counts_what_runs(smoothing, weighted):
    (forward, backward), targets = FAST["sigmoid_cross_entropy"], np.eye(3, 4) > 0
    weights = np.ones((2, 4), np.float32) if weighted else None
    running = counted_flops(lambda: forward(LOGITS, targets, smoothing, weights), lambda cache: backward(1.0, cache))
    assert costs.sigmoid_cross_entropy(3, 4, smoothing, weighted) == running


@pytest.mark.parametrize("scores", [8, 4])  # blocks of two rows, and of one
def test_attention_counts_what_each_block_of_scores_adds(scores, monkeypatch):
    whole = costs.attention([3, 4], 6, 2)
    monkeypatch.setattr(attention, "BLOCK_SCORES", scores)
    counted = costs.attention([3, 4], 6, 2)
    assert counted == flops_of_pair(*FAST["attention"], FORMULAS["E18"][2])
    assert counted.forward == whole.forward and counted.backward > whole.backward


@pytest.mark.parametrize("bag, own_rows", [(BAG, False), (OWN, True), (BAG._replace(counts=None), False)])
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_wave_pair_counts_what_runs(operation, readout, scope, bag, own_rows):
    rows, tokens = 6 if own_rows else 4, 6 if bag.counts is None else 7
    args = (normal(rows, 5), normal(rows, 5) * np.float32(1.5), bag, operation, readout, scope)
    counted = costs.wave_pair(6, tokens, 2, 5, operation, readout, scope, own_rows)
    assert counted == flops_of_pair(*FAST["wave_pair"], args)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_feed_forward_counts_what_runs(activation):
    layer = FeedForward(5, 3, activation, 0.0, np.random.default_rng(0))
    for parameter in layer.parameters().values():
        parameter.value = parameter.value.view(Counted)
    running = counted_flops(lambda: layer.forward(X), lambda cache: layer.backward(np.ones_like(X), cache))
    assert costs.feed_forward(7, 5, 3, activation) == running


# --- networks ----------------------------------------------------------------------------------------------------


def small_network(operation="modulation", readout="both", seed=0, **fields):
    config = WaveNetworkConfig(dimension=4, hidden=3, operation=operation, readout=readout, **fields)
    return PlannedWaveNetwork(config, 9, 3, seed)


def linear_classifier(**fields):
    network = LinearClassifier(WaveNetworkConfig(blocks=0, **fields), 9, 3)
    network.use(FUNCTIONS["fast"])
    network.learn_counts(THREE)
    return network


def small_transformer(**fields):
    return Transformer(TransformerConfig(**{"dimension": 4, "hidden": 3, "heads": 2, "positions": 9, **fields}), 9, 3)


def batch_of(*texts):
    ids = np.concatenate([np.array(text, np.int64) for text in texts])
    ends = np.cumsum([0, *map(len, texts)])
    sentences = np.unique(np.concatenate([ends, ends[:-1] + 2]))  # two tokens, and the rest
    return RaggedBatch(ids, ends, np.arange(len(texts)) % 3, sentences)


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
    {"operation": "correlation", "readout": "imaginary", "blocks": 2},
    {"operation": "correlation", "readout": "magnitude", "wave_residual": False},
    {"readout": "magnitude", "blocks": 2},
    {"readout": "magnitude", "blocks": 2, "wave_residual": False},
    {"readout": "magnitude", "wave_residual": False, "pooling": "cls"},
    {"readout": "magnitude", "scope": "text", "blocks": 2},
    *({"position_encoding": kind} for kind in ("sinusoidal", "learned")),
    {"position_encoding": "learned", "readout": "magnitude", "wave_residual": False, "blocks": 2},
    {"position_encoding": "learned", "blocks": 0},
    {"position_encoding": "sinusoidal", "variants": "none"},
    {"position_encoding": "sinusoidal", "levels": "sentence-text", "operation": "interference", "readout": "magnitude"},
    {"levels": "sentence", "readout": "real"},
    {"levels": "sentence-text", "readout": "imaginary", "wave_residual": False},
    {"levels": "sentence-text", "readout": "magnitude", "wave_residual": False, "blocks": 2},
    {"levels": "sentence-text", "readout": "magnitude", "position_encoding": "sinusoidal"},
    {"block_form": "eq8", "blocks": 3},
    {"block_form": "eq8", "blocks": 2, "readout": "magnitude"},
    {"block_form": "fig6b", "blocks": 2, "readout": "magnitude", "operation": "interference"},
    {"variants": "none", "blocks": 2},
    {"variants": "wave", "readout": "magnitude", "blocks": 2},
    {"wave": "real", "readout": "magnitude", "position_encoding": "learned"},
    {"wave": "phase-free", "readout": "real", "levels": "sentence-text", "blocks": 2},
    {"wave": "phase-free", "operation": "interference", "readout": "both", "scope": "text"},
    {"shortcut": "naive-bayes", "readout": "magnitude", "wave_residual": False},
    {"shortcut": "naive-bayes", "position_encoding": "learned"},
]
TRANSFORMERS = [{}, {"blocks": 2, "label_smoothing": 0.1}, {"blocks": 0}, {"heads": 1, "hidden": 5}]
LINEAR = [{}, {"label_smoothing": 0.1}]
EVERY_NETWORK = [
    *((linear_classifier, fields) for fields in LINEAR),
    *((small_network, fields) for fields in NETWORKS),
    *((small_transformer, fields) for fields in TRANSFORMERS),
]
every_network = pytest.mark.parametrize("kind, fields", EVERY_NETWORK, ids=lambda x: getattr(x, "__name__", str(x)))


@every_network
def test_a_network_counts_what_a_step_runs(kind, fields):
    network = kind(**fields)
    if fields.get("shortcut"):
        network.learn_counts(THREE)  # tokens without counts are in no sum
    counted = step_flops(network, THREE)
    for array in network.state().values():
        array.value = array.value.view(Counted)
    assert counted == counted_flops(lambda: network.loss_forward(THREE, train=True), network.loss_backward)


@every_network
def test_mixing_is_a_part_of_a_step(kind, fields):
    """There is none without blocks."""
    network = kind(**fields)
    mixing, step = mixing_flops(network, THREE), step_flops(network, THREE)
    assert (mixing.forward > 0) == (mixing.backward > 0) == (network.config.blocks > 0)
    assert mixing.forward < step.forward and mixing.backward < step.backward


def test_attention_is_additive_and_quadratic_in_the_length():
    def count(*lengths):
        return costs.attention(lengths, 12, 3)

    assert count(5, 0, 9, 2) == count(5) + count(9) + count(2)
    for n in (3, 50):
        second = [a - 2 * b + c for a, b, c in zip(count(n + 1), count(n), count(n - 1))]
        assert second == [2 * (4 * 12 + 5 * 3), 2 * (10 * 12 + 8 * 3)]


@pytest.mark.parametrize("fields", NETWORKS, ids=str)
def test_a_wave_network_is_linear_in_the_length_of_a_text(fields):
    network = small_network(**fields)
    counts = [
        step_flops(network, batch_of(range(n))) for n in (4, 6, 8)
    ]  # distinct tokens; even: sentences are filled up
    for first, second, third in zip(*counts):
        assert second - first == third - second >= 0
    assert counts[0].backward < counts[1].backward


@pytest.mark.parametrize("fields", TRANSFORMERS, ids=str)
def test_a_transformer_is_quadratic_by_its_attention_alone(fields):
    """In the length of a text."""
    network = small_transformer(**fields)
    counts = [step_flops(network, batch_of(range(n))) for n in (3, 5, 7)]
    second = [a - 2 * b + c for a, b, c in zip(*counts)]
    pairs = 7 * 7 - 2 * 5 * 5 + 3 * 3
    heads, blocks = network.config.heads, network.config.blocks
    assert second == [blocks * (4 * 4 + 5 * heads) * pairs, blocks * (10 * 4 + 8 * heads) * pairs]


# --- sums --------------------------------------------------------------------------------------------------------


def test_parts_are_added_not_chained():
    assert Flops(1, 20) + Flops(300, 4000) == Flops(301, 4020) == (301, 4020)
    assert costs.total(Flops(n, 10 * n) for n in (1, 2, 3)) == Flops(6, 60)
    assert costs.total([]) == Flops(0, 0) and isinstance(costs.total([Flops(1, 2)]), Flops)
    assert Flops(3, 7).forward == 3 and Flops(3, 7).backward == 7
