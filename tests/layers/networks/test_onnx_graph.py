"""The ONNX graph computes what the network computes, in every setting that it knows."""

import json

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install -e '.[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install -e '.[onnx]'")

from engine.arrays.bag import distinct_tokens, merge_repeats  # noqa: E402
from engine.arrays.ragged import RaggedBatch  # noqa: E402
from engine.support.errors import UserError  # noqa: E402
from layers.networks import Transformer, TransformerConfig, WaveNetwork, build_network  # noqa: E402
from layers.networks.configs import ACTIVATIONS, BLOCK_FORMS, LEVELS, VARIANTS, WaveNetworkConfig  # noqa: E402
from layers.networks.onnx_graph import input_sizes, onnx_model  # noqa: E402
from layers.networks.presets import PRESETS  # noqa: E402
from layers.networks.text_classifier import example_batch  # noqa: E402
from layers.standard.pooling import POOLINGS  # noqa: E402
from layers.standard.position_encoding import POSITION_ENCODINGS  # noqa: E402
from layers.wave import OPERATIONS, READOUTS, SCOPES, WAVES  # noqa: E402
from tests.support.small_networks import CLASSES, LENGTHS, VOCABULARY, covering, network_of  # noqa: E402

CHOICES = {
    "operation": OPERATIONS, "readout": [name for name in READOUTS if name != "phase"], "scope": SCOPES,
    "levels": LEVELS, "wave": WAVES, "variants": VARIANTS, "block_form": BLOCK_FORMS, "pooling": POOLINGS,
    "position_encoding": POSITION_ENCODINGS, "activation": ACTIVATIONS, "blocks": [0, 1, 2], "hidden": [0, 5],
    "wave_residual": [True, False],
}  # fmt: skip
NAMES = ["a", "bé", "c"]


def allowed(fields):
    """Whether such a network exists."""
    try:
        WaveNetworkConfig(**fields)
    except UserError:
        return False
    return True


ROWS = covering(list(map(list, CHOICES.values())), 2, lambda row: allowed(dict(zip(CHOICES, row))))
CASES = [dict(zip(CHOICES, row)) for row in ROWS]


def computed(network, batch, counts=None):
    """(B, C) probabilities by onnxruntime."""
    session = onnxruntime.InferenceSession(
        onnx_model(network, NAMES).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    arrays = {**batch._asdict(), "counts": np.ones(len(batch.ids), np.int64) if counts is None else counts}
    (found,) = session.run(None, {value.name: arrays[value.name] for value in session.get_inputs()})
    return found


def float32_network(**fields):
    return network_of(WaveNetwork, dtype=np.float32, embedding_scale=0.5, **fields)


def as_bag(batch):
    """(batch of the distinct tokens of each text, how often each occurs)."""
    rows, bag = distinct_tokens(batch.ids, batch.offsets, VOCABULARY)
    bag = merge_repeats(bag, len(rows))
    return RaggedBatch(rows[bag.row_index].astype(np.int64), bag.offsets, None, None), bag.counts


def test_the_settings_are_covered():
    for name, choices in CHOICES.items():
        assert {fields[name] for fields in CASES} == set(choices)


@pytest.mark.parametrize("fields", CASES, ids=lambda fields: "-".join(str(value) for value in fields.values()))
def test_every_setting_gives_the_same_probabilities(fields):
    """With an empty text, one of a single token, and repeated tokens."""
    network, batch = float32_network(**fields), example_batch(VOCABULARY, CLASSES, LENGTHS)
    np.testing.assert_allclose(computed(network, batch), network.probabilities(batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("readout", ["magnitude", "both"])
def test_counts_stand_for_repeated_tokens(operation, readout):
    network = float32_network(operation=operation, readout=readout, blocks=2)
    batch = example_batch(4, CLASSES, [1, 12, 3, 30])
    bag, counts = as_bag(batch)
    assert counts.max() > 3
    np.testing.assert_allclose(computed(network, bag, counts), network.probabilities(batch), rtol=0, atol=1e-5)


def test_a_batch_of_one_text_and_of_none():
    network = float32_network()
    for lengths in ([5], [0], []):
        batch = example_batch(VOCABULARY, CLASSES, lengths)
        found = computed(network, batch)
        assert found.shape == (len(lengths), CLASSES)
        np.testing.assert_allclose(found, network.probabilities(batch), rtol=0, atol=1e-5)


def test_long_texts_do_not_drift():
    network = float32_network()
    batch = example_batch(VOCABULARY, CLASSES, [20_000, 3])
    np.testing.assert_allclose(computed(network, batch), network.probabilities(batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize("operation", ["modulation", "interference"])
@pytest.mark.parametrize("preset", ["recommended", "accurate", "paper", "paper-text", "quick"])
def test_the_presets_are_known(preset, operation):
    """At their own width and initial values."""
    fields = {name: value for name, value in PRESETS[preset].items() if name in WaveNetworkConfig.fields()}
    network = build_network(WaveNetworkConfig(**{**fields, "operation": operation}), VOCABULARY, CLASSES)
    batch = example_batch(VOCABULARY, CLASSES, [40, 1, 7])
    np.testing.assert_allclose(computed(network, batch), network.probabilities(batch), rtol=0, atol=1e-5)


def test_the_model_says_what_it_takes_and_gives():
    model = onnx_model(float32_network(levels="sentence-text"), NAMES)
    assert [value.name for value in model.graph.input] == ["ids", "counts", "offsets", "sentence_offsets"]
    assert [value.name for value in model.graph.output] == ["probabilities"]
    assert {prop.key: json.loads(prop.value) for prop in model.metadata_props} == {"labels": NAMES}
    with_places = WaveNetworkConfig(position_encoding="learned")
    assert list(input_sizes(with_places)) == ["ids", "offsets"]


@pytest.mark.parametrize(
    "network, message",
    [
        (
            lambda: float32_network(operation="interference", readout="phase"),
            "does not know readout phase",
        ),
        (lambda: Transformer(TransformerConfig(dimension=4, heads=2, hidden=4), 9, 3), "not model transformer"),
    ],
)
def test_what_onnx_does_not_know_is_refused(network, message):
    with pytest.raises(UserError, match=rf"^--format onnx: [^\n]*{message}; export it with --format weights$"):
        onnx_model(network(), NAMES)


@pytest.mark.parametrize("fields", [{}, {"position_encoding": "sinusoidal"}, {"labels": "several"}], ids=str)
def test_the_shortcut_counts_repeated_tokens_once(fields):
    network = float32_network(shortcut="naive-bayes", **fields)
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS, several_labels=network.has_several_labels())
    silent = network.probabilities(batch)
    network.learn_counts(batch)
    assert abs(network.probabilities(batch) - silent).max() > 1e-3
    np.testing.assert_allclose(computed(network, batch), network.probabilities(batch), rtol=0, atol=1e-5)


SIDE_BY_SIDE = {
    "heads": {"heads": 3},
    "heads and shortcut": {"heads": 2, "shortcut": "naive-bayes"},
    "character heads": {"char_heads": 2, "heads": 2, "shortcut": "naive-bayes"},
    "other heads": {"other_heads": 2},
    "linear heads": {"linear_heads": 2},
    "places": {"char_heads": 1, "heads": 2, "position_encoding": "sinusoidal"},
    "sentences": {"char_heads": 1, "linear_heads": 1, "levels": "sentence-text", "hidden": 5},
    "all": {"heads": 2, "char_heads": 2, "other_heads": 1, "linear_heads": 2, "shortcut": "naive-bayes"},
}


@pytest.mark.parametrize("temperature", [1.0, 1.7])
@pytest.mark.parametrize("labels", ["one", "several"])
@pytest.mark.parametrize("name", SIDE_BY_SIDE)
def test_networks_side_by_side(name, labels, temperature):
    """With texts of which nothing is left without character n-grams, and tokens that have no counts."""
    config = WaveNetworkConfig(
        **{"dimension": 4, "hidden": 0, "embedding_scale": 0.5, "labels": labels, **SIDE_BY_SIDE[name]}
    )
    network = build_network(config, VOCABULARY, CLASSES, seed=3, first_char_ngram=VOCABULARY // 2)
    batch = example_batch(VOCABULARY, CLASSES, [0, 1, 1, 1, 7, 30], several_labels=labels == "several")
    if config.linear_heads or config.shortcut != "none":
        network.learn_counts(example_batch(VOCABULARY, CLASSES, [5, 4], seed=1, several_labels=labels == "several"))
    for parameter in network.parameters().values():  # weights that are 0 at the start, too
        parameter.value = parameter.value + np.float32(0.1) * np.cos(
            np.arange(parameter.value.size, dtype=np.float32)
        ).reshape(parameter.value.shape)
    network.temperature = temperature
    np.testing.assert_allclose(computed(network, batch), network.probabilities(batch), rtol=0, atol=1e-5)


def test_rows_are_added_up_by_an_operator_that_loses_none():
    """ScatterND with several threads does, seldom enough that no comparison would find it."""
    config = WaveNetworkConfig(dimension=4, pooling="max", linear_heads=1, heads=2, shortcut="naive-bayes")
    nodes = onnx_model(build_network(config, VOCABULARY, CLASSES), NAMES).graph.node
    assert {node.op_type for node in nodes if node.op_type.startswith("Scatter")} == {"ScatterElements"}
