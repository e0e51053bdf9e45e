"""The whole network: its gradient, its wiring beside a plain rewriting, and the laws of its predictions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays.ragged import RaggedBatch
from engine.gradcheck import assert_gradients
from engine.layer import RowSparse
from engine.training.adamw import AdamW
from layers.networks import WaveNetwork, WaveNetworkConfig
from layers.networks.text_classifier import example_batch
from layers.standard.pooling import POOLINGS
from layers.wave import READOUTS, SCOPES
from tests.support.layer_laws import SEEDS, assert_equal, caught, examples, offsets_of
from tests.support.small_networks import gradient_report, stirred

JUMPS = pytest.mark.skip(reason="the phase of a modulation jumps from π to −π: there is no gradient to check")
OPERATIONS = ("interference", "modulation")
COMBINATIONS = [(operation, readout) for operation in OPERATIONS for readout in READOUTS]
DIFFERENTIABLE = [pytest.param(*c, marks=JUMPS) if c == ("modulation", "phase") else c for c in COMBINATIONS]
LENGTHS = [1, 4, 0, 2, 6]
VOCABULARY, CLASSES = 9, 3
DROPOUTS = {
    "token_dropout": 0.3,
    "embedding_dropout": 0.2,
    "dropout": 0.2,
    "classifier_dropout": 0.2,
    "label_smoothing": 0.1,
}

every_combination = pytest.mark.parametrize("operation, readout", COMBINATIONS)
every_differentiable = pytest.mark.parametrize("operation, readout", DIFFERENTIABLE)


def network_of(seed=0, dtype=np.float64, vocabulary=VOCABULARY, classes=CLASSES, **fields):
    """A small network whose norms and biases are not at their initial values, so that every term counts."""
    network = WaveNetwork(
        WaveNetworkConfig(**{"dimension": 4, "hidden": 5, **fields}), vocabulary, classes, seed, dtype
    )
    return stirred(network, np.random.default_rng(seed + 1))


def assert_network_gradients(network, batch, train_seed=None):
    """By complex step where the code is analytic, else (phase) by five points."""
    by_five_points = network.config.readout == "phase"
    method, tolerance = ("five_point", 1e-6) if by_five_points else ("complex_step", 1e-11)
    assert_gradients(gradient_report(network, batch, train_seed, method=method, tolerance=tolerance))


# --- gradients ---------------------------------------------------------------------------------------------------


@every_differentiable
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_gradient_of_every_parameter(operation, readout, scope, blocks):
    network = network_of(operation=operation, readout=readout, scope=scope, blocks=blocks)
    assert_network_gradients(network, example_batch(VOCABULARY, CLASSES, LENGTHS))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("wave_residual", [False, True])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_gradient_of_every_parameter_of_other_shapes(pooling, hidden, wave_residual, activation):
    network = network_of(pooling=pooling, hidden=hidden, wave_residual=wave_residual, activation=activation)
    assert_network_gradients(network, example_batch(VOCABULARY, CLASSES, LENGTHS))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradient_of_every_parameter_under_dropout(operation):
    network = network_of(operation=operation, **DROPOUTS)
    assert_network_gradients(network, example_batch(VOCABULARY, CLASSES, [1, 8, 5, 7]), train_seed=3)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), SEEDS, st.sampled_from(OPERATIONS))
@examples(15)
def test_gradient_on_any_batch(lengths, seed, operation):
    network = network_of(seed=seed % 1000, operation=operation, readout="both")
    assert_network_gradients(network, example_batch(VOCABULARY, CLASSES, lengths, seed))


@every_combination
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_texts_of_one_token_have_finite_gradients(operation, readout, scope, dtype):
    """Where differentiation of the polar form divides 0 by 0."""
    network = network_of(operation=operation, readout=readout, scope=scope, dtype=dtype, blocks=2)
    loss, cache = network.loss_forward(example_batch(VOCABULARY, CLASSES, [1, 1, 1]))
    network.loss_backward(cache)
    assert np.isfinite(loss)
    assert all(np.isfinite(p.dense_grad()).all() for p in network.parameters().values())


@every_combination
def test_repeated_and_zero_embeddings_have_finite_gradients(operation, readout):
    network = network_of(operation=operation, readout=readout)
    network.embedding.table.value[:3] = 0
    loss, cache = network.loss_forward(RaggedBatch(np.array([0, 1, 2, 5, 5, 5]), np.array([0, 3, 6]), np.array([0, 1])))
    network.loss_backward(cache)
    assert np.isfinite(loss)
    assert all(np.isfinite(p.dense_grad()).all() for p in network.parameters().values())


@pytest.mark.parametrize("part", ["first_variant.weight", "wave_norm.gain", "feed_forward.expand.bias"])
def test_a_parameter_that_receives_nothing_is_caught(part):
    network = network_of()
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS)
    lost = network.parameters()[f"blocks.0.{part}"]
    lost.accumulate = lambda grad: None
    report = gradient_report(network, batch)
    assert not report.ok and f"parameter blocks.0.{part}" in {row.name for row in report.failures}


def test_a_forgotten_residual_is_caught():
    network = network_of()
    block = network.blocks[0]
    right = block.backward

    def corrupted(dy, cache):
        block.config = network.config.replace(wave_residual=False)
        dx = right(dy, cache)
        block.config = network.config
        return dx

    block.backward = corrupted
    assert not gradient_report(network, example_batch(VOCABULARY, CLASSES, LENGTHS)).ok


def test_gradients_accumulate_until_they_are_cleared():
    network, batch = network_of(), example_batch(VOCABULARY, CLASSES, LENGTHS)
    _, cache = network.loss_forward(batch)
    network.loss_backward(cache)
    once = {name: p.dense_grad().copy() for name, p in network.parameters().items()}
    network.loss_backward(cache)
    assert all(np.array_equal(p.dense_grad(), 2 * once[name]) for name, p in network.parameters().items())
    network.zero_grad()
    assert all(p.grad is None for p in network.parameters().values())


def loss_and_gradients(network, batch):
    network.zero_grad()
    loss, cache = network.loss_forward(batch)
    network.loss_backward(cache)
    return loss, {name: parameter.dense_grad() for name, parameter in network.parameters().items()}


def assert_gradients_agree(found, expected, tolerance):
    """By norm, to a tolerance of each gradient and a hundredth of it of all: some are 0 but for rounding."""
    all_of_them = math.sqrt(sum(np.sum(gradient**2) for gradient in expected.values()))
    for name, gradient in found.items():
        limit = tolerance * (np.linalg.norm(expected[name]) + 0.01 * all_of_them)
        assert np.linalg.norm(gradient - expected[name]) <= limit, name


def with_a_row_for_every_token(network, batch):
    """(network, batch) that compute the same, but no token id occurs twice: the table has as many copies of its rows."""
    config = network.config
    copy = WaveNetwork(config, len(batch.ids), CLASSES, 0, network.embedding.table.value.dtype)
    for name, parameter in network.parameters().items():
        copy.parameters()[name].value = (
            parameter.value[batch.ids] if name == "embedding.table" else parameter.value.copy()
        )
    return copy, batch._replace(ids=np.arange(len(batch.ids)))


@every_combination
@pytest.mark.parametrize(
    "fields", [{}, {"pooling": "max", "scope": "text", "blocks": 2}, {"wave_residual": False, "pooling": "cls"}]
)
def test_the_embedding_gradient_is_sparse_and_equals_the_dense_one(operation, readout, fields):
    network, batch = (
        network_of(vocabulary=1000, operation=operation, readout=readout, **fields),
        example_batch(9, CLASSES, [2, 4, 0, 7, 9]),
    )
    assert len(np.unique(batch.ids)) < len(batch.ids) and len(np.unique(batch.ids[6:13])) < 7, (
        "some tokens are repeated in a text"
    )
    seen = []
    right = network.embedding.backward
    network.embedding.backward = lambda dx, cache: (seen.append(dx), right(dx, cache))
    loss, gradients = loss_and_gradients(network, batch)
    grad = network.embedding.table.grad
    assert isinstance(grad, RowSparse) and grad.rows.tolist() == sorted(set(batch.ids.tolist()))
    assert [dx.shape for dx in seen] == [(len(set(batch.ids.tolist())), 4)], "one row for each distinct token"

    copy, spread_out = with_a_row_for_every_token(network, batch)
    expected_loss, expected = loss_and_gradients(copy, spread_out)
    dense = np.zeros((1000, 4))
    np.add.at(dense, batch.ids, expected["embedding.table"])
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert_gradients_agree(gradients, {**expected, "embedding.table": dense}, 1e-11)


# --- float32, beside float64 ---------------------------------------------------------------------------------------


@every_combination
@pytest.mark.parametrize("fields", [{}, {"blocks": 2, "pooling": "max"}, {"wave_residual": False, "pooling": "cls"}])
def test_float32_agrees_with_float64(operation, readout, fields):
    single = network_of(operation=operation, readout=readout, dtype=np.float32, **fields)
    double = network_of(operation=operation, readout=readout, dtype=np.float64, **fields)
    for name, parameter in single.parameters().items():
        double.parameters()[name].value = parameter.value.astype(np.float64)
    batch = example_batch(VOCABULARY, CLASSES, [2, 9, 0, 4, 30])
    loss, gradients = loss_and_gradients(single, batch)
    expected_loss, expected = loss_and_gradients(double, batch)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(np.float32)}
    assert_gradients_agree(gradients, expected, 1e-5)


# --- texts as bags: what is computed once --------------------------------------------------------------------------

# Ten tokens, of which four are distinct; 2, 1, 0 and 3 distinct ones in the texts.
REPEATS = RaggedBatch(np.array([1, 1, 2, 1, 3, 5, 2, 2, 1, 2]), np.array([0, 4, 5, 5, 10]), np.array([0, 1, 2, 0]))
TOKENS, DISTINCT, DISTINCT_OF_TEXTS, TEXTS = 10, 4, 6, 4


def rows_computed(network, batch=REPEATS, train=False):
    """[(rows that reach the linear variants, rows that reach the feed-forward)] of every block; nothing is dropped."""
    seen = []

    def watched(layer):
        right = layer.forward

        def forward(x, *options):
            seen.append(len(x))
            return right(x, *options)

        layer.forward = forward

    for block in network.blocks:
        watched(block.first_variant)
        watched(block.feed_forward)
    network.forward(batch, train, KeepsEverything())
    return list(zip(seen[::2], seen[1::2]))


@every_combination
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_repeated_tokens_are_computed_once(operation, readout, pooling):
    network = network_of(operation=operation, readout=readout, pooling=pooling, blocks=2)
    assert rows_computed(network) == [(DISTINCT, DISTINCT_OF_TEXTS), (DISTINCT_OF_TEXTS, DISTINCT_OF_TEXTS)]


@pytest.mark.parametrize(
    "fields, train, expected",
    [
        ({"pooling": "cls"}, False, (DISTINCT, TOKENS)),
        ({"pooling": "cls"}, True, (DISTINCT, TOKENS)),
        ({"dropout": 0.2}, True, (DISTINCT, TOKENS)),
        ({"dropout": 0.2}, False, (DISTINCT, DISTINCT_OF_TEXTS)),
        ({"embedding_dropout": 0.2}, True, (TOKENS, TOKENS)),
        ({"embedding_dropout": 0.2}, False, (DISTINCT, DISTINCT_OF_TEXTS)),
        ({"token_dropout": 0.2, "classifier_dropout": 0.2}, True, (DISTINCT, DISTINCT_OF_TEXTS)),
    ],
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_tokens_that_dropout_or_their_place_sets_apart_are_computed_one_by_one(operation, fields, train, expected):
    network = network_of(operation=operation, readout="both", blocks=2, **fields)
    assert rows_computed(network, train=train) == [expected, (expected[1], expected[1])]


@pytest.mark.parametrize(
    "fields, train, expected",
    [
        ({"wave_residual": False}, False, [(DISTINCT, TEXTS), (TEXTS, TEXTS)]),
        ({"wave_residual": False, "pooling": "cls"}, True, [(DISTINCT, TEXTS), (TEXTS, TEXTS)]),
        ({"wave_residual": False, "dropout": 0.2}, False, [(DISTINCT, TEXTS), (TEXTS, TEXTS)]),
        ({"wave_residual": False, "dropout": 0.2}, True, [(DISTINCT, TOKENS), (TOKENS, TOKENS)]),
        ({"wave_residual": True}, False, [(DISTINCT, DISTINCT_OF_TEXTS), (DISTINCT_OF_TEXTS, DISTINCT_OF_TEXTS)]),
        (
            {"wave_residual": False, "scope": "text"},
            False,
            [(DISTINCT, DISTINCT_OF_TEXTS), (DISTINCT_OF_TEXTS, DISTINCT_OF_TEXTS)],
        ),
    ],
)
def test_where_the_magnitude_of_a_modulation_makes_tokens_alike_a_text_is_one_row(fields, train, expected):
    network = network_of(operation="modulation", readout="magnitude", blocks=2, **fields)
    assert rows_computed(network, train=train) == expected


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("blocks", [1, 2])
def test_gradients_where_a_text_is_one_row(pooling, blocks):
    network = network_of(
        operation="modulation", readout="magnitude", wave_residual=False, pooling=pooling, blocks=blocks
    )
    assert_network_gradients(network, REPEATS)


# --- the wiring, beside a plain rewriting ------------------------------------------------------------------------


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
        z = a + b if config.operation == "interference" else a * b
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


@every_combination
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"blocks": 2, "pooling": "max", "activation": "relu"},
        {"hidden": 0, "pooling": "cls", "wave_residual": False},
    ],
)
def test_logits_agree_with_the_network_written_plainly_for_one_text(operation, readout, scope, fields):
    network = network_of(operation=operation, readout=readout, scope=scope, **fields)
    lengths = (
        [2, 4, 3, 6] if (operation, readout) == ("modulation", "phase") else [1, 4, 2, 6]
    )  # one token may sit on the jump
    batch = example_batch(VOCABULARY, CLASSES, lengths)
    expected = [plain_logits(network, batch.ids[a:b]) for a, b in zip(batch.offsets, batch.offsets[1:])]
    assert_equal(network.forward(batch)[0], np.array(expected), 1e-11)


def test_the_loss_is_the_mean_cross_entropy_of_the_logits():
    network, batch = network_of(), example_batch(VOCABULARY, CLASSES, LENGTHS)
    loss, cache = network.loss_forward(batch)
    p = network.probabilities(batch)
    assert_equal(p, np.exp(cache.logits) / np.exp(cache.logits).sum(axis=1, keepdims=True), 1e-14)
    assert loss == pytest.approx(-np.log(p[np.arange(len(p)), batch.labels]).mean(), rel=1e-13)


# --- laws of predictions -----------------------------------------------------------------------------------------


def cut(batch, texts):
    """A batch of some of the texts, in this order."""
    pieces = [batch.ids[batch.offsets[t] : batch.offsets[t + 1]] for t in texts]
    return RaggedBatch(np.concatenate(pieces), offsets_of([len(p) for p in pieces]), batch.labels[list(texts)])


@every_combination
@pytest.mark.parametrize("scope", SCOPES)
def test_a_text_does_not_see_its_neighbours(operation, readout, scope):
    network = network_of(operation=operation, readout=readout, scope=scope, blocks=2)
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS)
    together, _ = network.forward(batch)
    alone = np.concatenate([network.forward(cut(batch, [t]))[0] for t in range(len(LENGTHS))])
    assert_equal(together, alone, 1e-12)


@every_combination
def test_permuting_texts_permutes_logits(operation, readout):
    network = network_of(operation=operation, readout=readout)
    batch, order = example_batch(VOCABULARY, CLASSES, LENGTHS), [3, 0, 4, 2, 1]
    assert_equal(network.forward(cut(batch, order))[0], network.forward(batch)[0][order], 1e-12)


@every_combination
@pytest.mark.parametrize("pooling, matters", [("mean", False), ("max", False), ("cls", True)])
def test_the_order_of_tokens_matters_only_to_cls_pooling(operation, readout, pooling, matters):
    network = network_of(operation=operation, readout=readout, pooling=pooling, blocks=2)
    ids, offsets = np.array([1, 2, 3, 4, 5, 6]), np.array([0, 4, 6])
    logits, _ = network.forward(RaggedBatch(ids, offsets))
    permuted, _ = network.forward(RaggedBatch(ids[[3, 0, 2, 1, 5, 4]], offsets))
    assert np.allclose(logits, permuted, rtol=0, atol=1e-11 * abs(logits).max()) is not matters


@every_combination
@pytest.mark.parametrize("pooling", ["mean", "max"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_texts_are_bags_loss_and_gradients_have_no_trace_of_the_order_of_tokens(operation, readout, pooling, dtype):
    """Not even in the last bit."""
    network = network_of(operation=operation, readout=readout, pooling=pooling, dtype=dtype, blocks=2)
    order = np.array([3, 1, 0, 2, 4, 9, 7, 5, 8, 6])
    expected = loss_and_gradients(network, REPEATS)
    assert_equal(loss_and_gradients(network, REPEATS._replace(ids=REPEATS.ids[order]))[0], expected[0])
    for name, gradient in loss_and_gradients(network, REPEATS._replace(ids=REPEATS.ids[order]))[1].items():
        assert np.array_equal(gradient, expected[1][name]), name


@every_combination
def test_an_empty_text_gets_the_bias_of_the_classifier(operation, readout):
    network = network_of(operation=operation, readout=readout)
    logits, _ = network.forward(RaggedBatch(np.zeros(0, int), np.array([0, 0, 0])))
    assert_equal(logits, np.tile(network.classifier.bias.value, (2, 1)))


@every_combination
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_batches_without_texts_or_tokens_run_in_both_directions(operation, readout, pooling, lengths):
    network = network_of(operation=operation, readout=readout, pooling=pooling, **DROPOUTS)
    batch = RaggedBatch(np.zeros(0, int), offsets_of(lengths), np.zeros(len(lengths), int))
    loss, cache = network.loss_forward(batch, train=True, rng=np.random.default_rng(0))
    network.loss_backward(cache)
    assert cache.logits.shape == (len(lengths), CLASSES) and np.isfinite(loss)
    assert not network.embedding.table.dense_grad().any()


def test_the_slope_of_the_loss_is_that_of_one_times_the_loss():
    """Without a cotangent; and with one it is that many times as large, exactly for a power of two."""
    gradients = {}
    for dloss in ((), (1.0,), (2.0,)):
        network = network_of()
        network.loss_backward(network.loss_forward(example_batch(VOCABULARY, CLASSES, LENGTHS))[1], *dloss)
        gradients[dloss] = [parameter.dense_grad() for parameter in network.parameters().values()]
    assert_equal(gradients[()], gradients[(1.0,)])
    assert_equal([g / 2 for g in gradients[(2.0,)]], gradients[(1.0,)])


# --- training ----------------------------------------------------------------------------------------------------


def test_dropout_acts_only_in_training_and_with_a_generator():
    network, batch = network_of(**DROPOUTS), example_batch(VOCABULARY, CLASSES, [6, 7, 8])
    predicted, _ = network.forward(batch)
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    assert_equal(network.forward(batch, train=False, rng=rng)[0], predicted)
    assert rng.bit_generator.state == state, "no random number is drawn to predict"
    assert_equal(network.forward(batch, train=True, rng=None)[0], predicted)
    assert not np.allclose(network.forward(batch, train=True, rng=rng)[0], predicted)


@pytest.mark.parametrize("field", ["token_dropout", "embedding_dropout", "dropout", "classifier_dropout"])
def test_every_kind_of_dropout_changes_training_and_repeats_for_equal_generators(field):
    network, batch = network_of(**{field: 0.5}), example_batch(VOCABULARY, CLASSES, [6, 7, 8])
    a, b, c = (network.forward(batch, train=True, rng=np.random.default_rng(seed))[0] for seed in (0, 0, 1))
    assert np.array_equal(a, b) and not np.allclose(a, c) and not np.allclose(a, network.forward(batch)[0])


class KeepsEverything:
    """A generator under which nothing is dropped, and which remembers for what it was asked."""

    def __init__(self):
        self.shapes = []

    def random(self, size, dtype):
        self.shapes.append(size)
        return np.ones(size, dtype)


def test_dropout_acts_on_tokens_embeddings_readout_hidden_layer_its_output_and_the_pooled_text():
    network, rng = network_of(**DROPOUTS), KeepsEverything()
    network.forward(RaggedBatch(np.array([1, 2, 3]), np.array([0, 1, 3])), train=True, rng=rng)
    assert rng.shapes == [3, (3, 4), (3, 4), (3, 5), (3, 4), (2, 4)]


def test_labels_are_smoothed_only_in_training():
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS)
    plain, smoothed = network_of(), network_of(label_smoothing=0.3)
    assert smoothed.loss_forward(batch)[0] == plain.loss_forward(batch)[0]
    assert smoothed.loss_forward(batch, train=True)[0] != plain.loss_forward(batch, train=True)[0]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_learns_random_texts_by_heart(operation):
    rng = np.random.default_rng(0)
    batch = example_batch(60, 4, rng.integers(3, 9, 32), 0)
    network = WaveNetwork(WaveNetworkConfig(dimension=16, hidden=16, operation=operation), 60, 4)
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


# --- parameters --------------------------------------------------------------------------------------------------


def values(network):
    return {name: p.value.tobytes() for name, p in network.parameters().items()}


@pytest.mark.parametrize("readout", ["both", "magnitude"])
def test_equal_seeds_give_equal_parameters_and_others_do_not(readout):
    config = WaveNetworkConfig(dimension=4, hidden=5, readout=readout, blocks=2)
    a, b, c = (WaveNetwork(config, VOCABULARY, CLASSES, seed) for seed in (1, 1, 2))
    assert values(a) == values(b)
    assert values(a)["embedding.table"] != values(c)["embedding.table"]
    weights = [p.value.tobytes() for p in a.parameters().values() if p.decay]
    assert len(set(weights)) == len(weights), "no two matrices are alike"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_logits_and_loss_have_the_dtype_asked_for(dtype):
    network = network_of(dtype=dtype)
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


def test_a_wrong_cotangent_is_named():
    network = network_of()
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
def test_a_wrong_part_of_the_batch_is_named(name, batch):
    with pytest.raises(ValueError, match=f"^{name}: "):
        network_of().loss_forward(batch)


def test_a_gradient_check_of_the_wrong_loss_fails():
    """Negative control of the harness itself: the gradient of twice the loss is not that of the loss."""
    network, batch = network_of(), example_batch(VOCABULARY, CLASSES, LENGTHS)
    table = network.embedding.table.value

    def forward(table):
        network.embedding.table.value = table
        return network.loss_forward(batch)

    def doubled(dloss, cache):
        network.zero_grad()
        network.loss_backward(cache, 2 * dloss)
        return network.embedding.table.dense_grad()

    assert caught(forward, doubled, table)
