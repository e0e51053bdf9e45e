"""Positions, levels, forms of the block, maps and controls: both networks, their gradients, and what they must show."""

import itertools

import numpy as np
import pytest

from engine.arrays.backend import same_stream
from engine.arrays.ragged import RaggedBatch
from engine.support.errors import UserError
from layers.networks import WaveNetwork, WaveNetworkConfig
from layers.networks.configs import BLOCK_FORMS, LEVELS, VARIANTS
from layers.networks.parts import twin
from layers.networks.text_classifier import example_batch
from layers.standard.position_encoding import POSITION_ENCODINGS
from layers.wave import OPERATIONS, WAVES
from tests.support.small_networks import (
    CLASSES,
    DROPOUTS,
    VOCABULARY,
    assert_gradients_agree,
    assert_network_gradients,
    both_kinds,
    covering,
    loss_and_gradients,
    network_of,
)

LENGTHS = [3, 1, 5, 8, 0]
FORMS = {
    "position_encoding": POSITION_ENCODINGS,
    "levels": list(LEVELS),
    "block_form": BLOCK_FORMS,
    "variants": VARIANTS,
    "wave": list(WAVES),
    "operation": list(OPERATIONS),
    "readout": ["real", "magnitude", "both"],
}
OTHERS = {  # chosen in turn
    "scope": ["dimension", "text"],
    "pooling": ["mean", "cls", "max"],
    "wave_residual": [True, False],
    "hidden": [5, 0],
    "blocks": [1, 2, 3, 0],
}


def networks_of(strength):
    """Fields of networks in which every `strength` choices of FORMS meet; one that cannot see its text is left out."""
    found = []
    for number, row in enumerate(covering(list(FORMS.values()), strength)):
        others = {name: values[number // 2**i % len(values)] for i, (name, values) in enumerate(OTHERS.items())}
        # Small rows: blocks without layer norm multiply them, and a softmax of large logits has no gradient.
        fields = {**dict(zip(FORMS, row)), **others, "positions": 9, "embedding_scale": 0.2, "position_scale": 0.2}
        try:
            WaveNetworkConfig(**fields)
        except UserError:
            fields["scope"] = "dimension"
        found.append(fields)
    return found


TRIPLES, PAIRS = networks_of(3), networks_of(2)
every_triple = pytest.mark.parametrize("fields", TRIPLES, ids=lambda fields: "-".join(map(str, fields.values())))
every_pair = pytest.mark.parametrize("fields", PAIRS, ids=lambda fields: "-".join(map(str, fields.values())))


def assert_agree(fields, rng=None, dtype=np.float64, tolerance=1e-10):
    """Loss and gradients of the planned network, and of the readable one in float64, with the same random numbers."""
    planned = network_of(seed=len(str(fields)), dtype=dtype, **fields)
    readable = twin(planned, WaveNetwork.functions, WaveNetwork)
    for parameter in readable.parameters().values():
        parameter.value = parameter.value.astype(np.float64)
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS, 1)
    expected_loss, expected = loss_and_gradients(readable, batch, same_stream(rng))
    loss, gradients = loss_and_gradients(planned, batch, same_stream(rng))
    assert loss.dtype == dtype and abs(loss - expected_loss) <= tolerance * abs(expected_loss)
    assert_gradients_agree(gradients, expected, tolerance)


@every_triple
def test_both_networks_agree(fields):
    assert_agree(fields)


@every_pair
def test_both_networks_agree_under_dropout(fields):
    for dropout in (*({name: rate} for name, rate in DROPOUTS.items()), DROPOUTS):
        assert_agree({**fields, **dropout}, rng=np.random.default_rng(3))


@every_pair
def test_float32_agrees_with_float64(fields):
    """In scope text layer norm magnifies rounding, as test_equivalence.py says."""
    assert_agree(fields, dtype=np.float32, tolerance=2e-5 if fields["scope"] == "dimension" else 0.05)


@both_kinds
@every_pair
def test_gradient_of_every_parameter(kind, fields):
    assert_network_gradients(network_of(kind, **fields), example_batch(VOCABULARY, CLASSES, LENGTHS, 1))


# --- positions ---------------------------------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("encoding", ["sinusoidal", "learned"])
def test_the_order_of_tokens_matters_with_positions_alone(kind, encoding):
    batch = RaggedBatch(np.array([1, 2, 3, 1, 3, 2]), np.array([0, 3, 6]))
    plain, _ = network_of(kind, readout="both").forward(batch)
    np.testing.assert_allclose(plain[0], plain[1], rtol=1e-12)
    placed, _ = network_of(kind, readout="both", position_encoding=encoding).forward(batch)
    assert abs(placed[0] - placed[1]).max() > 1e-3


@both_kinds
def test_a_text_longer_than_the_positions_is_named(kind):
    network = network_of(kind, position_encoding="learned", positions=4)
    assert np.isfinite(network.forward(example_batch(VOCABULARY, CLASSES, [4]))[0]).all()
    with pytest.raises(ValueError, match="^batch: a text has 5 tokens, the network has 4 positions$"):
        network.forward(example_batch(VOCABULARY, CLASSES, [2, 5]))


@both_kinds
def test_dropped_tokens_leave_the_places_of_the_others(kind):
    """The network sees what it would see of the kept tokens at their places in the whole text."""
    network = network_of(kind, position_encoding="learned", token_dropout=0.5, seed=3)
    batch = example_batch(VOCABULARY, CLASSES, [6, 7], 3)
    kept = network.kept_tokens(batch, np.random.default_rng(0))
    assert 2 <= len(kept.ids) < 13
    logits, _ = network.forward(batch, train=True, rng=np.random.default_rng(0))
    by_hand, _ = network.forward(kept)
    np.testing.assert_allclose(logits, by_hand, rtol=1e-12)
    assert abs(by_hand - network.forward(kept._replace(places=None))[0]).max() > 1e-6


def test_sinusoids_are_no_parameters():
    def names(encoding):
        return set(network_of(position_encoding=encoding).parameters())

    assert names("sinusoidal") == names("none") == names("learned") - {"position_encoding.table"}


# --- sentences ---------------------------------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("levels", ["sentence", "sentence-text"])
def test_texts_of_one_sentence_know_no_levels(kind, levels):
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS, 1)
    batch = batch._replace(sentence_offsets=np.unique(batch.offsets))
    for fields in ({"readout": "both"}, {"readout": "magnitude", "wave_residual": False, "blocks": 2}):
        found, _ = network_of(kind, levels=levels, **fields).forward(batch)
        np.testing.assert_allclose(found, network_of(kind, **fields).forward(batch)[0], rtol=1e-12)


@both_kinds
def test_levels_differ_where_a_text_has_several_sentences(kind):
    batch = example_batch(VOCABULARY, CLASSES, [8, 9], 1)
    logits = [network_of(kind, levels=levels, readout="both").forward(batch)[0] for levels in LEVELS]
    assert all(abs(a - b).max() > 1e-3 for a, b in itertools.combinations(logits, 2))


@both_kinds
def test_a_batch_without_sentences_is_refused(kind):
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS)
    with pytest.raises(ValueError, match="^batch: levels sentence need sentence_offsets, got None$"):
        network_of(kind, levels="sentence").forward(batch._replace(sentence_offsets=None))
    with pytest.raises(ValueError, match="ends within a sentence"):
        without_first = np.setdiff1d(batch.sentence_offsets, batch.offsets[1:2])
        network_of(kind, levels="sentence").forward(batch._replace(sentence_offsets=without_first))


# --- forms of the block, and controls ----------------------------------------------------------------------------


def test_the_feed_forward_stands_behind_the_last_block():
    """Of the forms that add to what a block gets; each block of the form normed has its own."""

    def shapes(form):
        network = network_of(block_form=form, blocks=3)
        return [(block.wave_norm is not None, block.feed_forward is not None) for block in network.blocks]

    assert shapes("normed") == [(True, True)] * 3
    assert shapes("eq8") == shapes("fig6b") == [(False, False), (False, False), (False, True)]


def test_eq8_and_fig6b_are_one_where_the_real_part_is_read():
    """readout(Z + x) = readout(Z) + x for the real part."""
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS)
    one, other = (network_of(block_form=form, readout="real", blocks=2).forward(batch)[0] for form in ("eq8", "fig6b"))
    np.testing.assert_allclose(one, other, rtol=1e-12)


@both_kinds
@pytest.mark.parametrize(
    "one, other",
    [
        ({"operation": "interference", "readout": "real"}, {"wave": "real"}),
        ({"operation": "interference", "readout": "real"}, {"levels": "sentence-text"}),
        ({"operation": "modulation", "readout": "magnitude"}, {"wave": "phase-free"}),
        ({"operation": "correlation", "readout": "magnitude", "levels": "sentence-text"}, {"wave": "phase-free"}),
    ],
    ids=str,
)
def test_controls_that_are_the_same_network(kind, one, other):
    """The loss and every gradient: the cells of controls.md that need no training."""
    batch, fields = example_batch(VOCABULARY, CLASSES, LENGTHS, 1), {"blocks": 2, "position_encoding": "learned"}
    loss, gradients = loss_and_gradients(network_of(kind, **fields, **one), batch)
    other_loss, others = loss_and_gradients(network_of(kind, **fields, **{**one, **other}), batch)
    assert loss == pytest.approx(other_loss, rel=1e-12)
    assert_gradients_agree(others, gradients, 1e-11)


@pytest.mark.parametrize("readout", ["imaginary", "phase"])
@pytest.mark.parametrize("wave", ["real", "phase-free"])
def test_a_control_without_a_gradient_is_refused(wave, readout):
    with pytest.raises(UserError, match=f"^readout: the {readout} of a wave without imaginary part has no gradient"):
        WaveNetworkConfig(wave=wave, readout=readout)
